package config

import (
	"fmt"
	"os"
	"reflect"

	"github.com/alecthomas/kong"
)

// BeforeResolve reads the file. It is called after the command line and the environment have been
// read.
func (f *Flags) BeforeResolve(ctx *kong.Context, trace *kong.Path) error {
	f.unknownEnvVars, f.envVars = unknownEnvVars(ctx.Model.Node)
	keys := make(map[string]bool)
	for _, flag := range trace.Flags {
		if hasKey(flag) {
			keys[key(flag.Name)] = true
		}
	}
	f.file = newFile("", keys)
	if path := configPath(ctx, trace); path != "" {
		file, err := readFile(path, keys)
		if err != nil {
			return err
		}
		f.file = file
	}
	f.findOrigins(ctx, trace)
	ctx.AddResolver(f.file)
	return nil
}

// hasKey reports whether the file can set a flag. It can't set --config, or flags that aren't
// declared by [Flags], such as --help.
func hasKey(flag *kong.Flag) bool { return len(flag.Envs) > 0 && flag.Name != "config" }

func configPath(ctx *kong.Context, trace *kong.Path) string {
	for _, flag := range trace.Flags {
		if path, ok := ctx.FlagValue(flag).(Path); ok && flag.Name == "config" {
			return string(path)
		}
	}
	return ""
}

// Validate implements kong.Resolver. [readFile] has validated the file.
func (f *File) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. kong calls it for each flag that isn't on the command line. A
// flag that the environment sets keeps that value.
func (f *File) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	s, ok := f.settings[key(flag.Name)]
	if !ok || !hasKey(flag) || inEnvironment(flag) {
		return nil, nil
	}
	value, err := f.value(flag, s)
	if err != nil {
		return nil, err
	}
	// Parse it here as well, because kong's error wouldn't name the file and the line.
	probe := reflect.New(flag.Target.Type()).Elem()
	scan := kong.Scan().PushTyped(value, kong.FlagValueToken)
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, probe); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", f.path, s.line, err)
	}
	return value, nil
}

func (f *File) value(flag *kong.Flag, s setting) (any, error) {
	switch {
	case flag.Name == "jwt-public-key":
		files := make([]string, len(s.values))
		for i, entry := range s.values {
			files[i] = f.resolveKeyFile(entry)
		}
		return files, nil
	case flag.Target.Type() == reflect.TypeFor[List]():
		return s.values, nil
	case s.isList:
		return nil, fmt.Errorf("%s:%d: %s takes one value, not a list", f.path, s.line, key(flag.Name))
	case flag.Target.Type() == reflect.TypeFor[Path]():
		return f.resolvePath(s.values[0]), nil
	default:
		return s.values[0], nil
	}
}

func inEnvironment(flag *kong.Flag) bool {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return true
		}
	}
	return false
}
