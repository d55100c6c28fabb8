package lastwill_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/presence"
)

// When a node is lost, others learn which users it had, as it had deposited them: those that were there
// before anybody was interested, and those that have come and gone since.
func TestPlacesOfLostNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ns := newNodes(t, "a", "b", "c")
		pass(3 * time.Second)
		a := ns.all["a"]
		place := func(i int) presence.Place {
			return presence.Place{Namespace: "/", Room: "room", User: fmt.Sprint("user", i)}
		}
		for i := range 3000 {
			a.place(place(i), true)
		}
		pass(time.Second)
		for i := range 1500 {
			a.place(place(2*i), false)
		}
		a.place(place(0), true)
		a.place(presence.Place{Namespace: "/", User: "user0"}, true)
		pass(2 * time.Second)
		ns.lose("a")
		pass(30 * time.Second)
		ns.mu.Lock()
		defer ns.mu.Unlock()
		if len(ns.lostPlaces) != 1502 || ns.lostPlaces[place(0)] == 0 || ns.lostPlaces[place(1)] == 0 || ns.lostPlaces[place(2)] != 0 {
			t.Errorf("%d places were lost: user0 %d, user1 %d, user2 %d times",
				len(ns.lostPlaces), ns.lostPlaces[place(0)], ns.lostPlaces[place(1)], ns.lostPlaces[place(2)])
		}
	})
}

// Nodes are killed one after the other, and none of that is noticed, since Redis fails again and again. As
// long as one other node lives, whichever that is, it learns which users the last one had.
func TestPlacesWhileLossesGoUnnoticed(t *testing.T) {
	ids := []cluster.NodeID{"b", "c", "d", "e", "f", "g"}
	for _, survivor := range ids {
		t.Run(string(survivor), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ns := newNodes(t, append([]cluster.NodeID{"a"}, ids...)...)
				pass(3 * time.Second)
				place := presence.Place{Namespace: "/", Room: "room", User: "ana"}
				for _, id := range ids {
					if id != survivor {
						ns.kill(id)
						pass(4 * time.Second)
					}
				}
				a := ns.all["a"]
				a.place(place, true)
				pass(time.Second)
				ns.kill("a")
				pass(4 * time.Second)
				for _, id := range append(ids, "a") {
					if id != survivor {
						ns.all[survivor].notice(id)
					}
				}
				pass(30 * time.Second)
				ns.mu.Lock()
				defer ns.mu.Unlock()
				if ns.lostPlaces[place] == 0 {
					t.Error("nobody learns of the user")
				}
			})
		})
	}
}
