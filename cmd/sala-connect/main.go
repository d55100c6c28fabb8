// Command sala-connect is the Socket.IO client of "sala connect". That command checks the flags and
// starts this program with them, as JSON in the environment variable SALA_CONNECT.
//
// It is a program and a module of its own because zishang520's client runs a goroutine and catches
// signals in every process that it is linked into. A broker should do neither.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes, as those of sala.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	os.Exit(run(os.Getenv(optionsVariable), os.Stdin, os.Stdout, os.Stderr))
}

// run connects until standard input ends, or SIGINT or SIGTERM arrives. It returns the exit code.
func run(optionsJSON string, in io.Reader, out, notes io.Writer) int {
	// A terminal sends its Ctrl-C to "sala connect" too, which passes it on: it may arrive twice.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseOptions(optionsJSON)
	if err != nil {
		fmt.Fprintln(notes, "sala: error:", err)
		return exitUsage
	}
	if err := follow(ctx, o, in, newPrinter(o, out, notes)); err != nil {
		fmt.Fprintln(notes, "sala: error:", err)
		return exitFailure
	}
	return exitOK
}
