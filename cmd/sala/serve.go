package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker/grace"
	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
	"github.com/salabroker/sala/cmd/sala/internal/cli"
	"github.com/salabroker/sala/cmd/sala/internal/config"
	"github.com/salabroker/sala/cmd/sala/internal/server"
)

// serveCommand runs a broker.
type serveCommand struct {
	config.Flags
}

// Help implements kong.HelpProvider.
func (*serveCommand) Help() string {
	return `Each setting comes from its flag, its environment variable or the YAML file that --config names, in this order. ` +
		`Repeatable flags take one value each time; in the environment variable, separate the values with spaces.` +
		"\n\n" +
		`SIGTERM and SIGINT drain the node: it closes its clients' connections and exits. A second signal ends the process immediately. ` +
		`SIGHUP reloads certificates and the API keys of the file, and reopens the audit log; with --dev it ends the process.` +
		"\n\nScopes of API keys: " + scopes() + "." +
		"\n\n" + exitCodes
}

func scopes() string {
	var words []string
	for _, scope := range auth.AllScopes() {
		words = append(words, string(scope))
	}
	return strings.Join(words, ", ")
}

// Run implements the command.
func (s *serveCommand) Run(ctx context.Context, streams *cli.Streams) error {
	reload := make(chan os.Signal, 1)
	if s.Dev {
		// A development broker should not outlive its terminal.
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
	if !grace.Wait(ctx, s.DrainTimeout+server.ProcessMargin, func() { failed = s.run(ctx, cfg, log, streams.Out, reload) }) {
		return nil // something hangs, and writing an error might hang as well
	}
	return failed
}

func (s *serveCommand) run(ctx context.Context, cfg *config.Config, log *slog.Logger, out io.Writer, reload <-chan os.Signal) error {
	for _, warning := range cfg.Warnings {
		log.Warn(warning)
	}
	srv, err := server.New(ctx, cfg, log, out, buildinfo.Get())
	if err != nil {
		return err
	}
	srv.Start()
	if s.Dev {
		if err := srv.PrintDev(out); err != nil {
			log.Warn("can't print the commands to paste", "error", err)
		}
	}
	return srv.Run(ctx, reload)
}

func newLogger(out io.Writer, level, format string) *slog.Logger {
	var threshold slog.Level
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		threshold = slog.LevelInfo // kong has checked the level
	}
	options := &slog.HandlerOptions{Level: threshold, ReplaceAttr: durationWithUnit}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// durationWithUnit writes durations as "1.5s" also in JSON, where slog writes nanoseconds.
func durationWithUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().String())
	}
	return a
}
