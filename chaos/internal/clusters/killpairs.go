package clusters

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// longestApart is how long after one node the next one is killed at most.
	longestApart = 2 * time.Second
	// toldTimeout is how long a backend may not know of the end of a client. Nodes notice within 5
	// s, and again if the node that was to tell backends was killed as well.
	toldTimeout = 20 * time.Second
)

// KillPairs kills all nodes but one at about the same time.
type KillPairs struct {
	Traffic
	Rounds int
}

// NewKillPairs returns the scenario.
func NewKillPairs(quick bool) scenario.Scenario {
	return &KillPairs{traffic(quick), rounds(quick, 6, 1)}
}

// Info implements [scenario.Scenario].
func (s *KillPairs) Info() scenario.Info {
	return scenario.Info{
		Name:  "kill-pairs",
		Title: "Nodes that are killed together",
		Description: s.describe() + fmt.Sprintf("%d times two of the three are killed (`kill -9`), up to 2 s apart, as a power cut does. A backend at the "+
			"third must be told once of the end of each of their clients that had been connected for a second.", s.Rounds),
		Limits: limits(
			scenario.Zero(figureUnsaid, "clients of whose end the backend was not told"),
			scenario.Zero(scenario.AnsweredTwice, "clients of whose end it was told twice"),
			scenario.Limit{Figure: figureTold, Max: 12, What: "seconds until it had all notifications"},
		),
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%s; %.0f kills; %.0f clients of killed nodes", summary(f), f[scenario.Kills], f[figureEnds])
		},
	}
}

// Run implements [scenario.Scenario].
func (s *KillPairs) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	k := make(kills, 3)
	v := verdict{grace: lostWithNode, owed: func(m message, c *connection) bool { return m.node == c.node && !k.near(m) }}
	return run(ctx, env, options{traffic: s.Traffic, verdict: v}, func(r *chaosRun, ctx context.Context) error {
		for n := range s.Rounds {
			if err := r.killAllBut(ctx, k, n%len(r.cluster.Nodes)); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
			r.figures[scenario.Kills] += float64(len(r.cluster.Nodes) - 1)
		}
		return nil
	})
}

// killAllBut kills all nodes but one, waits until that one has told a backend of their clients, and
// starts them again.
func (r *chaosRun) killAllBut(ctx context.Context, k kills, survivor int) error {
	d := &disconnects{first: make(map[string]int), again: make(map[string]int)}
	stop, err := r.subscribe(ctx, survivor, d)
	if err != nil {
		return err
	}
	defer stop()
	// All nodes know the backend, and the nodes that report the end of clients know these, a moment
	// later.
	if err := load.Sleep(ctx, 2*lostWithNode); err != nil {
		return err
	}
	gone, err := r.killOthers(ctx, k, survivor)
	if err != nil {
		return err
	}
	begin := time.Now()
	for d.missing(gone) > 0 && time.Since(begin) < toldTimeout {
		if err := load.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	r.figures.Raise(figureTold, time.Since(begin).Seconds())
	if err := load.Sleep(ctx, 2*lostWithNode); err != nil {
		return err
	}
	r.figures[figureEnds] += float64(len(gone))
	r.figures[figureUnsaid] += float64(d.missing(gone))
	r.figures[scenario.AnsweredTwice] += float64(d.twice(gone))
	for node := range r.cluster.Nodes {
		if node == survivor {
			continue
		}
		if err := r.cluster.startNode(ctx, node); err != nil {
			return err
		}
	}
	_, err = r.awaitComplete(ctx)
	return err
}

// killOthers kills all nodes but one and returns the sockets that had been connected to them for a
// while.
func (r *chaosRun) killOthers(ctx context.Context, k kills, survivor int) (gone map[string]bool, err error) {
	gone = make(map[string]bool)
	first := true
	for node := range r.cluster.Nodes {
		if node == survivor {
			continue
		}
		if !first {
			if err := load.Sleep(ctx, rand.N(longestApart)); err != nil {
				return nil, err
			}
		}
		first = false
		now := time.Now()
		for _, client := range r.clients.list {
			if c := client.connected(); c != nil && c.node == node && now.Sub(c.from) > lostWithNode {
				gone[c.id] = true
			}
		}
		k[node] = append(k[node], now)
		r.cluster.killNode(node)
	}
	return gone, nil
}

// disconnects counts the notifications about the end of sockets that a backend received.
type disconnects struct {
	mu    sync.Mutex
	first map[string]int // by socket
	again map[string]int // those marked as redelivered
}

// subscribe subscribes to the end of sockets at a node, until stop is called.
func (r *chaosRun) subscribe(ctx context.Context, node int, d *disconnects) (stop func(), err error) {
	conn, err := r.cluster.dialControl(node)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var receiving sync.WaitGroup
	stop = func() {
		cancel()
		receiving.Wait()
		conn.Close()
	}
	stream, err := salav1.NewEventServiceClient(conn).Subscribe(r.cluster.target(node).Authorize(ctx), grpc.WaitForReady(true))
	if err == nil {
		err = stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{
			Kinds: []salav1.EventKind{salav1.EventKind_EVENT_KIND_DISCONNECT}, Credits: 100_000,
		}}})
	}
	if err == nil {
		_, err = stream.Recv() // says that it has started
	}
	if err != nil {
		stop()
		return nil, err
	}
	receiving.Go(func() {
		for {
			answer, err := stream.Recv()
			if err != nil {
				return
			}
			d.add(answer.GetEvent())
		}
	})
	return stop, nil
}

func (d *disconnects) add(event *salav1.ClientEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := event.GetSocket().GetId()
	if event.GetRedelivered() {
		d.again[id]++
	} else {
		d.first[id]++
	}
}

// missing returns of how many sockets the backend was not told.
func (d *disconnects) missing(gone map[string]bool) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range gone {
		if d.first[id]+d.again[id] == 0 {
			n++
		}
	}
	return n
}

// twice returns of how many sockets the backend was told more often than allowed.
func (d *disconnects) twice(gone map[string]bool) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range gone {
		if d.first[id] > 1 || d.first[id]+d.again[id] > 1 {
			n++
		}
	}
	return n
}
