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

// world is what was published and what backends were handed, on all nodes.
type world struct {
	t   *testing.T
	net *network

	mu     sync.Mutex
	events []*fate
}

// fate is what became of an event.
type fate struct {
	from    string // its node
	asks    bool
	handed  int // unmarked
	again   int // marked
	answers []eventhub.Reply
}

// publish has a client of a node say something.
func (w *world) publish(n *node, r *rand.Rand) {
	w.mu.Lock()
	f := &fate{from: string(n.id), asks: r.IntN(2) == 0}
	name := fmt.Sprint(len(w.events))
	w.events = append(w.events, f)
	w.mu.Unlock()
	e := message(fmt.Sprint(n.id, r.IntN(4)), name)
	if !f.asks {
		n.Publish(e)
		return
	}
	n.Ask(e, func(reply eventhub.Reply) {
		w.mu.Lock()
		defer w.mu.Unlock()
		f.answers = append(f.answers, reply)
	})
}

// serve is a backend that handles so many events, and then goes away with some in
// hand. It checks the order of each socket's.
func (w *world) serve(n *node, most int, r *rand.Rand, stop <-chan struct{}) {
	s, err := n.Subscribe(eventhub.SubscribeOptions{Group: "g", Credits: 1 + r.IntN(50)})
	if err != nil {
		w.t.Error(err)
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
			w.saw(d, last)
			if most > 0 {
				most--
			}
			if most == 0 {
				continue // with deliveries in hand
			}
			if d.NeedsAck {
				_ = s.Reply(d.ID, eventhub.Reply{Args: json.RawMessage(`[1]`)}) // it may be late
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

func (w *world) saw(d eventhub.Delivery, last map[string]int) {
	var number int
	_, _ = fmt.Sscan(d.Event.Name, &number)
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.Redelivered {
		w.events[number].again++
	} else {
		w.events[number].handed++
	}
	if before, ok := last[d.Event.Socket.ID]; ok && before >= number {
		w.t.Errorf("%d came after %d", number, before)
	}
	last[d.Event.Socket.ID] = number
}

// check looks at everything that was published. Lost names a node that was lost, whose
// own clients nobody knows of.
func (w *world) check(lost string, lossy bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	failed := make(map[string]int)
	for i, f := range w.events {
		if f.from == lost {
			continue
		}
		switch {
		case f.handed+f.again == 0 && !f.asks:
			w.t.Errorf("event %d of %s was never handed out", i, f.from)
		case f.handed > 1:
			w.t.Errorf("event %d of %s was handed out %d times, unmarked", i, f.from, f.handed)
		case f.again > 0 && !f.asks && !lossy && lost == "":
			w.t.Errorf("event %d of %s was handed out again, without need", i, f.from)
		case f.asks && len(f.answers) != 1:
			w.t.Errorf("event %d of %s was answered %d times", i, f.from, len(f.answers))
		case f.asks && f.answers[0].Error != nil:
			failed[f.answers[0].Error.Code]++
		}
	}
	w.net.mu.Lock()
	sent := w.net.sent
	w.net.mu.Unlock()
	w.t.Logf("%d events, %d messages, failed: %v", len(w.events), sent, failed)
	if n := len(w.events); len(failed) > 0 && !lossy && (failed[eventhub.ReasonHandlerTimeout] > 0 || failed[eventhub.ReasonHandlerLost] > n/10) {
		w.t.Errorf("too much has failed: %v", failed)
	}
}

// TestNodesAgainstModel has backends come and go at three nodes while clients of
// all of them speak: over a good network, over one that loses things, and with a
// node that dies.
func TestNodesAgainstModel(t *testing.T) {
	for _, tt := range []struct {
		name string
		loss float64
		dies bool
	}{{"good", 0, false}, {"lossy", 0.02, false}, {"a node dies", 0, true}} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(5) {
				synctest.Test(t, func(t *testing.T) { oneWorld(t, seed, tt.loss, tt.dies) })
				if t.Failed() {
					t.Fatalf("with the seed %d", seed)
				}
			}
		})
	}
}

func oneWorld(t *testing.T, seed uint64, loss float64, dies bool) {
	w := &world{t: t, net: newNetwork(t, seed, lag, 0)}
	o := eventhub.Options{AckTimeout: 30 * time.Second}
	nodes := []*node{w.net.add("A", o), w.net.add("B", o), w.net.add("C", o)}
	stop := make(chan struct{})
	var staying sync.WaitGroup
	staying.Go(func() { w.serve(nodes[0], -1, rand.New(rand.NewPCG(seed, 2)), stop) })
	pass(time.Second)
	w.net.set(loss, false)

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
				w.serve(n, 1+r.IntN(100), r, stop)
			}
		})
	}
	var clients sync.WaitGroup
	for i, n := range nodes {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(20+i)))
			for range 400 {
				for range r.IntN(10) {
					w.publish(n, r)
				}
				<-time.After(time.Duration(r.IntN(20)) * time.Millisecond)
			}
		})
	}
	lost := ""
	if dies {
		pass(2 * time.Second)
		w.net.cut(nodes[2])
		lost = "C"
	}
	clients.Wait()
	w.net.set(0, false)
	pass(time.Minute)
	close(stop)
	busy.Wait()
	staying.Wait()
	w.check(lost, loss > 0)
}
