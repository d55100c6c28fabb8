package wills_test

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
	"github.com/salabroker/sala/broker/events"
	"github.com/salabroker/sala/broker/events/wills"
)

// nodes are those within a bubble; what they say arrives a moment later, or is
// lost while lossy.
type nodes struct {
	t *testing.T

	mu    sync.Mutex
	all   map[cluster.NodeID]*node
	lossy bool
	down  bool
	gone  []string // who was said to be gone, by whom
	sent  int
}

type node struct {
	*wills.Wills
	id      cluster.NodeID
	in      *nodes
	sub     *events.Subscription // to hear of disconnects
	sockets map[string]bool
	inbox   chan func()
	stop    func()
}

func newNodes(t *testing.T, ids ...cluster.NodeID) *nodes {
	ns := &nodes{t: t, all: make(map[cluster.NodeID]*node)}
	for _, id := range ids {
		ns.add(id)
	}
	return ns
}

func (ns *nodes) add(id cluster.NodeID) *node {
	hub := events.New(events.Options{})
	n := &node{id: id, in: ns, sockets: make(map[string]bool), inbox: make(chan func(), 1000)}
	n.Wills = wills.New(wills.Options{
		Self: id, Hub: hub, Sockets: n.list, Send: n.send, Ask: n.ask, Gone: n.say, Logger: slog.New(slog.DiscardHandler),
	})
	sub, err := hub.Subscribe(events.Start{})
	if err != nil {
		ns.t.Fatal(err)
	}
	n.sub = sub
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.Run(ctx) })
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
		_ = hub.Close(ctx)
	})
	ns.t.Cleanup(n.stop)
	ns.mu.Lock()
	others := slices.Collect(maps.Values(ns.all))
	ns.all[id] = n
	ns.mu.Unlock()
	for _, other := range others {
		other.Joined(id)
		n.Joined(other.id)
	}
	return n
}

func (n *node) list() []*events.Socket {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	var all []*events.Socket
	for id := range n.sockets {
		all = append(all, n.socket(id))
	}
	return all
}

func (n *node) socket(id string) *events.Socket {
	return &events.Socket{ID: id, User: "u" + id, Namespace: "/", Address: "1.2.3.4:5", Transport: "polling", ConnectTime: time.Unix(5, 6)}
}

func (n *node) connect(ids ...string) {
	for _, id := range ids {
		n.in.mu.Lock()
		n.sockets[id] = true
		n.in.mu.Unlock()
		n.Connected(func() *events.Socket { return n.socket(id) })
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
	case other != nil && !ns.lossy && ns.all[n.id] == n:
		copied := proto.CloneOf(t)
		other.inbox <- func() { other.Receive(n.id, copied) }
	}
	return nil
}

func (n *node) ask(_ context.Context, lost cluster.NodeID) (states []*wire.WillState) {
	n.in.mu.Lock()
	others := slices.Collect(maps.Values(n.in.all))
	n.in.mu.Unlock()
	<-time.After(10 * time.Millisecond)
	for _, other := range others {
		if other != n {
			states = append(states, other.Find(lost))
		}
	}
	return states
}

func (n *node) say(s *events.Socket) {
	if fmt.Sprint(*s) != fmt.Sprint(*n.socket(s.ID)) {
		n.in.t.Errorf("%s remembers %+v", n.id, s)
	}
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	n.in.gone = append(n.in.gone, s.ID)
}

// lose takes a node away without a word.
func (ns *nodes) lose(id cluster.NodeID) {
	ns.mu.Lock()
	delete(ns.all, id)
	others := slices.Collect(maps.Values(ns.all))
	ns.mu.Unlock()
	for _, other := range others {
		other.Lost(id)
	}
	pass(time.Second)
}

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

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestLostNodes(t *testing.T) {
	many := make([]string, 2500)
	for i := range many {
		many[i] = fmt.Sprintf("%04d", i)
	}
	for name, test := range map[string]func(ns *nodes, a, b, c *node){
		"some came, one went": func(ns *nodes, a, b, _ *node) {
			a.connect("1", "2", "3")
			b.connect("of b")
			pass(time.Millisecond * 10)
			a.end("2")
			pass(time.Millisecond * 10)
			ns.lose("a")
			ns.want("1", "3")
		},
		"the last has the first as its heir": func(ns *nodes, _, _, c *node) {
			c.connect("1")
			pass(time.Millisecond * 10)
			ns.lose("c")
			ns.want("1")
		},
		"the heir is lost, then the node": func(ns *nodes, a, _, _ *node) {
			a.connect("1")
			ns.lose("b")
			a.connect("2")
			pass(5 * time.Second)
			ns.lose("a")
			ns.want("1", "2")
		},
		"the heir changes": func(ns *nodes, a, _, _ *node) {
			a.connect("1")
			pass(time.Second)
			ns.add("aa")
			pass(5 * time.Second)
			a.connect("2")
			pass(time.Second)
			ns.lose("a")
			ns.want("1", "2")
			if state := ns.all["b"].Find("a"); state.GetEpoch() != 0 {
				t.Errorf("the heir that was remembers %v", state)
			}
		},
		"the heir has just changed": func(ns *nodes, a, _, _ *node) {
			a.connect("1")
			pass(time.Second)
			ns.add("aa")
			synctest.Wait()
			ns.lose("a")
			ns.want("1")
		},
		"two know": func(ns *nodes, a, _, _ *node) {
			a.connect("1")
			pass(time.Second)
			ns.add("aa")
			pass(10 * time.Millisecond)
			if a, b := ns.all["aa"].Find("a"), ns.all["b"].Find("a"); !a.GetComplete() || !b.GetComplete() {
				t.Errorf("the two remember %v and %v", a, b)
			}
			ns.lose("a")
			ns.want("1")
		},
		"a gap is noticed": func(ns *nodes, a, _, _ *node) {
			ns.set(true, false)
			a.connect("1")
			pass(10 * time.Millisecond)
			ns.set(false, false)
			a.connect("2")
			pass(5 * time.Second)
			ns.lose("a")
			ns.want("1", "2")
		},
		"what was lost on the way is said again": func(ns *nodes, a, _, _ *node) {
			a.connect("1", "2")
			pass(time.Second)
			ns.set(true, false)
			a.connect("3")
			a.end("2")
			pass(time.Second)
			ns.set(false, false)
			pass(5 * time.Second)
			ns.lose("a")
			ns.want("1", "3")
		},
		"nothing is said while it can't be": func(ns *nodes, a, _, _ *node) {
			a.connect("1")
			ns.set(false, true)
			pass(time.Second)
			ns.mu.Lock()
			ns.sent = 0
			ns.mu.Unlock()
			for i := range 100 {
				a.connect(fmt.Sprint("x", i))
				pass(10 * time.Millisecond)
				a.end(fmt.Sprint("x", i))
				pass(10 * time.Millisecond)
			}
			ns.mu.Lock()
			if ns.sent > 20 {
				t.Errorf("%d messages were tried", ns.sent)
			}
			ns.mu.Unlock()
			ns.set(false, false)
			pass(5 * time.Second)
			ns.lose("a")
			ns.want("1")
		},
		"who leaves says so itself": func(ns *nodes, a, b, c *node) {
			a.connect("1")
			pass(time.Second)
			b.Left("a")
			c.Left("a")
			b.Lost("a")
			pass(time.Second)
			ns.want()
		},
		"who comes back begins anew": func(ns *nodes, a, b, c *node) {
			a.connect("1")
			pass(time.Second)
			b.Lost("a")
			c.Lost("a")
			pass(time.Second)
			ns.want("1")
			b.Joined("a")
			c.Joined("a")
			a.connect("2")
			pass(5 * time.Second)
			ns.lose("a")
			ns.want("1", "2")
		},
		"many": func(ns *nodes, a, _, _ *node) {
			a.connect(many...)
			pass(time.Second)
			ns.lose("a")
			ns.want(many...)
		},
		"nobody wants to hear": func(ns *nodes, a, b, _ *node) {
			for _, n := range ns.all {
				n.sub.Close()
			}
			a.connect("1")
			pass(5 * time.Second)
			if state := b.Find("a"); state.GetEpoch() != 0 {
				t.Errorf("it is remembered all the same: %v", state)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ns := newNodes(t, "a", "b", "c")
				pass(5 * time.Second)
				test(ns, ns.all["a"], ns.all["b"], ns.all["c"])
			})
		})
	}
}
