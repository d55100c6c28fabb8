package lastwill_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/lastwill"
	"github.com/salabroker/sala/broker/presence"
)

// nodes are the nodes within a bubble. Messages arrive a millisecond later, or are lost while lossy
// is set.
type nodes struct {
	t *testing.T

	mu        sync.Mutex
	all       map[cluster.NodeID]*node
	killed    map[cluster.NodeID]time.Time
	lossy     bool
	down      bool
	gone      []string // sockets whose Disconnect a backend was handed, with "!" if redelivered
	forgotten int
	sent      int

	lostPlaces map[presence.Place]int // how often each was said to be lost
}

type node struct {
	*lastwill.Registry
	id      cluster.NodeID
	in      *nodes
	hub     *eventhub.Hub
	sub     *eventhub.Subscription // of a backend that wants all events
	sockets map[string]uint32      // how often each has moved
	places  map[presence.Place]bool
	others  map[cluster.NodeID]bool // that it knows of
	inbox   chan func()
	stop    func()
}

func newNodes(t *testing.T, ids ...cluster.NodeID) *nodes {
	ns := &nodes{t: t, all: make(map[cluster.NodeID]*node), killed: make(map[cluster.NodeID]time.Time), lostPlaces: make(map[presence.Place]int)}
	for _, id := range ids {
		ns.add(id)
	}
	return ns
}

func (ns *nodes) add(id cluster.NodeID) *node {
	n := &node{
		id: id, in: ns, hub: eventhub.New(eventhub.Options{}), sockets: make(map[string]uint32),
		places: make(map[presence.Place]bool),
		others: make(map[cluster.NodeID]bool), inbox: make(chan func(), 10_000),
	}
	n.Registry = lastwill.New(lastwill.Options{
		Self: id, Hub: n.hub, Sockets: n.list, Send: n.send, Ask: n.ask, Publish: n.publish, PublishEnd: n.publishEnd,
		Silent: n.silent, Interest: n.interest, Places: n.listPlaces, PlacesLost: n.placesLost, Forgotten: n.forgotten, Logger: slog.New(slog.DiscardHandler),
	})
	sub, err := n.hub.Subscribe(eventhub.SubscribeOptions{Credits: 100_000})
	if err != nil {
		ns.t.Fatal(err)
	}
	n.sub = sub
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.Run(ctx) })
	running.Go(func() { n.runBackend(ctx) })
	running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case do := <-n.inbox:
				<-time.After(time.Millisecond)
				do()
			}
		}
	})
	n.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		_ = n.hub.Close(ctx)
	})
	ns.t.Cleanup(n.stop)
	ns.mu.Lock()
	others := slices.Collect(maps.Values(ns.all))
	ns.all[id] = n
	for _, other := range others {
		other.others[id], n.others[other.id] = true, true
	}
	ns.mu.Unlock()
	for _, other := range others {
		other.Joined(id)
		n.Joined(other.id)
	}
	return n
}

func (n *node) interest() string {
	if n.hub.WantsKind(eventhub.Disconnect) {
		return "disconnects"
	}
	return ""
}

func (n *node) listPlaces() []presence.Place {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	return slices.Collect(maps.Keys(n.places))
}

func (n *node) placesLost(places []presence.Place) {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	for _, p := range places {
		n.in.lostPlaces[p]++
	}
}

// place says that a user is in a room at the node, or isn't.
func (n *node) place(p presence.Place, is bool) {
	n.in.mu.Lock()
	if is {
		n.places[p] = true
	} else {
		delete(n.places, p)
	}
	n.in.mu.Unlock()
	n.Deposit(p, is)
}

func (n *node) list() []*eventhub.Socket {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	var all []*eventhub.Socket
	for id, moves := range n.sockets {
		s := n.socket(id)
		s.Moves = moves
		all = append(all, s)
	}
	return all
}

func (n *node) socket(id string) *eventhub.Socket {
	return &eventhub.Socket{ID: id, User: "u" + id, Namespace: "/", Address: "1.2.3.4:5", Transport: "polling", ConnectTime: time.Unix(5, 6)}
}

func (n *node) connect(ids ...string) {
	for _, id := range ids {
		n.in.mu.Lock()
		n.sockets[id] = 0
		n.in.mu.Unlock()
		n.Connected(func() *eventhub.Socket { return n.socket(id) })
	}
}

func (n *node) end(id string) {
	n.in.mu.Lock()
	delete(n.sockets, id)
	n.in.mu.Unlock()
	n.Ended(id)
}

func (n *node) send(to cluster.NodeID, t *wire.EventTraffic) error {
	ns := n.in
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.sent++
	switch other := ns.all[to]; {
	case ns.down:
		return errors.New("down")
	case other != nil && !ns.lossy && n.alive():
		copied := proto.CloneOf(t)
		other.inbox <- func() { other.Receive(n.id, copied) }
	}
	return nil
}

// alive reports whether the node is still there. The caller holds mu.
func (n *node) alive() bool { return n.in.all[n.id] == n }

func (n *node) ask(_ context.Context, lost cluster.NodeID) (states map[cluster.NodeID]*wire.WillState, complete bool) {
	states, complete = make(map[cluster.NodeID]*wire.WillState), true
	n.in.mu.Lock()
	var others []*node
	for id := range n.others {
		if other := n.in.all[id]; other != nil && n.alive() {
			others = append(others, other)
		} else {
			complete = false
		}
	}
	n.in.mu.Unlock()
	<-time.After(10 * time.Millisecond)
	for _, other := range others {
		states[other.id] = other.State(lost, n.id)
	}
	return states, complete
}

// silent returns the nodes that were killed a while ago.
func (n *node) silent() (ids []cluster.NodeID) {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	for id, at := range n.in.killed {
		if time.Since(at) > 2*time.Second {
			ids = append(ids, id)
		}
	}
	return ids
}

func (n *node) publish(s *eventhub.Socket, incarnation uint64, redelivered bool, tracker *eventhub.Tracker) {
	want := n.socket(s.ID)
	want.Node, want.Moves = s.Node, s.Moves
	if s.Node == "" || s.Node == string(n.id) || fmt.Sprint(*s) != fmt.Sprint(*want) {
		n.in.t.Errorf("%s keeps %+v", n.id, s)
	}
	n.hub.PublishTracked(&eventhub.Event{Kind: eventhub.Disconnect, Namespace: "/", Socket: s}, incarnation, redelivered, tracker)
}

func (n *node) publishEnd(s *eventhub.Socket) {
	n.hub.Publish(&eventhub.Event{Kind: eventhub.Disconnect, Namespace: "/", Socket: s})
}

// handOver begins to move a socket to another node. It returns false if the socket isn't here.
func (n *node) handOver(id string, to cluster.NodeID) (s *eventhub.Socket, ok bool) {
	s = n.socket(id)
	n.in.mu.Lock()
	s.Moves, ok = n.sockets[id]
	ok = ok && n.alive()
	if ok {
		delete(n.sockets, id)
	}
	n.in.mu.Unlock()
	if ok {
		n.HandedOver(to, s)
	}
	return s, ok
}

// takeOver ends the move of a socket from another node. It returns false if this node is dead.
func (n *node) takeOver(s *eventhub.Socket, from cluster.NodeID) bool {
	here := *s
	here.Moves++
	n.in.mu.Lock()
	alive := n.alive()
	if alive {
		n.sockets[s.ID] = here.Moves
	}
	n.in.mu.Unlock()
	if alive {
		n.TakenOver(from, &here)
	}
	return alive
}

// move moves sockets to another node at once.
func (n *node) move(to *node, ids ...string) {
	for _, id := range ids {
		s, ok := n.handOver(id, to.id)
		if !ok || !to.takeOver(s, n.id) {
			n.in.t.Errorf("%s isn't moved", id)
		}
	}
}

func (n *node) forgotten(_ cluster.NodeID, count int) {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	n.in.forgotten += count
}

// runBackend is the node's backend. It takes an event each millisecond until the node is killed.
func (n *node) runBackend(ctx context.Context) {
	var into [1]eventhub.Delivery
	for ctx.Err() == nil {
		took := 0
		n.in.mu.Lock()
		if n.alive() {
			took, _ = n.sub.Take(into[:])
		}
		if took > 0 {
			text := into[0].Event.Socket.ID
			if into[0].Redelivered {
				text += "!"
			}
			n.in.gone = append(n.in.gone, text)
		}
		n.in.mu.Unlock()
		if took > 0 {
			<-time.After(time.Millisecond)
			continue
		}
		select {
		case <-ctx.Done():
		case <-n.sub.Ready():
		}
	}
}

// kill takes a node away. The others haven't noticed yet.
func (ns *nodes) kill(id cluster.NodeID) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	delete(ns.all, id)
	ns.killed[id] = time.Now()
}

// notice lets a node consider another one lost.
func (n *node) notice(id cluster.NodeID) {
	n.in.mu.Lock()
	delete(n.others, id)
	n.in.mu.Unlock()
	n.Lost(id, 1, 10)
}

// lose takes a node away, and lets all others notice.
func (ns *nodes) lose(id cluster.NodeID) {
	ns.kill(id)
	ns.noticed(id)
	pass(10 * time.Second)
}

// asks reports whether a node may have asked for a socket a moment ago.
func (ns *nodes) asks(id cluster.NodeID) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	at, dead := ns.killed[id]
	return !dead || time.Since(at) < 2*time.Second
}

// leave takes a node away after it has told the others.
func (ns *nodes) leave(id cluster.NodeID) {
	ns.mu.Lock()
	delete(ns.all, id)
	others := slices.Collect(maps.Values(ns.all))
	for _, other := range others {
		delete(other.others, id)
	}
	ns.mu.Unlock()
	for _, other := range others {
		other.Left(id)
	}
}

// noticed lets all nodes consider one lost.
func (ns *nodes) noticed(id cluster.NodeID) {
	ns.mu.Lock()
	others := slices.Collect(maps.Values(ns.all))
	ns.mu.Unlock()
	for _, other := range others {
		other.notice(id)
	}
}

// want checks which sockets' Disconnect backends were handed since the last call.
func (ns *nodes) want(ids ...string) {
	ns.t.Helper()
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if got := strings.Join(slices.Sorted(slices.Values(ns.gone)), " "); got != strings.Join(ids, " ") {
		ns.t.Errorf("gone are %q, want %q", got, ids)
	}
	ns.gone = nil
}

func (ns *nodes) set(lossy, down bool) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.lossy, ns.down = lossy, down
}

// pass lets time pass, and all goroutines do what is due.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
