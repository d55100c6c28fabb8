package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

// currentVersion falls back to what the Go tool recorded in the binary.
func currentVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = "-" + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return "devel" + revision + dirty
}

func versionLine() string {
	return fmt.Sprintf("sala %s (%s, %s/%s)", currentVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// versionCommand prints the version.
type versionCommand struct{}

// Run implements the command.
func (versionCommand) Run(_ context.Context, s *cli.Streams) error {
	_, err := fmt.Fprintln(s.Out, versionLine())
	return err
}
