package forward_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

// move hands a socket over from one node to another, as the broker does, and reports whether all its
// events had arrived.
func (n *node) move(t *testing.T, socket string, to *node) (flushed bool) {
	t.Helper()
	handover := n.forwarder.HandOver(socket)
	n.Forget(socket)
	flushed = n.forwarder.Flush(t.Context(), 10*time.Second, socket)
	to.forwarder.TakeOver(socket, handover)
	return flushed
}

// Wherever the member of a socket is, it gets all events of the socket in order, also while the
// socket moves from A to B, and back.
func TestMemberKeepsSocket(t *testing.T) {
	for _, at := range []string{"A", "B", "C"} {
		for _, group := range []string{"g", ""} {
			t.Run(at+group, func(t *testing.T) {
				inBubble(t, eventhub.Options{}, func(t *testing.T, net *network, a, b *node) {
					c := net.add("C", eventhub.Options{})
					nodes := map[string]*node{"A": a, "B": b, "C": c}
					o := eventhub.SubscribeOptions{Group: group, Credits: 1000}
					member := nodes[at].subscribe(o)
					pass(time.Second)
					a.Publish(message("s", "1"))
					if group != "" { // the others come too late
						for _, n := range nodes {
							n.subscribe(o)
						}
						pass(time.Second)
					}
					a.Publish(message("s", "2"))
					a.Publish(message("s", "3"))
					if !a.move(t, "s", b) {
						t.Error("the events haven't arrived")
					}
					b.Publish(message("s", "4"))
					if !b.move(t, "s", a) {
						t.Error("the events haven't arrived")
					}
					a.Publish(message("s", "5"))
					pass(time.Second)
					wantTaken(t, member, "s.1 s.2 s.3 s.4 s.5")
					if pins := b.Pins("s"); len(pins) > 0 {
						t.Errorf("the node that has handed the socket over keeps the pins %v", pins)
					}
				})
			})
		}
	}
}

// A member that isn't known at the new node can't be kept.
func TestUnknownPins(t *testing.T) {
	inBubble(t, eventhub.Options{}, func(t *testing.T, _ *network, a, b *node) {
		here := b.subscribe(eventhub.SubscribeOptions{Group: "g", Credits: 10})
		single := b.subscribe(eventhub.SubscribeOptions{Credits: 10})
		pass(time.Second)
		b.forwarder.TakeOver("s", &wire.EventHandover{Pins: []*wire.SubscriptionRef{
			{Node: "A", Id: 7}, {Node: "gone", Id: here.ID()}, {Node: "B", Id: single.ID()},
		}})
		if pins := b.Pins("s"); len(pins) > 0 {
			t.Errorf("the socket is pinned to %v", pins)
		}
		b.Publish(message("s", "1"))
		wantTaken(t, here, "s.1")
		if got := b.forwarder.HandOver("s").GetPins(); len(got) != 1 || got[0].GetNode() != "B" || got[0].GetId() != here.ID() {
			t.Errorf("the socket is pinned to %v", got)
		}
		if got := a.forwarder.HandOver("s").GetPins(); len(got) > 0 {
			t.Errorf("a node without the socket has the pins %v", got)
		}
	})
}

func TestFlush(t *testing.T) {
	const window = 4096
	inBubble(t, eventhub.Options{}, func(t *testing.T, net *network, a, b *node) {
		in := b.subscribe(eventhub.SubscribeOptions{})
		pass(time.Second)
		flush := func(socket string, want bool) {
			t.Helper()
			if got := a.forwarder.Flush(t.Context(), 3*time.Second, socket); got != want {
				t.Errorf("flushed %s: %t, want %t", socket, got, want)
			}
		}
		flush("s", true)
		began := time.Now()
		a.Publish(message("s", "1"))
		flush("s", true)
		if took := time.Since(began); took < 2*lag || took > 4*lag {
			t.Errorf("it took %v", took)
		}

		net.set(0, true)
		a.Publish(message("s", "2"))
		flush("s", false)
		flush("other", true)
		net.set(0, false)
		flush("s", true)

		for range window {
			a.Publish(message("many", "x"))
		}
		a.Publish(message("s", "3"))
		flush("s", false)
		flush("other", true)
		if err := in.Credit(10); err != nil {
			t.Error(err)
		}
		wantTaken(t, in, "s.1 s.2 many.x many.x many.x many.x many.x many.x many.x many.x")
		flush("s", true)
		in.Close()
	})
}

// TestMovesAgainstModel moves sockets between nodes at random, over a network that loses messages.
// Each group hands all events of a socket to one member, in order.
func TestMovesAgainstModel(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) { runMoves(t, seed) })
		if t.Failed() {
			t.Fatalf("with the seed %d", seed)
		}
	}
}

func runMoves(t *testing.T, seed uint64) {
	net := newNetwork(t, seed, lag, 0.02)
	var nodes []*node
	for _, id := range []cluster.NodeID{"A", "B", "C"} {
		nodes = append(nodes, net.add(id, eventhub.Options{}))
	}
	r := rand.New(rand.NewPCG(seed, 2))
	type member struct {
		group string
		sub   *eventhub.Subscription
	}
	var members []member
	for i := range 9 {
		group := fmt.Sprint("g", i%3)
		members = append(members, member{group, nodes[r.IntN(3)].subscribe(eventhub.SubscribeOptions{Group: group, Credits: 100_000})})
	}
	pass(10 * time.Second) // all nodes know of them, even if lists are lost
	var clients sync.WaitGroup
	sent := make([]int, 10)
	for i := range sent {
		random := rand.New(rand.NewPCG(seed, uint64(10+i)))
		clients.Go(func() {
			socket, at := fmt.Sprint("s", i), nodes[random.IntN(3)]
			for range 200 {
				if random.IntN(10) == 0 {
					to := nodes[random.IntN(3)]
					if !at.move(t, socket, to) {
						t.Errorf("events of %s haven't arrived", socket)
					}
					at = to
				}
				at.Publish(message(socket, fmt.Sprint(sent[i])))
				sent[i]++
				<-time.After(time.Duration(random.IntN(20)) * time.Millisecond)
			}
		})
	}
	clients.Wait()
	pass(time.Minute)
	next, holders := make(map[string]int), make(map[string]*eventhub.Subscription)
	for _, m := range members {
		for _, d := range take(t, m.sub) {
			key := m.group + " " + d.Event.Socket.ID
			if holders[key] == nil {
				holders[key] = m.sub
			}
			if d.Event.Name != fmt.Sprint(next[key]) || holders[key] != m.sub {
				t.Errorf("%s: event %s after %d", key, d.Event.Name, next[key])
			}
			next[key]++
		}
	}
	for i, n := range sent {
		for g := range 3 {
			if got := next[fmt.Sprintf("g%d s%d", g, i)]; got != n {
				t.Errorf("g%d got %d of %d events of s%d", g, got, n, i)
			}
		}
	}
}
