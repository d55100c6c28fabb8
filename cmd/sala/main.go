// Command sala runs a realtime broker for Socket.IO clients and controls running ones. Run
// "sala --help".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
)

func main() {
	os.Exit(run())
}

// run stops gracefully at the first SIGINT or SIGTERM, and immediately at the second. "sala serve"
// handles SIGHUP itself; it ends the other commands.
func run() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitFailure)
	}()
	return execute(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}
