// Command bench runs the benchmarks; bench/run builds what it needs and then calls it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/internal/report"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

// options are the flags.
type options struct {
	home     string
	sala     string
	quick    bool
	runs     int
	profiles string
	peers    string
	render   bool
	deadline time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.home, "home", ".", "the folder of the benchmarks")
	flag.StringVar(&o.sala, "sala", "../bin/sala", "the product's binary")
	flag.BoolVar(&o.quick, "quick", false, "small and once: a smoke test, whose figures mean nothing")
	flag.IntVar(&o.runs, "runs", 5, "how often each measurement is made; 1 with -quick")
	flag.StringVar(&o.profiles, "profiles", "", "only these profiles, separated by commas")
	flag.StringVar(&o.peers, "peers", "", "only these servers, separated by commas")
	flag.BoolVar(&o.render, "render", false, "write the page from the results that there are, without measuring")
	flag.DurationVar(&o.deadline, "deadline", 2*time.Hour, "how long all of it may take")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, o.deadline, errors.New("the benchmarks took longer than -deadline"))
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.render {
		set, err := result.Load(filepath.Join(o.home, "results.json"))
		if err != nil {
			return err
		}
		return report.Write(set, filepath.Join(o.home, "..", "docs"))
	}
	plan := runner.FullPlan(o.runs)
	if o.quick {
		plan = runner.QuickPlan(1)
	}
	if o.profiles != "" {
		plan = plan.Only(strings.Split(o.profiles, ","))
	}
	out := filepath.Join(o.home, "out")
	logs := filepath.Join(out, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	cfg := runner.Config{Home: o.home, Sala: o.sala, Logs: logs, Progress: os.Stderr}
	if o.peers != "" {
		cfg.Peers = strings.Split(o.peers, ",")
	}
	set, err := runner.New(cfg).Run(ctx, plan)
	if set == nil {
		return err
	}
	return errors.Join(err, publish(o, out, set), failures(set))
}

// publish writes results and page: into docs if it was all of it, or else where nobody mistakes it for that.
func publish(o options, out string, set *result.Set) error {
	results, docs := filepath.Join(o.home, "results.json"), filepath.Join(o.home, "..", "docs")
	if o.quick || o.profiles != "" || o.peers != "" || len(set.Failed()) > 0 {
		results, docs = filepath.Join(out, "results.json"), out
	}
	if err := set.Save(results); err != nil {
		return err
	}
	if err := report.Write(set, docs); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "\nresults: %s\npage:    %s\ntook:    %v\n", results, filepath.Join(docs, report.Page), set.Duration)
	return nil
}

// failures returns an error if a measurement has failed.
func failures(set *result.Set) error {
	var names []string
	for _, sample := range set.Failed() {
		names = append(names, sample.Profile+" of "+sample.Peer)
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("%d measurements failed: %s", len(names), strings.Join(slices.Compact(names), ", "))
}
