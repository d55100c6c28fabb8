package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// origin is where the value of a setting comes from.
type origin int

// Origins, in ascending precedence.
const (
	originDefault origin = iota
	originFile
	originEnvironment
	originCommandLine
)

// findOrigins notes where each setting's value comes from. It needs the file.
func (f *Flags) findOrigins(ctx *kong.Context, trace *kong.Path) {
	f.origins, f.overridden = make(map[string]origin), nil
	for _, flag := range trace.Flags {
		name := key(flag.Name)
		_, inFile := f.file.settings[name]
		switch {
		case !hasKey(flag):
		case onCommandLine(ctx, flag):
			f.origins[name] = originCommandLine
		case inEnvironment(flag):
			f.origins[name] = originEnvironment
		case inFile:
			f.origins[name] = originFile
		}
		if inFile && f.origins[name] > originFile {
			f.overridden = append(f.overridden, fmt.Sprintf("%s (%s)", name, f.nameOf(flag)))
		}
	}
}

func onCommandLine(ctx *kong.Context, flag *kong.Flag) bool {
	return slices.ContainsFunc(ctx.Path, func(path *kong.Path) bool { return path.Flag == flag && !path.Resolved })
}

// nameOf names what sets a setting outside the file.
func (f *Flags) nameOf(flag *kong.Flag) string {
	if f.origins[key(flag.Name)] == originCommandLine {
		return "--" + flag.Name
	}
	return flag.Envs[0]
}

// overrideWarnings says which keys of the file have no effect, so that somebody who changes one learns
// why nothing happens.
func (f *Flags) overrideWarnings() []string {
	if len(f.overridden) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("flags and variables override %s: %s", f.file.path, strings.Join(f.overridden, ", "))}
}
