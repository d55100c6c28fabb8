package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/salabroker/sala/api"
	"github.com/salabroker/sala/broker/grace"
	"github.com/salabroker/sala/cmd/sala/internal/cli"
	"github.com/salabroker/sala/cmd/sala/internal/config"
	"github.com/salabroker/sala/cmd/sala/internal/server"
)

// serveCommand runs a broker.
type serveCommand struct {
	config.Flags
}

// Help is shown below the usage.
func (*serveCommand) Help() string {
	return `Settings come from flags, from environment variables and from the YAML file that --config names, in this order. ` +
		`In an environment variable, entries of what may be repeated are separated by spaces. ` +
		`SIGTERM and SIGINT send the clients away and end the process in good order; a second one ends it at once. ` +
		`SIGHUP has it read certificates again and open the audit log anew; with --dev it ends the process.` +
		"\n\nScopes of API keys: " + scopes() + "." +
		"\n\n" + exitCodes
}

func scopes() string {
	var words []string
	for _, scope := range api.AllScopes() {
		words = append(words, string(scope))
	}
	return strings.Join(words, ", ")
}

// Run implements the command.
func (s *serveCommand) Run(ctx context.Context, streams *cli.Streams) error {
	reload := make(chan os.Signal, 1)
	if s.Dev {
		// Nobody would look for it when its terminal has closed.
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP)
		defer stop()
	} else {
		signal.Notify(reload, syscall.SIGHUP)
		defer signal.Stop(reload)
	}
	cfg, err := s.Build()
	if err != nil {
		return err
	}
	log := newLogger(streams.Err, s.LogLevel, s.LogFormat)
	var failed error
	if !grace.Wait(ctx, s.DrainTimeout+server.StopRest, func() { failed = s.run(ctx, cfg, log, streams.Out, reload) }) {
		return nil // whatever hangs; to write an error might hang as well
	}
	return failed
}

func (s *serveCommand) run(ctx context.Context, cfg *config.Config, log *slog.Logger, out io.Writer, reload <-chan os.Signal) error {
	for _, note := range cfg.Notes {
		log.Warn(note)
	}
	a, err := server.New(ctx, cfg, log, out, currentVersion())
	if err != nil {
		return err
	}
	a.Start()
	if s.Dev {
		if err := a.PrintDev(out); err != nil {
			log.Warn("the commands to paste can't be printed", "error", err)
		}
	}
	return a.Run(ctx, reload)
}

func newLogger(out io.Writer, level, format string) *slog.Logger {
	var threshold slog.Level
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		threshold = slog.LevelInfo // kong has checked it
	}
	options := &slog.HandlerOptions{Level: threshold, ReplaceAttr: durationWithUnit}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// durationWithUnit writes durations as "1.5s" in JSON too, where slog would
// write a number of nanoseconds.
func durationWithUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().String())
	}
	return a
}
