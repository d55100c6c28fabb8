// Command forwarding measures what it costs that requests may go to any node of a cluster: clients
// whose requests all reach the node of their session, as with sticky sessions, beside clients whose
// requests all reach another node. It prints a table for docs/scaling.md. The script
// bench/forwarding builds what it needs and runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/line"
	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
)

type options struct {
	sala                string
	rounds              int
	webSockets, polling int // clients
	messages            int
	every, quiet        time.Duration
}

func main() {
	debug.SetGCPercent(400) // memory is cheaper here than the server's processors
	var o options
	flag.StringVar(&o.sala, "sala", "../bin/sala", "the binary of Sala")
	flag.IntVar(&o.rounds, "rounds", 3, "how often to measure each")
	flag.IntVar(&o.webSockets, "websockets", 1000, "clients that upgrade to WebSocket")
	flag.IntVar(&o.polling, "polling", 200, "clients that stay on long-polling")
	flag.IntVar(&o.messages, "messages", 50, "messages to each client, and from each over WebSocket")
	flag.DurationVar(&o.every, "every", 100*time.Millisecond, "time between two messages")
	flag.DurationVar(&o.quiet, "quiet", 45*time.Second, "how long nothing happens before memory is measured; nodes free some after half a minute")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "forwarding: error:", err)
		os.Exit(1)
	}
}

// cost is what one thing costs: CPU of the node that has the session, and of the one in between.
type cost struct{ owner, between time.Duration }

// table holds the costs of each round, by what is measured and then by way.
type table map[string]map[string][]cost

// The ways of requests.
const (
	direct = "to its node"
	passed = "to another node"
)

// What is measured, in the order of the table.
var rows = []string{
	"connecting over long-polling at its node, and upgrading",
	"a message to a client over WebSocket",
	"a message from a client over WebSocket",
	"a message to a client over long-polling, and its next poll",
	"memory of an idle WebSocket",
}

func run(ctx context.Context, o options) error {
	logs, err := os.MkdirTemp("", "sala-forwarding-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(logs) }()
	results := make(table)
	for _, row := range rows {
		results[row] = make(map[string][]cost)
	}
	sala := process.NewSala(o.sala, logs)
	for range o.rounds {
		for _, way := range []string{direct, passed} {
			if err := measure(ctx, sala, o, way, results); err != nil {
				return err
			}
		}
	}
	results.print()
	return nil
}

// measure measures one way with a cluster of its own.
func measure(ctx context.Context, sala *process.Sala, o options, way string, results table) error {
	commands, err := sala.Cluster("node", "--max-events-per-second", "0")
	if err != nil {
		return err
	}
	commands.Nodes = commands.Nodes[:2]
	cluster, err := process.StartCluster(ctx, commands)
	if err != nil {
		return err
	}
	defer cluster.Stop()
	m := &measurement{options: o, way: way, results: results, owner: *cluster.Nodes[0].Target(), between: *cluster.Nodes[1].Target()}
	if err := load.AwaitNodes(ctx, &m.owner, 2); err != nil {
		return err
	}
	if m.to, err = load.NewDialer(m.owner.Listen); err != nil {
		return err
	}
	if way == passed {
		if m.to, err = load.NewDialer(m.between.Listen); err != nil {
			return err
		}
	}
	if err := m.webSocketClients(ctx); err != nil {
		return err
	}
	return m.pollingClients(ctx)
}

// measurement measures one way.
type measurement struct {
	options
	way            string
	results        table
	owner, between process.Target
	to             *load.Dialer // where the requests of sessions go
}

// during records what do costs for each of n things.
func (m *measurement) during(row string, n int, do func() error) error {
	before, err := m.usage()
	if err == nil {
		err = do()
	}
	if err != nil {
		return err
	}
	after, err := m.usage()
	if err != nil {
		return err
	}
	per := func(i int) time.Duration { return (after[i].CPU - before[i].CPU) / time.Duration(n) }
	m.record(row, cost{per(0), per(1)})
	return nil
}

func (m *measurement) record(row string, c cost) {
	m.results[row][m.way] = append(m.results[row][m.way], c)
}

func (m *measurement) usage() (both [2]process.Usage, err error) {
	for i, t := range []process.Target{m.owner, m.between} {
		if both[i], err = process.ReadUsage(t.PID); err != nil {
			return both, err
		}
	}
	return both, nil
}

// upgrading opens sessions at a node over long-polling, and upgrades them over another.
type upgrading struct {
	load.SocketIO
	to *load.Dialer
}

// Open implements [load.Protocol].
func (u upgrading) Open(d *load.Dialer, c load.Client) (*load.Conn, error) {
	polling, _, err := load.OpenPolling(d, c)
	if err != nil {
		return nil, err
	}
	defer polling.Close()
	return polling.Upgrade(u.to)
}

func (m *measurement) webSocketClients(ctx context.Context) error {
	clients, err := load.NewClients(ctx, &m.owner, m.webSockets, load.InRooms(load.Everyone))
	if err != nil {
		return err
	}
	idle, err := m.usage()
	if err != nil {
		return err
	}
	var pool *load.Pool
	err = m.during(rows[0], m.webSockets, func() error {
		pool, err = load.ConnectAll(ctx, &m.owner, clients, load.Options{Protocol: upgrading{to: m.to}})
		return err
	})
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := load.Sleep(ctx, m.quiet); err != nil {
		return err
	}
	connected, err := m.usage()
	if err != nil {
		return err
	}
	grown := func(i int) time.Duration {
		return time.Duration(connected[i].RSS-idle[i].RSS) / time.Duration(m.webSockets)
	}
	m.record(rows[4], cost{grown(0), grown(1)})
	if err := m.toClients(ctx, rows[1], m.webSockets, func(deliveries uint64) error {
		return pool.Await(ctx, deliveries, 10*time.Second)
	}); err != nil {
		return err
	}
	if counts, err := pool.Counts(); err != nil || counts.Disorder+counts.Gone > 0 || counts.Deliveries != uint64(m.messages*m.webSockets) {
		return fmt.Errorf("the clients received %+v, %w", counts, err)
	}
	return m.during(rows[2], m.messages*m.webSockets, func() error {
		for range m.messages {
			for i := range m.webSockets {
				if err := pool.Send(i, []byte(`42["unhandled","a message of a client"]`)); err != nil {
					return err
				}
			}
			if err := load.Sleep(ctx, m.every); err != nil {
				return err
			}
		}
		return load.Sleep(ctx, time.Second) // nothing tells when the last has arrived
	})
}

// toClients publishes messages to all clients and waits until they have arrived.
func (m *measurement) toClients(ctx context.Context, row string, clients int, await func(deliveries uint64) error) error {
	publisher, err := load.NewEmitStream(ctx, &m.owner)
	if err != nil {
		return err
	}
	defer func() { _, _ = publisher.Close() }() // what it says is checked by counting
	start := time.Now()
	return m.during(row, m.messages*clients, func() error {
		for n := range uint64(m.messages) {
			payload := load.NewPayload(n+1, time.Since(start))
			if err := publisher.Publish([]line.Message{{Room: load.Everyone, Payload: payload}}); err != nil {
				return err
			}
			if err := load.Sleep(ctx, m.every); err != nil {
				return err
			}
		}
		return await(uint64(m.messages * clients))
	})
}

func (m *measurement) pollingClients(ctx context.Context) error {
	clients, err := load.NewClients(ctx, &m.owner, m.polling, load.InRooms(load.Everyone))
	if err != nil {
		return err
	}
	at, err := load.NewDialer(m.owner.Listen)
	if err != nil {
		return err
	}
	var polls sync.WaitGroup
	failed := make(chan error, m.polling)
	for _, client := range clients {
		p, _, err := load.OpenPolling(at, client)
		if err != nil {
			return err
		}
		p.Close()
		if p.Conn, err = m.to.Dial(); err == nil {
			err = p.StartPoll()
		}
		if err != nil {
			return err
		}
		polls.Go(func() { failed <- m.poll(p) })
	}
	if err := load.Sleep(ctx, time.Second); err != nil {
		return err
	}
	return m.toClients(ctx, rows[3], m.polling, func(uint64) (err error) {
		polls.Wait()
		close(failed)
		for one := range failed {
			if one != nil {
				err = one
			}
		}
		return err
	})
}

// poll polls until all messages have come.
func (m *measurement) poll(p *load.Polling) error {
	defer p.Close()
	for received := 0; received < m.messages; {
		body, err := p.FinishPoll()
		if err != nil {
			return err
		}
		for packet := range strings.SplitSeq(string(body), load.PacketSeparator) {
			if packet == "2" {
				return fmt.Errorf("a ping came: the messages took too long")
			}
			received++
		}
		if err := p.StartPoll(); err != nil {
			return err
		}
	}
	return nil
}

// print prints the median of each cost.
func (t table) print() {
	fmt.Println("| | all requests go " + direct + " | " + passed + ": the session's node | the node in between |")
	fmt.Println("|---|---:|---:|---:|")
	for _, row := range rows {
		show := func(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond)) }
		if row == rows[4] {
			show = func(bytes time.Duration) string { return fmt.Sprintf("%.1f KiB", float64(bytes)/1024) }
		}
		owner := func(c cost) time.Duration { return c.owner }
		between := func(c cost) time.Duration { return c.between }
		fmt.Printf("| %s | %s | %s | %s |\n", row,
			show(median(t[row][direct], owner)), show(median(t[row][passed], owner)), show(median(t[row][passed], between)))
	}
}

func median(costs []cost, of func(cost) time.Duration) time.Duration {
	all := make([]time.Duration, len(costs))
	for i, c := range costs {
		all[i] = of(c)
	}
	slices.Sort(all)
	return all[len(all)/2]
}
