package forward_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/eventhub"
)

// model records what was published and what backends were handed, at all nodes.
type model struct {
	t   *testing.T
	net *network

	mu     sync.Mutex
	events []*modelEvent
}

// modelEvent is what became of an event.
type modelEvent struct {
	from        string // its node
	asks        bool
	delivered   int // unmarked
	redelivered int
	replies     []eventhub.Reply
}

// publish lets a client of a node send an event.
func (m *model) publish(n *node, r *rand.Rand) {
	m.mu.Lock()
	e := &modelEvent{from: string(n.id), asks: r.IntN(2) == 0}
	name := fmt.Sprint(len(m.events))
	m.events = append(m.events, e)
	m.mu.Unlock()
	event := message(fmt.Sprint(n.id, r.IntN(4)), name)
	if !e.asks {
		n.Publish(event)
		return
	}
	n.Ask(event, func(reply eventhub.Reply) {
		m.mu.Lock()
		defer m.mu.Unlock()
		e.replies = append(e.replies, reply)
	})
}

// serve is a backend that takes up to most events, or any number if most is negative, and leaves with
// some of them unanswered. It checks the order of each socket's events.
func (m *model) serve(n *node, most int, r *rand.Rand, stop <-chan struct{}) {
	s, err := n.Subscribe(eventhub.SubscribeOptions{Group: "g", Credits: 1 + r.IntN(50)})
	if err != nil {
		m.t.Error(err)
		return
	}
	last := make(map[string]int)
	var into [8]eventhub.Delivery
	for most != 0 {
		count, err := s.Take(into[:1+r.IntN(8)])
		if err != nil {
			return
		}
		for _, d := range into[:count] {
			m.record(d, last)
			if most > 0 {
				most--
			}
			if most == 0 {
				continue // leaves them unanswered
			}
			if d.NeedsAck {
				_ = s.Reply(d.ID, eventhub.Reply{Args: json.RawMessage(`[1]`)}) // may be late
			}
			_ = s.Credit(1)
		}
		if count == 0 {
			select {
			case <-s.Ready():
			case <-stop:
				most = 0
			}
		}
	}
	s.Close()
}

func (m *model) record(d eventhub.Delivery, last map[string]int) {
	var number int
	_, _ = fmt.Sscan(d.Event.Name, &number)
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.Redelivered {
		m.events[number].redelivered++
	} else {
		m.events[number].delivered++
	}
	if before, ok := last[d.Event.Socket.ID]; ok && before >= number {
		m.t.Errorf("event %d came after %d", number, before)
	}
	last[d.Event.Socket.ID] = number
}

// check checks what became of every event. Lost names the node that was lost: what became of its own
// clients' events is unknown.
func (m *model) check(lost string, lossy bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	failed := make(map[string]int)
	for i, e := range m.events {
		if e.from == lost {
			continue
		}
		switch {
		case e.delivered+e.redelivered == 0 && !e.asks:
			m.t.Errorf("event %d of %s was never handed out", i, e.from)
		case e.delivered > 1:
			m.t.Errorf("event %d of %s was handed out %d times, unmarked", i, e.from, e.delivered)
		case e.redelivered > 0 && !e.asks && !lossy && lost == "":
			m.t.Errorf("event %d of %s was handed out again, without need", i, e.from)
		case e.asks && len(e.replies) != 1:
			m.t.Errorf("event %d of %s was answered %d times", i, e.from, len(e.replies))
		case e.asks && e.replies[0].Error != nil:
			failed[e.replies[0].Error.Code]++
		}
	}
	m.net.mu.Lock()
	sent := m.net.sent
	m.net.mu.Unlock()
	m.t.Logf("%d events, %d messages, failed: %v", len(m.events), sent, failed)
	if n := len(m.events); len(failed) > 0 && !lossy && (failed[eventhub.ReasonHandlerTimeout] > 0 || failed[eventhub.ReasonHandlerLost] > n/10) {
		m.t.Errorf("too much has failed: %v", failed)
	}
}

// TestNodesAgainstModel lets backends come and go at three nodes while clients of all nodes send
// events: over a good network, over one that loses messages, and with a node that dies.
func TestNodesAgainstModel(t *testing.T) {
	for _, tt := range []struct {
		name string
		loss float64
		dies bool
	}{{"good", 0, false}, {"lossy", 0.02, false}, {"a node dies", 0, true}} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(5) {
				synctest.Test(t, func(t *testing.T) { runModel(t, seed, tt.loss, tt.dies) })
				if t.Failed() {
					t.Fatalf("with the seed %d", seed)
				}
			}
		})
	}
}

func runModel(t *testing.T, seed uint64, loss float64, dies bool) {
	m := &model{t: t, net: newNetwork(t, seed, lag, 0)}
	o := eventhub.Options{AckTimeout: 30 * time.Second}
	nodes := []*node{m.net.add("A", o), m.net.add("B", o), m.net.add("C", o)}
	stop := make(chan struct{})
	var staying sync.WaitGroup
	staying.Go(func() { m.serve(nodes[0], -1, rand.New(rand.NewPCG(seed, 2)), stop) })
	pass(time.Second)
	m.net.set(loss, false)

	var busy sync.WaitGroup
	for i, n := range nodes {
		busy.Go(func() { // backends that come and go
			r := rand.New(rand.NewPCG(seed, uint64(10+i)))
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(r.IntN(100)) * time.Millisecond):
				}
				m.serve(n, 1+r.IntN(100), r, stop)
			}
		})
	}
	var clients sync.WaitGroup
	for i, n := range nodes {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(20+i)))
			for range 400 {
				for range r.IntN(10) {
					m.publish(n, r)
				}
				<-time.After(time.Duration(r.IntN(20)) * time.Millisecond)
			}
		})
	}
	lost := ""
	if dies {
		pass(2 * time.Second)
		m.net.cut(nodes[2])
		lost = "C"
	}
	clients.Wait()
	m.net.set(0, false)
	pass(time.Minute)
	close(stop)
	busy.Wait()
	staying.Wait()
	m.check(lost, loss > 0)
}
