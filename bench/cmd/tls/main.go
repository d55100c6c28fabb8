// Command tls measures what TLS in the broker costs, beside the same without it: the memory of an idle
// connection, the CPU of a connect with a full handshake and with a session ticket, and the CPU of a
// delivery. It prints a table for docs/scaling.md. The script bench/tls builds what it needs and runs
// it.
package main

import (
	"context"
	"crypto/tls"
	"errors"
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
	sala     string
	rounds   int
	clients  int
	quiet    time.Duration
	connects int
	members  int
	rate     int
	busyFor  time.Duration
	rsa      bool
}

func main() {
	debug.SetGCPercent(400) // memory is cheaper here than the server's processors
	var o options
	flag.StringVar(&o.sala, "sala", "../bin/sala", "the binary of Sala")
	flag.IntVar(&o.rounds, "rounds", 5, "how often to measure each")
	flag.IntVar(&o.clients, "clients", 5000, "clients that are idle")
	flag.DurationVar(&o.quiet, "quiet", 150*time.Second, "how long they are idle before memory is measured again; nodes free some after half a minute")
	flag.IntVar(&o.connects, "connects", 3000, "clients that connect one after the other, with their CPU measured")
	flag.IntVar(&o.members, "members", 1000, "clients of the room whose messages are measured")
	flag.IntVar(&o.rate, "rate", 50, "messages a second to that room")
	flag.DurationVar(&o.busyFor, "busy-for", 6*time.Second, "how long it gets them")
	flag.BoolVar(&o.rsa, "rsa", false, "use an RSA key of 2048 bits instead of one on the curve P-256")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "tls: error:", err)
		os.Exit(1)
	}
}

// figures are what one round has measured, without and with TLS.
type figures struct {
	idle, later [2]float64 // KiB a connection: right after connecting, and when nothing has happened for a while
	connect     [3]float64 // µs of CPU a client: without TLS, with a full handshake, with a ticket
	delivery    [2]float64 // µs of CPU
}

func run(ctx context.Context, o options) error {
	folder, err := os.MkdirTemp("", "sala-tls-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	b := &benchmark{options: o, sala: process.NewSala(o.sala, folder)}
	if b.certificate, err = newCertificate(folder, o.rsa); err != nil {
		return err
	}
	var all []figures
	for range o.rounds {
		f, err := b.round(ctx)
		if err != nil {
			return err
		}
		all = append(all, f)
	}
	printTable(all)
	return nil
}

// benchmark is one run of the program.
type benchmark struct {
	options
	sala        *process.Sala
	certificate *certificate
}

// round measures everything once, each without TLS and then with it.
func (b *benchmark) round(ctx context.Context) (f figures, err error) {
	for i, secured := range []bool{false, true} {
		config := b.config(secured, false)
		measure := func(what func(*process.Target) error) {
			if err == nil {
				err = b.serve(ctx, secured, what)
			}
		}
		measure(func(t *process.Target) error { return b.idle(ctx, t, config, &f.idle[i], &f.later[i]) })
		measure(func(t *process.Target) error { return b.connect(ctx, t, config, &f.connect[i]) })
		measure(func(t *process.Target) error { return b.deliver(ctx, t, config, &f.delivery[i]) })
	}
	if err != nil {
		return f, err
	}
	return f, b.serve(ctx, true, func(t *process.Target) error {
		return b.connect(ctx, t, b.config(true, true), &f.connect[2])
	})
}

func (b *benchmark) config(secured, resume bool) *tls.Config {
	if !secured {
		return nil
	}
	return b.certificate.config(resume)
}

// serve calls f with a server of its own.
func (b *benchmark) serve(ctx context.Context, secured bool, f func(t *process.Target) error) error {
	var args []string
	if secured {
		args = []string{"--tls-cert", b.certificate.cert, "--tls-key", b.certificate.key}
	}
	command, err := b.sala.Single("tls", args...)
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

// idle measures the memory of connections that only answer pings.
func (b *benchmark) idle(ctx context.Context, t *process.Target, config *tls.Config, right, later *float64) error {
	clients, err := load.NewClients(ctx, t, b.clients, load.InRooms(load.Everyone))
	if err != nil {
		return err
	}
	before, err := process.RSS(t.PID)
	if err != nil {
		return err
	}
	crowd, err := gather(ctx, t.Listen, config, clients)
	if err != nil {
		return err
	}
	defer crowd.stop()
	for _, step := range []struct {
		wait  time.Duration
		value *float64
	}{{time.Second, right}, {b.quiet, later}} {
		if err := load.Sleep(ctx, step.wait); err != nil {
			return err
		}
		now, err := process.RSS(t.PID)
		if err != nil {
			return err
		}
		*step.value = float64(now-before) / 1024 / float64(b.clients)
	}
	if lost := crowd.lost.Load(); lost > 0 {
		return fmt.Errorf("%d idle clients lost their connection", lost)
	}
	return nil
}

// connect measures the CPU of connects, including the verified token and the join of a room. The first
// ones, during which the server's tables grow, don't count.
func (b *benchmark) connect(ctx context.Context, t *process.Target, config *tls.Config, cpu *float64) error {
	clients, err := load.NewClients(ctx, t, b.connects, load.InRooms(load.Everyone))
	if err != nil {
		return err
	}
	warmUp := len(clients) / 10
	first, err := gather(ctx, t.Listen, config, clients[:warmUp])
	if err != nil {
		return err
	}
	defer first.stop()
	before, err := process.CPU(t.PID)
	if err != nil {
		return err
	}
	rest, err := gather(ctx, t.Listen, config, clients[warmUp:])
	if err != nil {
		return err
	}
	defer rest.stop()
	after, err := process.CPU(t.PID)
	if err != nil {
		return err
	}
	*cpu = load.Micros(after-before) / float64(len(rest.clients))
	resume := config != nil && config.ClientSessionCache != nil
	for _, c := range rest.clients {
		if c.resumed != resume {
			return errors.New("a handshake was not of the kind that is measured")
		}
	}
	return nil
}

// deliver measures the CPU of messages to a room, each alone.
func (b *benchmark) deliver(ctx context.Context, t *process.Target, config *tls.Config, cpu *float64) error {
	clients, err := load.NewClients(ctx, t, b.members, load.InRooms(load.Everyone))
	if err != nil {
		return err
	}
	crowd, err := gather(ctx, t.Listen, config, clients)
	if err != nil {
		return err
	}
	defer crowd.stop()
	publisher, err := load.NewEmitStream(ctx, t)
	if err != nil {
		return err
	}
	before, err := process.CPU(t.PID)
	if err != nil {
		return err
	}
	messages := uint64(b.busyFor.Seconds() * float64(b.rate))
	next := time.Now()
	for n := range messages {
		if err := publisher.Publish([]line.Message{{Room: load.Everyone, Payload: load.NewPayload(n+1, 0)}}); err != nil {
			return err
		}
		next = next.Add(time.Second / time.Duration(b.rate))
		if err := load.Sleep(ctx, time.Until(next)); err != nil {
			return err
		}
	}
	if _, err := publisher.Close(); err != nil {
		return err
	}
	deliveries := messages * uint64(b.members)
	if err := crowd.await(ctx, deliveries); err != nil {
		return err
	}
	after, err := process.CPU(t.PID)
	*cpu = load.Micros(after-before) / float64(deliveries)
	return err
}

// printTable prints the median of each figure, and the range.
func printTable(all []figures) {
	row := func(what, unit string, value func(f figures) float64) {
		values := make([]float64, len(all))
		for i, f := range all {
			values[i] = value(f)
		}
		slices.Sort(values)
		fmt.Printf("| %s | %.2f %s | %.2f to %.2f |\n", what, values[len(values)/2], unit, values[0], values[len(values)-1])
	}
	fmt.Println("| | median | range |")
	fmt.Println("|---|---:|---:|")
	for i, how := range []string{"without TLS", "over TLS"} {
		row("memory right after connecting, "+how, "KiB", func(f figures) float64 { return f.idle[i] })
		row("memory when idle, "+how, "KiB", func(f figures) float64 { return f.later[i] })
		row("CPU of a delivery, "+how, "µs", func(f figures) float64 { return f.delivery[i] })
	}
	for i, how := range []string{"without TLS", "with a full handshake", "with a session ticket"} {
		row("CPU of a connect "+how, "µs", func(f figures) float64 { return f.connect[i] })
	}
}
