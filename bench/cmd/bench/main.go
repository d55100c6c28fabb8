// Command bench runs the benchmarks and writes docs/benchmarks.md. The script bench/run builds what
// it needs and runs it.
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
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/internal/bench"
	"github.com/salabroker/sala/bench/internal/report"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
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
	debug.SetGCPercent(400) // memory is cheaper here than the server's processors
	if len(os.Args) > 1 && os.Args[1] == process.ChildArgument {
		serveChild()
		return
	}
	var o options
	flag.StringVar(&o.home, "home", ".", "the folder bench/ of the project")
	flag.StringVar(&o.sala, "sala", "../bin/sala", "the binary of Sala")
	flag.BoolVar(&o.quick, "quick", false, "run a smoke test with small numbers, whose figures mean nothing")
	flag.IntVar(&o.runs, "runs", 5, "how often to make each measurement; 1 with -quick")
	flag.StringVar(&o.profiles, "profiles", "", "run only these profiles, separated by commas")
	flag.StringVar(&o.peers, "peers", "", "compare only these servers, separated by commas")
	flag.BoolVar(&o.render, "render", false, "write the page from the results of the last full run, without measuring")
	flag.DurationVar(&o.deadline, "deadline", 2*time.Hour, "how long everything may take")
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

// serveChild runs one benchmark, as a child of this program.
func serveChild() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := process.ServeChild(ctx, os.Stdin, os.Stdout, bench.Roles()); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.render {
		set, err := results.Load(filepath.Join(o.home, "results.json"))
		if err != nil {
			return err
		}
		return report.Write(set, filepath.Join(o.home, "..", "docs"))
	}
	if o.quick {
		o.runs = 1
	}
	plan := bench.NewPlan(o.quick, o.runs)
	if o.profiles != "" {
		plan = plan.Only(strings.Split(o.profiles, ","))
	}
	out := filepath.Join(o.home, "out")
	logs := filepath.Join(out, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	cfg := bench.Config{Home: o.home, Sala: o.sala, Logs: logs, Progress: os.Stderr}
	if o.peers != "" {
		cfg.Peers = strings.Split(o.peers, ",")
	}
	set, err := bench.NewRunner(cfg).Run(ctx, plan)
	if set == nil {
		return err
	}
	return errors.Join(err, publish(o, out, set), failures(set))
}

// publish writes the results and the page: to docs/ after a full run, and to bench/out otherwise.
func publish(o options, out string, set *results.Set) error {
	file, docs := filepath.Join(o.home, "results.json"), filepath.Join(o.home, "..", "docs")
	if o.quick || o.profiles != "" || o.peers != "" || len(set.Failed()) > 0 {
		file, docs = filepath.Join(out, "results.json"), out
	}
	if err := set.Save(file); err != nil {
		return err
	}
	if err := report.Write(set, docs); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "\nresults: %s\npage:    %s\ntook:    %v\n", file, filepath.Join(docs, report.Page), set.Duration)
	return nil
}

// failures returns an error if a measurement failed.
func failures(set *results.Set) error {
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
