// Command soak has clients of all kinds come and go at Sala for long, and looks at whether it grows; bench/soak builds what it
// needs and then calls it.
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

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/runner"
	"github.com/salabroker/sala/bench/internal/soak"
)

// fullDuration is how long a soak takes that is published.
const fullDuration = 20 * time.Minute

// options are the flags.
type options struct {
	home     string
	sala     string
	duration time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.home, "home", ".", "the folder of the benchmarks")
	flag.StringVar(&o.sala, "sala", "../bin/sala", "the product's binary")
	flag.DurationVar(&o.duration, "duration", fullDuration, "how long; less than the default is a smoke test")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "soak: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	out := filepath.Join(o.home, "out")
	logs := filepath.Join(out, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	var moments []job.Moment
	set, err := runner.New(runner.Config{
		Home: o.home, Sala: o.sala, Logs: logs, Peers: []string{runner.Sala}, Progress: os.Stdout,
		Moment: func(m job.Moment) {
			if moments = append(moments, m); len(moments)%6 == 1 { // each half minute
				fmt.Println(soak.Describe(m))
			}
		},
	}).Run(ctx, runner.SoakPlan(o.duration, o.duration < fullDuration))
	if set == nil {
		return err
	}
	r := soak.New(set, moments)
	results, docs := filepath.Join(o.home, "soak.json"), filepath.Join(o.home, "..", "docs")
	if set.Quick { // not where it could be mistaken for all of it
		results, docs = filepath.Join(out, "soak.json"), out
	}
	page := filepath.Join(docs, "soak.md")
	err = errors.Join(err, r.Save(results), r.Write(page, filepath.Join(docs, soak.Plot)))
	fmt.Printf("\nresults: %s\npage:    %s\ntook:    %v\n", results, page, set.Duration)
	if failures := r.Failures(); len(failures) > 0 {
		err = errors.Join(err, errors.New(strings.Join(failures, "; ")))
	}
	return err
}
