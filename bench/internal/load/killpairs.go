package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// apart is how long after one server the next one is killed, at the most.
	apart = 2 * time.Second
	// toldWithin is how long backends may not have heard of the end of a client. Servers notice within 5 s, and again
	// if the one that was to tell was killed as well.
	toldWithin = 20 * time.Second
)

// ends are what backends have heard of the end of sockets.
type ends struct {
	mu    sync.Mutex
	first map[string]int // by socket
	again map[string]int // marked as redelivered
}

// runKillPairs kills all servers but one within two seconds, as a power cut does to several machines. The one that is
// left must tell backends of each client of the others, once.
func runKillPairs(ctx context.Context, j *job.Job) (job.Figures, error) {
	k := &kills{at: make([][]time.Time, len(j.Servers)-1)}
	v := verdict{grace: lostWithNode, owed: func(e emission, s *span) bool { return e.node == s.node && !k.near(e) }}
	return runTrouble(ctx, j, v, func(t *trouble, ctx context.Context) error {
		for round := range j.Rounds {
			if err := t.killAllBut(ctx, k, round%len(t.stage.nodes)); err != nil {
				return fmt.Errorf("round %d: %w", round+1, err)
			}
			t.figures[job.Kills] += float64(len(t.stage.nodes) - 1)
		}
		return nil
	})
}

// killAllBut kills all servers but one, waits until the one that is left has told of their clients, and starts them
// again.
func (t *trouble) killAllBut(ctx context.Context, k *kills, survivor int) error {
	e := &ends{first: make(map[string]int), again: make(map[string]int)}
	stop, err := t.hearEnds(ctx, survivor, e)
	if err != nil {
		return err
	}
	defer stop()
	// Backends are known to all servers, and clients to those that tell of them, in a moment.
	if err := pause(ctx, 2*lostWithNode); err != nil {
		return err
	}
	gone := make(map[string]bool)
	first := true
	for victim := range t.stage.nodes {
		if victim == survivor {
			continue
		}
		if !first {
			if err := pause(ctx, rand.N(apart)); err != nil {
				return err
			}
		}
		first = false
		now := time.Now()
		for _, w := range t.witnesses.list {
			if s := w.connected(); s != nil && s.node == victim && now.Sub(s.from) > lostWithNode {
				gone[s.id] = true
			}
		}
		k.at[victim] = append(k.at[victim], now)
		t.stage.killNode(victim)
	}
	begin := time.Now()
	for e.missing(gone) > 0 && time.Since(begin) < toldWithin {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	t.most(job.Told, time.Since(begin).Seconds())
	if err := pause(ctx, 2*lostWithNode); err != nil {
		return err
	}
	t.figures[job.Ends] += float64(len(gone))
	t.figures[job.Unsaid] += float64(e.missing(gone))
	t.figures[job.Twice] += float64(e.twice(gone))
	for victim := range t.stage.nodes {
		if victim != survivor {
			if err := t.stage.startNode(ctx, victim); err != nil {
				return err
			}
		}
	}
	_, err = t.whole(ctx)
	return err
}

// hearEnds subscribes to the end of sockets at a server, until stop is called.
func (t *trouble) hearEnds(ctx context.Context, node int, e *ends) (stop func(), err error) {
	conn, err := t.stage.control(node)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var hearing sync.WaitGroup
	stop = func() {
		cancel()
		hearing.Wait()
		conn.Close()
	}
	stream, err := salav1.NewEventServiceClient(conn).Subscribe(authorized(ctx, t.stage.jobOf(node)), grpc.WaitForReady(true))
	if err == nil {
		err = stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{
			Kinds: []salav1.EventKind{salav1.EventKind_EVENT_KIND_DISCONNECT}, Credits: 100_000,
		}}})
	}
	if err == nil {
		_, err = stream.Recv() // that it has begun
	}
	if err != nil {
		stop()
		return nil, err
	}
	hearing.Go(func() {
		for {
			answer, err := stream.Recv()
			if err != nil {
				return
			}
			e.add(answer.GetEvent())
		}
	})
	return stop, nil
}

func (e *ends) add(event *salav1.ClientEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := event.GetSocket().GetId()
	if event.GetRedelivered() {
		e.again[id]++
	} else {
		e.first[id]++
	}
}

// missing returns of how many sockets nothing was heard.
func (e *ends) missing(gone map[string]bool) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range gone {
		if e.first[id]+e.again[id] == 0 {
			n++
		}
	}
	return n
}

// twice returns of how many sockets more was heard than may be.
func (e *ends) twice(gone map[string]bool) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range gone {
		if e.first[id] > 1 || e.first[id]+e.again[id] > 1 {
			n++
		}
	}
	return n
}
