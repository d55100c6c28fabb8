package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
	"github.com/salabroker/sala/cmd/sala/internal/config"
	"github.com/salabroker/sala/cmd/sala/internal/server"
)

// configCommand groups the commands for the configuration.
type configCommand struct {
	Init  configInit  `cmd:"" help:"Write a configuration file with comments and new secrets."`
	Check configCheck `cmd:"" help:"Check flags, environment and file as \"sala serve\" does, and print the resulting configuration. Secrets are masked."`
}

// configCheck checks a configuration without starting anything.
type configCheck struct {
	Output string `short:"o" enum:"yaml,json" default:"yaml" placeholder:"FORMAT" help:"Output format: yaml, with the source of each value, or json."`
	config.Flags
}

// Run implements the command.
func (c *configCheck) Run(ctx context.Context, parsed *kong.Context, streams *cli.Streams) error {
	cfg, err := c.Build()
	if err != nil {
		return err
	}
	if err := server.Check(ctx, cfg); err != nil {
		return err
	}
	for _, warning := range cfg.Warnings {
		fmt.Fprintln(streams.Err, "sala: warning:", warning)
	}
	var effective bytes.Buffer
	if err := cfg.Effective(&effective, parsed); err != nil {
		return err
	}
	if c.Output == "yaml" {
		_, err = effective.WriteTo(streams.Out)
		return err
	}
	body, err := yaml.YAMLToJSON(effective.Bytes())
	if err != nil {
		return err
	}
	var laidOut bytes.Buffer
	if err := json.Indent(&laidOut, body, "", "  "); err != nil {
		return err
	}
	_, err = laidOut.WriteTo(streams.Out)
	return err
}
