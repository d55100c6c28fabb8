package lastwill_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

func TestMoves(t *testing.T) {
	for name, test := range map[string]func(ns *nodes, a, b, c *node){
		"the old node is lost at once": func(ns *nodes, a, b, _ *node) {
			a.connect("1", "2")
			pass(time.Second)
			a.move(b, "1")
			ns.lose("a")
			ns.want("2")
			ns.lose("b")
			ns.want("1")
		},
		"the new node is lost at once": func(ns *nodes, a, b, _ *node) {
			a.connect("1", "2")
			pass(time.Second)
			a.move(b, "1")
			ns.kill("b")
			ns.noticed("b")
			pass(10 * time.Second)
			ns.want("1")
			ns.lose("a")
			ns.want("2")
		},
		"the new node is lost before it has the socket": func(ns *nodes, a, b, _ *node) {
			a.connect("1")
			pass(time.Second)
			ns.kill("b")
			a.handOver("1", "b")
			ns.noticed("b")
			pass(10 * time.Second)
			ns.want("1")
			ns.lose("a")
			ns.want()
		},
		"the old node is lost while the socket is on its way": func(ns *nodes, a, b, _ *node) {
			a.connect("1")
			pass(time.Second)
			s, _ := a.handOver("1", "b")
			ns.kill("a")
			b.takeOver(s, "a")
			ns.noticed("a")
			pass(10 * time.Second)
			ns.want()
			ns.lose("b")
			ns.want("1")
		},
		"the old node makes a new deposit while the socket is on its way": func(ns *nodes, a, _, _ *node) {
			a.connect("1")
			pass(time.Second)
			a.handOver("1", "b")
			ns.set(true, false)
			a.connect("2")
			pass(time.Second)
			ns.set(false, false)
			pass(2 * time.Second)
			ns.lose("a")
			ns.want("1", "2")
		},
		"the old node was considered lost while the socket was on its way": func(ns *nodes, a, b, c *node) {
			a.connect("1")
			pass(time.Second)
			a.handOver("1", "b")
			b.notice("a")
			c.notice("a")
			pass(time.Second)
			ns.want("1")
			a.Rejoined()
			b.Joined("a")
			c.Joined("a")
			pass(20 * time.Second)
			ns.want()
			ns.lose("a")
			ns.want()
		},
		"both are lost": func(ns *nodes, a, b, _ *node) {
			a.connect("1")
			pass(time.Second)
			a.move(b, "1")
			pass(2 * time.Second)
			ns.kill("a")
			ns.kill("b")
			ns.noticed("a")
			ns.noticed("b")
			pass(20 * time.Second)
			ns.want("1")
		},
		"much later": func(ns *nodes, a, b, _ *node) {
			a.connect("1", "2")
			pass(time.Second)
			a.move(b, "1")
			pass(2 * time.Minute)
			ns.lose("a")
			ns.want("2")
			ns.lose("b")
			ns.want("1")
		},
		"there and back": func(ns *nodes, a, b, _ *node) {
			a.connect("1")
			pass(time.Second)
			a.move(b, "1")
			b.move(a, "1")
			a.move(b, "1")
			b.move(a, "1")
			pass(100 * time.Millisecond)
			ns.lose("b")
			ns.want()
			pass(2 * time.Minute)
			ns.lose("a")
			ns.want("1")
		},
		"there and back, and both are lost in turn": func(ns *nodes, a, b, _ *node) {
			a.connect("1")
			pass(time.Second)
			a.move(b, "1")
			pass(3 * time.Second)
			b.move(a, "1")
			ns.lose("b")
			ns.want()
			ns.lose("a")
			ns.want("1")
		},
		"twice, and the first two nodes are lost": func(ns *nodes, a, b, c *node) {
			ns.add("d")
			pass(5 * time.Second)
			a.connect("1")
			pass(time.Second)
			a.move(b, "1")
			b.move(c, "1")
			ns.lose("a")
			ns.want()
			ns.lose("b")
			ns.want()
			ns.lose("c")
			ns.want("1")
		},
		"the socket ends at the new node": func(ns *nodes, a, b, _ *node) {
			a.connect("1")
			pass(time.Second)
			a.move(b, "1")
			b.end("1")
			ns.lose("a")
			ns.want()
			ns.lose("b")
			ns.want()
		},
		"the hand-over is lost": func(ns *nodes, a, b, _ *node) {
			a.connect("1", "2")
			pass(time.Second)
			a.handOver("1", "b")
			pass(5 * time.Second)
			ns.want()
			pass(10 * time.Second)
			ns.want("1")
			ns.lose("a")
			ns.want("2")
		},
		"messages are lost": func(ns *nodes, a, b, _ *node) {
			a.connect("1", "2", "3")
			pass(time.Second)
			ns.set(true, false)
			a.move(b, "1", "2")
			pass(20 * time.Second)
			ns.set(false, false)
			pass(5 * time.Second)
			ns.lose("a")
			ns.want("3")
			ns.lose("b")
			ns.want("1", "2")
		},
		"the new node leaves": func(ns *nodes, a, b, c *node) {
			a.connect("1")
			pass(time.Second)
			a.move(b, "1")
			b.move(c, "1")
			ns.leave("b")
			pass(5 * time.Second)
			ns.lose("a")
			ns.want()
		},
		"the old node leaves": func(ns *nodes, a, b, c *node) {
			a.connect("1")
			pass(time.Second)
			a.move(b, "1")
			ns.leave("a")
			pass(time.Second)
			ns.lose("b")
			ns.want("1")
		},
		"more moves than are remembered": func(ns *nodes, a, b, c *node) {
			for _, n := range []*node{a, c} {
				ids := make([]string, 12_000)
				for i := range ids {
					ids[i] = fmt.Sprintf("%s%05d", n.id, i)
				}
				n.connect(ids...)
				pass(time.Second)
				n.move(b, ids...)
			}
			pass(2 * time.Minute)
			ns.lose("a")
			ns.lose("c")
			ns.want()
		},
		"a drain": func(ns *nodes, a, b, c *node) {
			var ids []string
			for i := range 5000 {
				ids = append(ids, fmt.Sprintf("%04d", i))
			}
			a.connect(ids...)
			pass(time.Second)
			a.move(b, ids[:2500]...)
			a.move(c, ids[2500:]...)
			ns.lose("b")
			ns.want(ids[:2500]...)
			ns.lose("a")
			ns.want()
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

// Sockets move between nodes while nodes are killed: backends are handed the Disconnect of every
// socket whose node is killed or that is lost on its way, and of no other.
func TestRandomMovesAndKills(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomMoves(t, rand.New(rand.NewPCG(seed, 2))) })
		})
	}
}

func randomMoves(t *testing.T, r *rand.Rand) {
	var ids []cluster.NodeID
	for i := range 2 + r.IntN(4) {
		ids = append(ids, cluster.NodeID(fmt.Sprint("n", i)))
	}
	ns := newNodes(t, ids...)
	pass(3 * time.Second)
	where := make(map[string]cluster.NodeID) // empty once it is lost on its way
	visited := make(map[string]map[cluster.NodeID]bool)
	var sockets []string
	for i := range r.IntN(60) {
		socket, id := fmt.Sprintf("s%03d", i), ids[r.IntN(len(ids))]
		sockets = append(sockets, socket)
		where[socket], visited[socket] = id, map[cluster.NodeID]bool{id: true}
		ns.all[id].connect(socket)
	}
	pass(3 * time.Second)

	killed := slices.Clone(ids)
	r.Shuffle(len(killed), func(i, j int) { killed[i], killed[j] = killed[j], killed[i] })
	killed = killed[:r.IntN(len(killed))]
	all := maps.Clone(ns.all)
	var moving sync.WaitGroup
	start := maps.Clone(where)
	for _, socket := range sockets {
		random := rand.New(rand.NewPCG(r.Uint64(), 3))
		at := start[socket]
		moving.Go(func() {
			for range random.IntN(5) {
				<-time.After(time.Duration(random.IntN(1500)) * time.Millisecond)
				to := ids[random.IntN(len(ids))]
				if to == at || !ns.asks(to) {
					continue
				}
				s, ok := all[at].handOver(socket, to)
				if !ok {
					return
				}
				ns.mu.Lock()
				where[socket], visited[socket][to] = "", true
				ns.mu.Unlock()
				<-time.After(time.Duration(random.IntN([]int{3, 20, 1500}[random.IntN(3)])) * time.Millisecond)
				if random.IntN(20) == 0 || !all[to].takeOver(s, at) {
					return
				}
				at = to
				ns.mu.Lock()
				where[socket] = at
				ns.mu.Unlock()
			}
		})
	}
	killAll(ns, r, killed)
	moving.Wait()
	pass(time.Minute)

	ns.mu.Lock()
	defer ns.mu.Unlock()
	first, again := ns.disconnects()
	for _, socket := range sockets {
		dead := 0
		for id := range visited[socket] {
			if ns.all[id] == nil {
				dead++
			}
		}
		gone := where[socket] == "" || ns.all[where[socket]] == nil
		switch n := first[socket]; {
		case gone && n+again[socket] == 0:
			t.Errorf("%s was at %v and is gone from %q, without a Disconnect", socket, visited[socket], where[socket])
		case gone && n > max(1, dead):
			t.Errorf("the Disconnect of %s came %d times, unmarked", socket, n)
		case !gone && n+again[socket] > 0:
			t.Errorf("%s is at %s, but its Disconnect came", socket, where[socket])
		}
	}
}
