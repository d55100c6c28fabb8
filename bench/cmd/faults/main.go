// Command faults tries out what becomes of Sala when clients stall, vanish or are sent away, when backends are killed,
// and of a cluster when its nodes or its Redis are; bench/faults builds what it needs and then calls it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/internal/faults"
	"github.com/salabroker/sala/bench/internal/runner"
)

// deadline is for all of it.
const deadline = time.Hour

// options are the flags.
type options struct {
	home  string
	sala  string
	quick bool
	only  string
}

func main() {
	var o options
	flag.StringVar(&o.home, "home", ".", "the folder of the benchmarks")
	flag.StringVar(&o.sala, "sala", "../bin/sala", "the product's binary")
	flag.BoolVar(&o.quick, "quick", false, "in small, some minutes")
	flag.StringVar(&o.only, "only", "", "only these faults, separated by commas")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("the faults took longer than %v", deadline))
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "faults: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	plan := runner.FaultPlan()
	if o.quick {
		plan = runner.QuickFaultPlan()
	}
	if o.only != "" {
		plan = plan.Only(strings.Split(o.only, ","))
	}
	out := filepath.Join(o.home, "out")
	logs := filepath.Join(out, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	set, err := runner.New(runner.Config{
		Home: o.home, Sala: o.sala, Logs: logs, Peers: []string{runner.Sala}, Progress: os.Stdout, Describe: faults.Describe,
	}).Run(ctx, plan)
	if set == nil {
		return err
	}
	results, page := filepath.Join(o.home, "faults.json"), filepath.Join(o.home, "..", "docs", "faults.md")
	if o.quick || o.only != "" { // not where it could be mistaken for all of it
		results, page = filepath.Join(out, "faults.json"), filepath.Join(out, "faults.md")
	}
	err = errors.Join(err, set.Save(results), faults.WritePage(set, page))
	fmt.Printf("\nresults: %s\npage:    %s\ntook:    %v\n", results, page, set.Duration)
	if failed := faults.Failed(set); len(failed) > 0 {
		err = errors.Join(err, fmt.Errorf("failed: %s", strings.Join(failed, ", ")))
	}
	return err
}
