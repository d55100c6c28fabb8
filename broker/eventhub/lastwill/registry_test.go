package lastwill_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
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
)

// nodes are those within a bubble; what they say arrives a moment later, or is
// lost while lossy.
type nodes struct {
	t *testing.T

	mu        sync.Mutex
	all       map[cluster.NodeID]*node
	lossy     bool
	down      bool
	gone      []string // who was said to be gone to a backend; "!" if it was redelivered
	forgotten int
	sent      int
}

type node struct {
	*lastwill.Registry
	id      cluster.NodeID
	in      *nodes
	hub     *eventhub.Hub
	sub     *eventhub.Subscription // of a backend that wants to hear of disconnects
	sockets map[string]bool
	others  map[cluster.NodeID]bool // that it knows
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
	n := &node{
		id: id, in: ns, hub: eventhub.New(eventhub.Options{}), sockets: make(map[string]bool),
		others: make(map[cluster.NodeID]bool), inbox: make(chan func(), 10_000),
	}
	n.Registry = lastwill.New(lastwill.Options{
		Self: id, Hub: n.hub, Sockets: n.list, Send: n.send, Ask: n.ask, Publish: n.publish,
		Forgotten: n.forgotten, Logger: slog.New(slog.DiscardHandler),
	})
	sub, err := n.hub.Subscribe(eventhub.SubscribeOptions{Credits: 100_000})
	if err != nil {
		ns.t.Fatal(err)
	}
	n.sub = sub
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.Run(ctx) })
	running.Go(func() { n.hear(ctx) })
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

func (n *node) list() []*eventhub.Socket {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	var all []*eventhub.Socket
	for id := range n.sockets {
		all = append(all, n.socket(id))
	}
	return all
}

func (n *node) socket(id string) *eventhub.Socket {
	return &eventhub.Socket{ID: id, User: "u" + id, Namespace: "/", Address: "1.2.3.4:5", Transport: "polling", ConnectTime: time.Unix(5, 6)}
}

func (n *node) connect(ids ...string) {
	for _, id := range ids {
		n.in.mu.Lock()
		n.sockets[id] = true
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

// alive reports whether the node hasn't been killed. The caller holds mu.
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

func (n *node) publish(s *eventhub.Socket, redelivered bool, tracker *eventhub.Tracker) {
	if fmt.Sprint(*s) != fmt.Sprint(*n.socket(s.ID)) {
		n.in.t.Errorf("%s remembers %+v", n.id, s)
	}
	n.hub.PublishTracked(&eventhub.Event{Kind: eventhub.Disconnect, Namespace: "/", Socket: s}, redelivered, tracker)
}

func (n *node) forgotten(_ cluster.NodeID, count int) {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	n.in.forgotten += count
}

// hear is the node's backend, which takes an event each millisecond until the node
// is killed.
func (n *node) hear(ctx context.Context) {
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

// kill takes a node away without a word, before anybody notices.
func (ns *nodes) kill(id cluster.NodeID) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	delete(ns.all, id)
}

// notice lets a node take another one for lost.
func (n *node) notice(id cluster.NodeID) {
	n.in.mu.Lock()
	delete(n.others, id)
	n.in.mu.Unlock()
	n.Lost(id, 10)
}

// lose takes a node away without a word.
func (ns *nodes) lose(id cluster.NodeID) {
	ns.kill(id)
	ns.noticed(id)
	pass(10 * time.Second)
}

// noticed lets all nodes take one for lost.
func (ns *nodes) noticed(id cluster.NodeID) {
	ns.mu.Lock()
	others := slices.Collect(maps.Values(ns.all))
	ns.mu.Unlock()
	for _, other := range others {
		other.notice(id)
	}
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
		"heirs change": func(ns *nodes, a, b, c *node) {
			a.connect("1")
			pass(time.Second)
			for i := range 40 {
				ns.add(cluster.NodeID(fmt.Sprint("more", i)))
			}
			pass(5 * time.Second)
			a.connect("2")
			pass(time.Second)
			remember := 0
			for _, n := range ns.all {
				asker := b
				if n == b {
					asker = c
				}
				switch state := n.State("a", asker.id); {
				case state.GetComplete():
					remember++
				case state.GetEpoch() != 0:
					t.Errorf("%s remembers %v", n.id, state)
				}
			}
			if remember != 4 {
				t.Errorf("%d nodes remember everything, want 4", remember)
			}
			ns.lose("a")
			ns.want("1", "2")
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
			if a, b := ns.all["aa"].State("a", "b"), ns.all["b"].State("a", "c"); !a.GetComplete() || !b.GetComplete() {
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
			b.Lost("a", 10)
			pass(time.Second)
			ns.want()
		},
		"who comes back begins anew": func(ns *nodes, a, b, c *node) {
			a.connect("1")
			pass(time.Second)
			b.Lost("a", 10)
			c.Lost("a", 10)
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
			if state := b.State("a", "c"); state.GetEpoch() != 0 {
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

// Whoever is killed, and whenever: what any node remembers of clients that are gone
// a backend is told, and told once, unless the copies are marked as redelivered.
func TestRandomKills(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomKills(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func randomKills(t *testing.T, r *rand.Rand) {
	var ids []cluster.NodeID
	for i := range 2 + r.IntN(6) {
		ids = append(ids, cluster.NodeID(fmt.Sprint("n", i)))
	}
	ns := newNodes(t, ids...)
	pass(3 * time.Second)
	counter := 0
	for range r.IntN(100) {
		n := ns.all[ids[r.IntN(len(ids))]]
		some := make([]string, r.IntN(20))
		for i := range some {
			some[i] = fmt.Sprintf("%s-%05d", n.id, counter)
			counter++
		}
		n.connect(some...)
		for _, id := range some {
			if r.IntN(4) == 0 {
				n.end(id)
			}
		}
		pass(time.Duration(r.IntN(20)) * time.Millisecond)
	}
	pass(3 * time.Second)

	// Most are killed within two seconds, some while sockets are told of.
	r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	killed := ids[:1+r.IntN(len(ids)-1)]
	dead := make(map[cluster.NodeID]*node)
	for _, id := range killed {
		dead[id] = ns.all[id]
	}
	var left []string
	for id := range ns.all {
		if !slices.Contains(killed, id) {
			left = append(left, string(id))
		}
	}
	var deaths sync.WaitGroup
	for _, id := range killed {
		after := time.Duration(r.IntN(2000)) * time.Millisecond
		if r.IntN(3) == 0 {
			after = 4*time.Second + time.Duration(r.IntN(3000))*time.Millisecond
		}
		var notices []time.Duration
		for range ids {
			notices = append(notices, 4*time.Second+time.Duration(r.IntN(1250))*time.Millisecond)
		}
		deaths.Go(func() {
			<-time.After(after)
			ns.kill(id)
			ns.mu.Lock()
			others := slices.Collect(maps.Values(ns.all))
			ns.mu.Unlock()
			var noticing sync.WaitGroup
			for i, other := range others {
				noticing.Go(func() {
					<-time.After(notices[i])
					other.notice(id)
				})
			}
			noticing.Wait()
		})
	}
	deaths.Wait()
	pass(30 * time.Second)

	ns.mu.Lock()
	defer ns.mu.Unlock()
	first, again := make(map[string]int), make(map[string]int)
	for _, text := range ns.gone {
		if id, redelivered := strings.CutSuffix(text, "!"); redelivered {
			again[id]++
		} else {
			first[id]++
		}
	}
	missing := 0
	for _, n := range dead {
		for socket := range n.sockets {
			if first[socket]+again[socket] == 0 {
				missing++
			}
			if first[socket] > 1 {
				t.Errorf("%s was told %d times, unmarked", socket, first[socket])
			}
			delete(first, socket)
			delete(again, socket)
		}
	}
	if len(first)+len(again) > 0 {
		t.Errorf("told of %v and %v, which aren't gone", first, again)
	}
	if missing > 0 && (len(ids) <= 5 || ns.forgotten == 0) {
		t.Errorf("%d of %d nodes were killed, left are %q: nobody told of %d sockets, counted were %d",
			len(killed), len(ids), left, missing, ns.forgotten)
	}
}
