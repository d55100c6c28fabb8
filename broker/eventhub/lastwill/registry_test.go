package lastwill_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

func TestLostNodes(t *testing.T) {
	many := make([]string, 2500)
	for i := range many {
		many[i] = fmt.Sprintf("%04d", i)
	}
	for name, test := range map[string]func(ns *nodes, a, b, c *node){
		"connects and a disconnect": func(ns *nodes, a, b, _ *node) {
			a.connect("1", "2", "3")
			b.connect("of b")
			pass(time.Millisecond * 10)
			a.end("2")
			pass(time.Millisecond * 10)
			ns.lose("a")
			ns.want("1", "3")
		},
		"a client has returned": func(ns *nodes, a, _, _ *node) {
			a.connect("1")
			pass(10 * time.Millisecond)
			a.connect("1")
			pass(10 * time.Millisecond)
			ns.lose("a")
			ns.want("1")
		},
		"the last node's successors come first": func(ns *nodes, _, _, c *node) {
			c.connect("1")
			pass(time.Millisecond * 10)
			ns.lose("c")
			ns.want("1")
		},
		"a successor is lost, then the node": func(ns *nodes, a, _, _ *node) {
			a.connect("1")
			ns.lose("b")
			a.connect("2")
			pass(5 * time.Second)
			ns.lose("a")
			ns.want("1", "2")
		},
		"successors change": func(ns *nodes, a, b, c *node) {
			a.connect("1")
			pass(time.Second)
			for i := range 40 {
				ns.add(cluster.NodeID(fmt.Sprint("more", i)))
			}
			pass(5 * time.Second)
			a.connect("2")
			pass(time.Second)
			complete := 0
			for _, n := range ns.all {
				asker := b
				if n == b {
					asker = c
				}
				switch state := n.State("a", asker.id); {
				case state.GetComplete():
					complete++
				case state.GetEpoch() != 0:
					t.Errorf("%s keeps %v", n.id, state)
				}
			}
			if complete != 4 {
				t.Errorf("%d nodes have everything, want 4", complete)
			}
			ns.lose("a")
			ns.want("1", "2")
		},
		"a successor has just changed": func(ns *nodes, a, _, _ *node) {
			a.connect("1")
			pass(time.Second)
			ns.add("aa")
			synctest.Wait()
			ns.lose("a")
			ns.want("1")
		},
		"two successors have everything": func(ns *nodes, a, _, _ *node) {
			a.connect("1")
			pass(time.Second)
			ns.add("aa")
			pass(10 * time.Millisecond)
			if a, b := ns.all["aa"].State("a", "b"), ns.all["b"].State("a", "c"); !a.GetComplete() || !b.GetComplete() {
				t.Errorf("the two have %v and %v", a, b)
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
		"lost messages are made up for": func(ns *nodes, a, _, _ *node) {
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
		"nothing is sent needlessly": func(ns *nodes, a, _, _ *node) {
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
				t.Errorf("%d messages were sent needlessly", ns.sent)
			}
			ns.mu.Unlock()
			ns.set(false, false)
			pass(5 * time.Second)
			ns.lose("a")
			ns.want("1")
		},
		"a node leaves": func(ns *nodes, a, b, c *node) {
			a.connect("1")
			pass(time.Second)
			b.Left("a")
			c.Left("a")
			b.Lost("a", 1, 10)
			pass(time.Second)
			ns.want()
		},
		"a lost node comes back": func(ns *nodes, a, b, c *node) {
			a.connect("1")
			pass(time.Second)
			b.Lost("a", 1, 10)
			c.Lost("a", 1, 10)
			pass(time.Second)
			ns.want("1")
			b.Joined("a")
			c.Joined("a")
			a.connect("2")
			pass(5 * time.Second)
			ns.lose("a")
			ns.want("1", "2")
		},
		"many sockets": func(ns *nodes, a, _, _ *node) {
			a.connect(many...)
			pass(time.Second)
			ns.lose("a")
			ns.want(many...)
		},
		"no backend wants disconnects": func(ns *nodes, a, b, _ *node) {
			for _, n := range ns.all {
				n.sub.Close()
			}
			a.connect("1")
			pass(5 * time.Second)
			if state := b.State("a", "c"); state.GetEpoch() != 0 {
				t.Errorf("a successor keeps %v", state)
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
