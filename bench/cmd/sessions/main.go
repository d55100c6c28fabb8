// Command sessions measures what sessions cost that clients can return to: their memory, idle and
// under a steady stream of messages, beside clients without one; how long it takes until everybody
// has returned after all connections were cut at the same time; and what it costs to return at
// another node. It prints a table for docs/recovery.md. The script bench/sessions builds what it needs and runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/line"
	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
)

type options struct {
	sala          string
	rounds        int
	clients, busy int
	rate          int
	busyFor       time.Duration
	quiet         time.Duration
	missed        int
	moves         int
	onlyMoves     bool
}

func main() {
	debug.SetGCPercent(400) // memory is cheaper here than the server's processors
	var o options
	flag.StringVar(&o.sala, "sala", "../bin/sala", "the binary of Sala")
	flag.IntVar(&o.rounds, "rounds", 3, "how often to measure each")
	flag.IntVar(&o.clients, "clients", 10_000, "clients that are idle, and that return")
	flag.IntVar(&o.busy, "busy", 2000, "clients that receive a steady stream")
	flag.IntVar(&o.rate, "rate", 50, "messages a second to each of those")
	flag.DurationVar(&o.busyFor, "busy-for", time.Minute, "how long they receive them")
	flag.DurationVar(&o.quiet, "quiet", 45*time.Second, "how long nothing happens before memory is measured; nodes free some after half a minute")
	flag.IntVar(&o.missed, "missed", 5, "messages that each client misses before it returns")
	flag.IntVar(&o.moves, "moves", 4, "how often all clients return at the other node of a cluster")
	flag.BoolVar(&o.onlyMoves, "only-moves", false, "measure only connects to a cluster and returns at another node, in seconds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "sessions: error:", err)
		os.Exit(1)
	}
}

// figures are what one round has measured.
type figures struct {
	idle, busy [2]int64      // bytes a client, without and with sessions
	connect    time.Duration // CPU of a connect
	storm      time.Duration // until all have returned
	each       time.Duration // CPU of a return

	clusterConnect time.Duration // CPU of a connect to a node of a cluster, at all nodes
	takeOver       time.Duration // CPU of a return at another node, at all nodes
}

func run(ctx context.Context, o options) error {
	logs, err := os.MkdirTemp("", "sala-sessions-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(logs) }()
	sala := process.NewSala(o.sala, logs)
	var all []figures
	for range o.rounds {
		var f figures
		if o.onlyMoves {
			if err := o.moveAll(ctx, sala, &f); err != nil {
				return err
			}
			all = append(all, f)
			continue
		}
		for i, protocol := range []load.SocketIO{{}, {Recover: true}} {
			if err := serve(ctx, sala, func(t *process.Target) error { f.busy[i], err = o.stream(ctx, t, protocol); return err }); err != nil {
				return err
			}
			if err := serve(ctx, sala, func(t *process.Target) error { f.idle[i], err = o.idle(ctx, t, protocol); return err }); err != nil {
				return err
			}
		}
		if err := serve(ctx, sala, func(t *process.Target) error { return o.storm(ctx, t, &f) }); err != nil {
			return err
		}
		if err := o.moveAll(ctx, sala, &f); err != nil {
			return err
		}
		all = append(all, f)
	}
	o.print(all)
	return nil
}

// serve calls f with a server of its own.
func serve(ctx context.Context, sala *process.Sala, f func(t *process.Target) error) error {
	command, err := sala.Single("sessions", "--max-events-per-second", "0")
	if err != nil {
		return err
	}
	server, err := process.Start(ctx, &command)
	if err != nil {
		return err
	}
	defer server.Stop()
	return f(server.Target())
}

// grown returns by how many bytes a client the server has grown since it used that much.
func grown(t *process.Target, before process.Usage, clients int) (int64, error) {
	now, err := process.ReadUsage(t.PID)
	return (now.RSS - before.RSS) / int64(clients), err
}

func (o *options) idle(ctx context.Context, t *process.Target, protocol load.SocketIO) (int64, error) {
	clients, err := load.NewClients(ctx, t, o.clients, load.InRooms(load.Everyone))
	if err != nil {
		return 0, err
	}
	before, err := process.ReadUsage(t.PID)
	if err != nil {
		return 0, err
	}
	pool, err := load.ConnectAll(ctx, t, clients, load.Options{Protocol: protocol})
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	if err := load.Sleep(ctx, o.quiet); err != nil {
		return 0, err
	}
	return grown(t, before, o.clients)
}

// stream has all clients receive messages at the rate, and returns the memory at the end of it.
func (o *options) stream(ctx context.Context, t *process.Target, protocol load.SocketIO) (bytes int64, err error) {
	clients, err := load.NewClients(ctx, t, o.busy, load.InRooms(load.Everyone))
	if err != nil {
		return 0, err
	}
	before, err := process.ReadUsage(t.PID)
	if err != nil {
		return 0, err
	}
	pool, err := load.ConnectAll(ctx, t, clients, load.Options{Protocol: protocol})
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	publisher, err := load.NewEmitStream(ctx, t)
	if err != nil {
		return 0, err
	}
	defer func() { _, _ = publisher.Close() }() // what it says is checked by counting
	messages := uint64(o.busyFor/time.Second) * uint64(o.rate)
	next := time.Now()
	for n := range messages {
		if err := publisher.Publish([]line.Message{{Room: load.Everyone, Payload: load.NewPayload(n+1, pool.Clock())}}); err != nil {
			return 0, err
		}
		next = next.Add(time.Second / time.Duration(o.rate))
		if err := load.Sleep(ctx, time.Until(next)); err != nil {
			return 0, err
		}
	}
	bytes, err = grown(t, before, o.busy)
	if err != nil {
		return 0, err
	}
	if err := pool.Await(ctx, messages*uint64(o.busy), 10*time.Second); err != nil {
		return 0, err
	}
	if counts, err := pool.Counts(); err != nil || counts.Disorder+counts.Gone > 0 || counts.Deliveries != messages*uint64(o.busy) {
		return 0, fmt.Errorf("the clients received %+v, %w", counts, err)
	}
	return bytes, nil
}

// print prints the median of each figure, and the range.
func (o *options) print(all []figures) {
	row := func(what, unit string, value func(f figures) float64) {
		values := make([]float64, len(all))
		for i, f := range all {
			values[i] = value(f)
		}
		slices.Sort(values)
		if values[len(values)-1] == 0 {
			return // it wasn't measured
		}
		fmt.Printf("| %s | %.2f %s | %.2f to %.2f |\n", what, values[len(values)/2], unit, values[0], values[len(values)-1])
	}
	fmt.Println("| | median | range |")
	fmt.Println("|---|---:|---:|")
	kilobytes := func(n int64) float64 { return float64(n) / 1024 }
	row("memory of an idle client", "KiB", func(f figures) float64 { return kilobytes(f.idle[0]) })
	row("memory of an idle session", "KiB more", func(f figures) float64 { return kilobytes(f.idle[1] - f.idle[0]) })
	busy := fmt.Sprintf("at %d messages a second", o.rate)
	row("memory of a client "+busy, "KiB", func(f figures) float64 { return kilobytes(f.busy[0]) })
	row("memory of a session "+busy, "KiB more", func(f figures) float64 { return kilobytes(f.busy[1] - f.busy[0]) })
	row("CPU of a connect", "µs", func(f figures) float64 { return load.Micros(f.connect) })
	row("CPU of a return", "µs", func(f figures) float64 { return load.Micros(f.each) })
	row("CPU of a connect in a cluster, at both nodes", "µs", func(f figures) float64 { return load.Micros(f.clusterConnect) })
	row("CPU of a return at the other node, at both", "µs", func(f figures) float64 { return load.Micros(f.takeOver) })
	row("that, by a connect in a cluster", "×", func(f figures) float64 { return float64(f.takeOver) / float64(f.clusterConnect) })
	row(fmt.Sprintf("%d clients return, with %d messages each", o.clients, o.missed), "s", func(f figures) float64 { return f.storm.Seconds() })
}
