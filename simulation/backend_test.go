package simulation

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/eventhub"
)

// happening is an event about a socket, as a backend got it.
type happening struct {
	node         int // whose backend
	kind         eventhub.Kind
	socket       string
	previous     string
	notRecovered string
}

// backend is a program that receives the events of a node until the node ends, and
// decides who may connect if the plan says so. It decides slowly, so that connections
// of a client overtake each other.
type backend struct {
	n   *node
	rnd *rand.Rand // owned by the goroutine that takes the events
}

// startBackends subscribes to what happens to sockets.
func (n *node) startBackends() {
	kinds := []eventhub.Kind{eventhub.Connect, eventhub.Disconnect, eventhub.Away, eventhub.Resumed}
	n.serve(broker.SubscribeOptions{Kinds: kinds, Observe: true, Credits: 1000}, func(_ *broker.Subscription, d eventhub.Delivery) {
		n.w.h.addHappening(happening{node: n.number, kind: d.Event.Kind, socket: d.Event.Socket.ID, previous: d.Event.PreviousSocketID, notRecovered: d.Event.NotRecovered})
	})
	if !n.w.plan.decides {
		return
	}
	b := &backend{n: n, rnd: n.w.source(1<<34 + uint64(n.number))}
	n.serve(broker.SubscribeOptions{Group: "deciders", Kinds: kinds[:1], Decide: true, Credits: 1000}, b.decide)
}

func (b *backend) decide(s *broker.Subscription, d eventhub.Delivery) {
	if !d.NeedsDecision {
		return
	}
	wait := time.Duration(b.rnd.IntN(3)) * time.Duration(b.rnd.IntN(400)) * time.Millisecond
	go func() {
		pause(wait)
		_ = s.Decide(d.ID, eventhub.Decision{}) // the client may have gone
	}()
}

// serve passes what a subscription gets to handle, until the node ends.
func (n *node) serve(o broker.SubscribeOptions, handle func(*broker.Subscription, eventhub.Delivery)) {
	sub, err := n.Subscribe(o)
	if err != nil {
		n.w.fail("node %d: Subscribe: %v", n.number, err)
		return
	}
	go func() {
		into := make([]eventhub.Delivery, 32)
		for {
			taken, err := sub.Take(into)
			if err != nil {
				return
			}
			for _, d := range into[:taken] {
				handle(sub, d)
			}
			_ = sub.Credit(taken)
			if taken > 0 {
				continue
			}
			select {
			case <-sub.Ready():
			case <-sub.Done():
			}
		}
	}()
}

func (h *history) addHappening(x happening) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.happenings = append(h.happenings, x)
}

// checkHappenings checks what backends have learned of each socket, once everybody has
// left: a CONNECT, AWAY and RESUMED in turn, and a DISCONNECT. In a cluster, backends of
// each node learn that also of the sockets of others, unless nodes end or the bus fails.
func (k *checker) checkHappenings(all []happening) {
	if k.plan.nodes == 1 {
		k.checkHappeningsAt(all)
		return
	}
	for node := range k.plan.nodes {
		if len(k.faults) == 0 {
			k.checkHappeningsAt(slices.DeleteFunc(slices.Clone(all), func(x happening) bool { return x.node != node }))
		}
	}
}

// checkHappeningsAt is checkHappenings for what the backends of some nodes have learned.
func (k *checker) checkHappeningsAt(all []happening) {
	bySocket := make(map[string][]happening)
	var sockets []string
	for _, x := range all {
		if len(bySocket[x.socket]) == 0 {
			sockets = append(sockets, x.socket)
		}
		bySocket[x.socket] = append(bySocket[x.socket], x)
	}
	for _, socket := range sockets {
		list := bySocket[socket]
		kinds := make([]eventhub.Kind, len(list))
		for i, x := range list {
			kinds[i] = x.kind
		}
		killed := slices.ContainsFunc(k.faults, func(f *fault) bool { return f.kind == nodeKilled && f.node == list[0].node })
		if !plausible(kinds, killed) {
			k.failf("backends learned of socket %s: %v", socket, kinds)
		}
	}
	for _, s := range k.sessions {
		list := bySocket[s.sid]
		if len(list) == 0 {
			k.failf("%s: backends have learned nothing about it", s)
			continue
		}
		if len(s.events) > 0 && isSessionEvent(s.events[0]) && codeOf(s.events[0]) != list[0].notRecovered {
			k.failf("%s: the client was told %s, backends %s", s, codeOf(s.events[0]), list[0].notRecovered)
		}
	}
}

// plausible reports whether these can be all events about a socket. Those of a node
// that was killed may lack their end.
func plausible(kinds []eventhub.Kind, killed bool) bool {
	if kinds[0] != eventhub.Connect {
		return false
	}
	away, ended := false, false
	for _, kind := range kinds[1:] {
		fine := false
		switch kind {
		case eventhub.Away:
			fine = !away && !ended
			away = true
		case eventhub.Resumed:
			fine = away && !ended
			away = false
		case eventhub.Disconnect:
			fine = !ended
			ended = true
		}
		if !fine {
			return false
		}
	}
	return ended || killed
}
