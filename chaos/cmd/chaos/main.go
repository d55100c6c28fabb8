// Command chaos breaks things around Sala and looks at what comes of it:
//
//	chaos faults   runs scenarios in which clients, backends, nodes or Redis fail, and writes docs/faults.md
//	chaos soak     lets clients come and go for a long time, and writes docs/soak.md
//
// The script chaos/run builds what these need and runs them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
	"github.com/salabroker/sala/chaos/internal/soak"
)

const (
	// faultsDeadline bounds a run of all scenarios.
	faultsDeadline = time.Hour
	// fullSoak is how long a soak takes whose results are published.
	fullSoak = 20 * time.Minute
)

func main() {
	debug.SetGCPercent(400) // memory is cheaper here than the server's processors
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chaos: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{""}
	}
	switch args[0] {
	case process.ChildArgument:
		return process.ServeChild(ctx, os.Stdin, os.Stdout, roles())
	case "faults":
		return runFaults(ctx, args[1:])
	case "soak":
		return runSoak(ctx, args[1:])
	default:
		return errors.New("usage: chaos faults|soak [-help]")
	}
}

// folders are where things are.
type folders struct {
	home   string // the folder chaos/
	binary string // of Sala
	render bool
}

// parse parses the flags that all commands have and those that further adds.
func parse(name string, args []string, further func(*flag.FlagSet)) (folders, error) {
	var f folders
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.StringVar(&f.home, "home", ".", "the folder chaos/ of the project")
	flags.StringVar(&f.binary, "sala", "../bin/sala", "the binary of Sala")
	flags.BoolVar(&f.render, "render", false, "write the page from the results of the last full run, without running anything")
	further(flags)
	return f, flags.Parse(args)
}

// docs returns the folder of the published pages.
func (f folders) docs() string { return filepath.Join(f.home, "..", "docs") }

// out returns the folder for everything that is not published.
func (f folders) out() string { return filepath.Join(f.home, "out") }

// logs returns the folder for the servers' output.
func (f folders) logs() (string, error) {
	logs := filepath.Join(f.out(), "logs")
	return logs, os.MkdirAll(logs, 0o755)
}

func runFaults(ctx context.Context, args []string) error {
	var quick bool
	var only string
	f, err := parse("faults", args, func(flags *flag.FlagSet) {
		flags.BoolVar(&quick, "quick", false, "run with small numbers, which takes some minutes")
		flags.StringVar(&only, "only", "", "run only these scenarios, separated by commas")
	})
	if err != nil {
		return err
	}
	file, page := filepath.Join(f.home, "faults.json"), filepath.Join(f.docs(), "faults.md")
	if f.render {
		set, err := results.Load(file)
		if err != nil {
			return err
		}
		return scenario.WritePage(page, set, scenarios())
	}
	config := scenario.Config{Binary: f.binary, Quick: quick, Progress: os.Stdout}
	if only != "" {
		config.Only = strings.Split(only, ",")
	}
	if quick || only != "" { // nobody must take this for a full run
		file, page = filepath.Join(f.out(), "faults.json"), filepath.Join(f.out(), "faults.md")
	}
	if config.Logs, err = f.logs(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, faultsDeadline, fmt.Errorf("the scenarios took longer than %v", faultsDeadline))
	defer cancel()
	set, err := scenario.Run(ctx, config, scenarios())
	if set == nil {
		return err
	}
	err = errors.Join(err, set.Save(file), scenario.WritePage(page, set, scenarios()))
	fmt.Printf("\nresults: %s\npage:    %s\ntook:    %v\n", file, page, set.Duration)
	if failed := scenario.Failed(set, scenarios()); len(failed) > 0 {
		err = errors.Join(err, fmt.Errorf("failed: %s", strings.Join(failed, ", ")))
	}
	return err
}

func runSoak(ctx context.Context, args []string) error {
	var duration time.Duration
	f, err := parse("soak", args, func(flags *flag.FlagSet) {
		flags.DurationVar(&duration, "duration", fullSoak, "how long; less than the default is a smoke test")
	})
	if err != nil {
		return err
	}
	file, docs := filepath.Join(f.home, "soak.json"), f.docs()
	if f.render {
		r, err := soak.Load(file)
		if err != nil {
			return err
		}
		return r.Write(filepath.Join(docs, "soak.md"), filepath.Join(docs, soak.Plot))
	}
	quick := duration < fullSoak
	if quick { // nobody must take this for a full run
		file, docs = filepath.Join(f.out(), "soak.json"), f.out()
	}
	logs, err := f.logs()
	if err != nil {
		return err
	}
	environment, err := results.NewEnvironment(ctx, f.binary, false)
	if err != nil {
		return err
	}
	begin, config := time.Now(), soak.NewConfig(duration)
	figures, moments, err := soak.Run(ctx, config, process.NewSala(f.binary, logs), os.Stdout)
	set := &results.Set{Date: begin.UTC(), Quick: quick, Duration: time.Since(begin).Round(time.Second), Environment: environment}
	r, err := soak.New(set, config, figures, moments, err)
	if err != nil {
		return err
	}
	page := filepath.Join(docs, "soak.md")
	err = errors.Join(r.Save(file), r.Write(page, filepath.Join(docs, soak.Plot)))
	fmt.Printf("\nresults: %s\npage:    %s\ntook:    %v\n", file, page, set.Duration)
	if failures := r.Failures(); len(failures) > 0 {
		err = errors.Join(err, errors.New(strings.Join(failures, "; ")))
	}
	return err
}
