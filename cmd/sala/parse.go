package main

import (
	"context"
	"fmt"
	"reflect"

	"github.com/alecthomas/kong"

	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
	"github.com/salabroker/sala/cmd/sala/internal/cli"
)

// kong's own Parse and Run find hooks and commands by the names of their methods. A program in which
// that is reachable keeps every exported method of all its types: 12 MB more. So what follows calls
// kong's steps one by one, and hooks and commands through interfaces.
// TestLinkerDropsUnusedMethods in tools fails if something brings such a search back.

// command is what "sala name" runs.
type command interface {
	Run(ctx context.Context, streams *cli.Streams) error
}

// parsedCommand is a command that needs the command line's model or its values' sources.
type parsedCommand interface {
	Run(ctx context.Context, parsed *kong.Context, streams *cli.Streams) error
}

// resolvingCommand adds a source of values to the command line and the environment.
type resolvingCommand interface {
	BeforeResolve(parsed *kong.Context, path *kong.Path) error
}

// streamingCommand gets the streams as soon as its flags are known.
type streamingCommand interface {
	AfterApply(streams *cli.Streams) error
}

// parse fills the selected command. It returns false if args ask for help or the version; then it has
// printed that.
func parse(parser *kong.Kong, args []string, streams *cli.Streams) (*kong.Context, bool, error) {
	parsed, err := kong.Trace(parser, args)
	if err != nil {
		return nil, false, err
	}
	if parsed.Error != nil {
		return parsed, false, parsed.Error
	}
	for _, path := range parsed.Path {
		switch {
		case path.Flag == nil:
		case path.Flag == parser.Model.HelpFlag:
			return parsed, false, parsed.PrintUsage(false)
		case path.Flag.Name == versionFlag:
			_, err := fmt.Fprintln(streams.Out, buildinfo.Get())
			return parsed, false, err
		}
	}
	return parsed, true, fill(parsed, streams)
}

func fill(parsed *kong.Context, streams *cli.Streams) error {
	ignoreEnvironment(parsed)
	if err := parsed.Reset(); err != nil {
		return err
	}
	for _, path := range parsed.Path {
		if resolving, ok := target(path.Command).(resolvingCommand); ok {
			if err := resolving.BeforeResolve(parsed, path); err != nil {
				return err
			}
		}
	}
	if err := parsed.Resolve(); err != nil {
		return err
	}
	if _, err := parsed.Apply(); err != nil {
		return err
	}
	if err := parsed.Validate(); err != nil {
		return err
	}
	if streaming, ok := target(parsed.Selected()).(streamingCommand); ok {
		return streaming.AfterApply(streams)
	}
	return nil
}

// ignoreEnvironment makes kong leave the environment of other commands alone, so that a wrong
// setting of "sala serve" doesn't stop "sala rooms".
func ignoreEnvironment(parsed *kong.Context) {
	selected := make(map[*kong.Node]bool)
	for _, path := range parsed.Path {
		selected[path.Node()] = true
	}
	for _, node := range parsed.Model.Leaves(false) {
		if selected[node] {
			continue
		}
		for _, flag := range node.Flags {
			flag.Tag.Envs = nil
		}
	}
}

// runCommand runs the selected command.
func runCommand(ctx context.Context, parsed *kong.Context, streams *cli.Streams) error {
	switch selected := target(parsed.Selected()).(type) {
	case command:
		return selected.Run(ctx, streams)
	case parsedCommand:
		return selected.Run(ctx, parsed, streams)
	default:
		return fmt.Errorf("%s can't run", parsed.Command())
	}
}

// target returns a pointer to the struct that declares a command, nil for none.
func target(node *kong.Node) any {
	if node == nil || node.Target.Kind() != reflect.Struct {
		return nil
	}
	return node.Target.Addr().Interface()
}
