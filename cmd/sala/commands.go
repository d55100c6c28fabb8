package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// The exit codes of the process.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

const description = `Sala is a realtime broker: browsers connect with Socket.IO, backends drive it over gRPC or REST.

Start one to try with "sala serve --dev" and paste what it prints.`

const exitCodes = `Exit codes: 0 done, 1 it failed at run time (no broker there, a port taken, a call refused), 2 wrong flags or configuration.`

// commands is the command line.
type commands struct {
	Serve     serveCommand   `cmd:"" help:"Run a broker."`
	Config    configCommand  `cmd:"" help:"Look at a broker's configuration."`
	Health    healthCommand  `cmd:"" help:"Ask the node on this machine whether it is ready; the exit code says so."`
	Key       cli.Key        `cmd:"" help:"Make API keys for the control API."`
	Token     cli.Token      `cmd:"" help:"Issue, check and revoke the tokens with which clients connect."`
	Rooms     cli.Rooms      `cmd:"" help:"List and clear rooms."`
	Emit      cli.Emit       `cmd:"" help:"Send an event to rooms, users and sockets."`
	Broadcast cli.Broadcast  `cmd:"" help:"Send an event to everyone."`
	Sockets   cli.Sockets    `cmd:"" help:"List connected clients, move them between rooms, change their data, disconnect them."`
	Tail      cli.Tail       `cmd:"" help:"Print what clients do as it happens."`
	Nodes     cli.Nodes      `cmd:"" help:"List the nodes that make up the broker, take one out of service."`
	Version   versionCommand `cmd:"" help:"Print the version."`

	Completion completionCommand `cmd:"" help:"Print what a shell needs to complete commands and flags."`
	Complete   completeCommand   `cmd:"" hidden:"" help:"Complete the last word of a command line."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

// execute runs one command and returns the process's exit code. It stops in
// good order when ctx ends.
func execute(ctx context.Context, args []string, streams cli.Streams) int {
	// kong prints help and then asks to exit; it is left to return.
	exited := false
	parser, err := newParser(&commands{}, streams, func(int) { exited = true })
	if err != nil {
		fmt.Fprintln(streams.Err, "sala: error:", err)
		return exitFailure
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exited {
		return exitOK
	}
	if err != nil {
		return report(streams, hideArgument(err), exitUsage, helpHint(err))
	}
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(&streams); err != nil {
		return report(streams, err, exitCode(err), "")
	}
	return exitOK
}

func newParser(root *commands, streams cli.Streams, exit func(int)) (*kong.Kong, error) {
	return kong.New(root,
		kong.Name("sala"),
		kong.Description(description+"\n\n"+exitCodes),
		kong.Vars{"version": versionLine(), "kinds": cli.KindNames()},
		kong.Writers(streams.Out, streams.Err),
		kong.Exit(exit),
		kong.Bind(&streams),
		kong.ExplicitGroups(append(config.Groups(), cli.Groups()...)),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true, Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ValueFormatter(describeValue),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), config.DurationMapper()),
	)
}

// describeValue adds to a flag's help its default and its environment variable.
func describeValue(v *kong.Value) string {
	var notes []string
	if v.HasDefault && v.Default != "" {
		notes = append(notes, "default "+v.Default)
	}
	for _, name := range v.Tag.Envs {
		notes = append(notes, "$"+name)
	}
	if len(notes) == 0 {
		return v.Help
	}
	return v.Help + " [" + strings.Join(notes, ", ") + "]"
}

// report writes an error, each line of which stands for itself.
func report(streams cli.Streams, err error, code int, hint string) int {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if strings.HasPrefix(line, " ") {
			fmt.Fprintln(streams.Err, line)
			continue
		}
		fmt.Fprintln(streams.Err, "sala: error:", line)
	}
	if hint != "" {
		fmt.Fprintln(streams.Err, hint)
	}
	return code
}

// helpHint names the command whose help says more.
func helpHint(err error) string {
	path := "sala"
	var wrong *kong.ParseError
	if errors.As(err, &wrong) && wrong.Context != nil && wrong.Context.Selected() != nil {
		path = wrong.Context.Selected().FullPath()
	}
	hint := fmt.Sprintf("Run %q for help.", path+" --help")
	if message := err.Error(); strings.HasPrefix(message, "unknown flag -") && !strings.HasPrefix(message, "unknown flag --") {
		// The ids of sockets are among those that may.
		hint += ` What begins with a dash and is no flag goes last, behind "--".`
	}
	return hint
}

// hideArgument says what is wrong with an argument too many without repeating it:
// it may be a secret, the second of a list that belongs into quotes.
func hideArgument(err error) error {
	var wrong *kong.ParseError
	if !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), "unexpected argument ") {
		return err
	}
	command := wrong.Context.Selected()
	if command == nil || !command.Leaf() {
		return err // it is taken for a command's name
	}
	return fmt.Errorf("%s was given an argument too many; a flag that is repeated stands before each of its values", command.FullPath())
}

// exitCode is the one that the error asks for, or that of a failure.
func exitCode(err error) int {
	var coder kong.ExitCoder
	if errors.As(err, &coder) {
		return coder.ExitCode()
	}
	return exitFailure
}
