package presence_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Thousands of users who lose their connections at the same time cost few calls, a few at a time, and each is
// announced once.
func TestMassDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t, 1)
		node := net.add(0)
		net.add(0)
		defer net.stopAll()
		const users = 700 // the index of the test looks at each socket
		var sockets []*socket
		for i := range users {
			sockets = append(sockets, net.connect(node, fmt.Sprint("user", i)))
		}
		pass(10 * time.Second)
		net.mu.Lock()
		net.calls, net.most, net.announced = 0, 0, nil
		net.mu.Unlock()
		for _, s := range sockets {
			net.disconnect(s, true)
		}
		pass(window - time.Millisecond)
		if announced, calls, _ := net.counts(); announced > 0 || calls > 0 {
			t.Errorf("%d users left and %d calls were made before the window had passed", announced, calls)
		}
		pass(10 * time.Second)
		if announced, calls, most := net.counts(); announced != users || calls > 10 || most > 4 {
			t.Errorf("%d users left, with %d calls, %d at a time", announced, calls, most)
		}
	})
}

// A node that has little time to end finds out or hands over whom it has announced, also while a lost
// node doesn't answer: whoever is said to have come is said to have left.
func TestCloseInTime(t *testing.T) {
	for _, limit := range []time.Duration{200 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second} {
		for _, stay := range []time.Duration{time.Millisecond, 40 * time.Millisecond, 280 * time.Millisecond, 900 * time.Millisecond} {
			for _, lost := range []bool{false, true} {
				t.Run(fmt.Sprint(limit, stay, lost), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { testCloseInTime(t, limit, stay, lost) })
				})
			}
		}
	}
}

func testCloseInTime(t *testing.T, limit, stay time.Duration, lost bool) {
	net := newNetwork(t, 1)
	net.refuses = true
	node, gone := net.add(0), net.add(0)
	net.add(0)
	defer net.stopAll()
	net.kill(gone)
	s := net.connect(node, "ana")
	pass(stay)
	net.disconnect(s, lost)
	net.drainWithin(node, false, limit)
	pass(time.Minute)
	for _, p := range net.everywhere() {
		if all := net.history(p); len(all) != 2 || all[0].Left || !all[1].Left {
			t.Errorf("%v: %s", p, net.describe(p))
		}
	}
}

// A user who has come back to a node that is still finding out whether to announce that, and leaves again,
// isn't forgotten if that node is lost: everybody was told before that the user is there.
func TestNodeIsLostThatFindsOut(t *testing.T) {
	for _, early := range []bool{false, true} { // the user comes back before the other node has ended
		for _, added := range []bool{false, true} { // another node is added meanwhile
			t.Run(fmt.Sprint(early, added), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testNodeIsLostThatFindsOut(t, early, added) })
			})
		}
	}
}

func testNodeIsLostThatFindsOut(t *testing.T, early, added bool) {
	net := newNetwork(t, 1)
	net.refuses = true
	ending, lost, gone := net.add(0), net.add(0), net.add(0) // lost is the first one that another hands over to
	net.add(0)
	defer net.stopAll()
	s := net.connect(ending, "ana")
	pass(time.Second) // it is announced
	net.kill(gone)
	net.disconnect(s, true)
	if early {
		s = net.connect(lost, "ana")
	}
	net.drain(ending, false)
	if !early {
		s = net.connect(lost, "ana")
	}
	if added {
		net.add(0)
	}
	pass(200 * time.Millisecond)
	net.disconnect(s, false)
	pass(time.Second)
	net.kill(lost)
	pass(time.Minute)
	for _, p := range net.everywhere() {
		if all := net.history(p); len(all) == 0 || !all[len(all)-1].Left {
			t.Errorf("%v: %s", p, net.describe(p))
		}
	}
}
