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

// Exit codes of the process.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

const description = `Sala is a realtime broker: web clients connect with Socket.IO, backends send to them over gRPC or REST.

To try it, run "sala serve --dev" and paste the commands that it prints.`

const exitCodes = `Exit codes: 0 success, 1 failure at run time (broker unreachable, port taken, call refused), 2 invalid flags or configuration.`

// commands is the command line.
type commands struct {
	Serve     serveCommand      `cmd:"" help:"Run a broker."`
	Config    configCommand     `cmd:"" help:"Check a broker's configuration."`
	Health    healthCommand     `cmd:"" help:"Check whether the node on this machine is ready (exit code 0 or 1)."`
	Key       cli.Key           `cmd:"" help:"Create API keys for the control API."`
	Token     cli.Token         `cmd:"" help:"Issue, verify and revoke tokens for clients."`
	Rooms     cli.Rooms         `cmd:"" help:"List and clear rooms."`
	Messages  cli.Messages      `cmd:"" help:"List and clear the messages that rooms remember."`
	Users     cli.Users         `cmd:"" help:"List the users in a room or a namespace."`
	Emit      cli.Emit          `cmd:"" help:"Send an event to rooms, users and sockets."`
	Broadcast cli.Broadcast     `cmd:"" help:"Send an event to all sockets of a namespace."`
	Sockets   cli.Sockets       `cmd:"" help:"List sockets, let them join and leave rooms, replace their data, disconnect them."`
	Tail      cli.Tail          `cmd:"" help:"Print events from clients and what became of them, as they happen."`
	Explain   cli.Explain       `cmd:"" help:"Say why a user does or doesn't get what is sent to a room."`
	Forward   cli.Forward       `cmd:"" help:"Send events to a URL, and answer them with what it returns."`
	Connect   cli.Connect       `cmd:"" help:"Connect as a Socket.IO client: print events, send typed ones."`
	Groups    cli.BackendGroups `cmd:"" help:"List the groups of backends that subscribe to events, and how far behind they are."`
	Limits    cli.Limits        `cmd:"" help:"List who has hit which limit, and how often."`
	Nodes     cli.Nodes         `cmd:"" help:"List the nodes of the cluster, or drain one."`
	Version   versionCommand    `cmd:"" help:"Print the version."`

	Completion completionCommand `cmd:"" help:"Print a shell script that completes commands and flags."`
	Complete   completeCommand   `cmd:"" hidden:"" help:"Complete the last word of a command line."`
	Man        manCommand        `cmd:"" hidden:"" help:"Print the manual page, for \"man -l\"."`

	ShowVersion bool `name:"version" help:"Print the version."`
}

const versionFlag = "version"

// execute runs a command and returns the exit code. The command stops gracefully when ctx ends.
func execute(ctx context.Context, args []string, streams cli.Streams) int {
	parser, err := newParser(&commands{}, streams)
	if err != nil {
		fmt.Fprintln(streams.Err, "sala: error:", err)
		return exitFailure
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, filled, err := parse(parser, args, &streams)
	if err != nil {
		return report(streams, hideArgument(err, parsed), exitUsage, helpHint(err, parsed))
	}
	if !filled {
		return exitOK
	}
	err = runCommand(ctx, parsed, &streams)
	var reported *cli.ExitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &reported):
		return reported.Code
	}
	return report(streams, err, exitCode(err), "")
}

func newParser(root *commands, streams cli.Streams) (*kong.Kong, error) {
	return kong.New(root,
		kong.Name("sala"),
		kong.Description(description+"\n\n"+exitCodes),
		kong.Vars{"kinds": cli.KindNames()},
		kong.Writers(streams.Out, streams.Err),
		kong.ExplicitGroups(append(config.Groups(), cli.Groups()...)),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true, Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ValueFormatter(describeValue),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), config.DurationMapper()),
	)
}

// describeValue adds the default and the environment variable to a flag's help.
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

// report writes each line of an error as an error of its own.
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

// helpHint names the command whose help explains the usage.
func helpHint(err error, parsed *kong.Context) string {
	path := "sala"
	if parsed != nil && parsed.Selected() != nil {
		path = parsed.Selected().FullPath()
	}
	hint := fmt.Sprintf("Run %q for help.", path+" --help")
	if message := err.Error(); strings.HasPrefix(message, "unknown flag -") && !strings.HasPrefix(message, "unknown flag --") {
		// Ids of sockets may begin with a dash.
		hint += ` Put arguments that begin with a dash last, after "--".`
	}
	return hint
}

// hideArgument replaces kong's error about an extra argument, which quotes it. The argument may be a
// secret: the second of a list that needs quotes.
func hideArgument(err error, parsed *kong.Context) error {
	if parsed == nil || !strings.HasPrefix(err.Error(), "unexpected argument ") {
		return err
	}
	command := parsed.Selected()
	if command == nil || !command.Leaf() {
		return err // it was taken for a command
	}
	return fmt.Errorf("too many arguments for %s; repeat a flag before each of its values", command.FullPath())
}

// exitCode returns the error's own exit code, or that of a failure.
func exitCode(err error) int {
	var coder kong.ExitCoder
	if errors.As(err, &coder) {
		return coder.ExitCode()
	}
	return exitFailure
}
