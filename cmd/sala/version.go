package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
	"github.com/salabroker/sala/cmd/sala/internal/cli"
)

// versionCommand prints the version.
type versionCommand struct {
	Output string `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"Output format: text or json."`
}

// Run implements the command.
func (v *versionCommand) Run(_ context.Context, s *cli.Streams) error {
	build := buildinfo.Get()
	if v.Output == "json" {
		return json.NewEncoder(s.Out).Encode(build)
	}
	_, err := fmt.Fprintln(s.Out, build)
	return err
}
