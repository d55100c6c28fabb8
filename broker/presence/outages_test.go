package presence_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/presence"
)

// outages are the times in which no message arrives. If there are any in a world, deposits and
// announcements are messages, too. A backend is at the first node, which lives on.
type outages struct {
	happen bool
	down   bool
	count  int
	since  time.Time // when the last one has ended
}

const (
	resentAfter   = 2 * time.Second // after which an announcement is sent again
	toldWithin    = 3 * time.Second // how long a node that ends waits until that has arrived
	depositsCheck = time.Second     // how often a node looks whether others have its deposits
)

func (net *network) outagesNow() outages {
	net.mu.Lock()
	defer net.mu.Unlock()
	return net.outages
}

// fail has no message arrive for a while.
func (net *network) fail(d time.Duration) {
	net.mu.Lock()
	defer net.mu.Unlock()
	if net.outages.down {
		return
	}
	net.outages.down = true
	net.outages.count++
	net.running.Go(func() {
		pass(d)
		net.mu.Lock()
		defer net.mu.Unlock()
		net.outages.down, net.outages.since = false, time.Now()
	})
}

// awaitNoticed waits as long as it takes to notice that a node is lost, after the last outage.
func (net *network) awaitNoticed() {
	for begin := time.Now(); ; {
		now := net.outagesNow()
		left := noticed
		if !now.down {
			left -= min(time.Since(begin), time.Since(now.since))
		}
		if left <= 0 {
			return
		}
		pass(left)
	}
}

// outbox is the deposits of a node that are on their way to others.
type outbox struct {
	wake chan struct{}

	// Guarded by node.deposit.
	changes map[presence.Place]bool // that aren't sent yet
	broken  bool                    // others lack something
}

// add adds a change. node.deposit is held.
func (o *outbox) add(p presence.Place, is bool) {
	if o.changes == nil {
		o.changes = make(map[presence.Place]bool)
	}
	o.changes[p] = is
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// sendDeposits keeps others up to date, until ctx ends.
func (n *node) sendDeposits(ctx context.Context) {
	check := time.NewTicker(depositsCheck)
	defer check.Stop()
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case <-n.outbox.wake:
		case <-check.C:
			all = true
		}
		n.deposit.Lock()
		changes := n.outbox.changes
		n.outbox.changes = nil
		broken := n.outbox.broken
		n.deposit.Unlock()
		switch {
		case broken && all:
			changes = make(map[presence.Place]bool)
			for _, p := range n.Deposited(n.presentPlaces()) {
				changes[p] = true
			}
		case broken || len(changes) == 0:
			continue
		}
		arrives := n.isAlive() && n.net.delay("deposit "+n.id)
		n.deposit.Lock()
		n.outbox.broken = !arrives
		if arrives && broken {
			n.deposited = changes
		} else if arrives {
			maps.Copy(n.deposited, changes)
			maps.DeleteFunc(n.deposited, func(_ presence.Place, is bool) bool { return !is })
		}
		n.deposit.Unlock()
	}
}

func (n *node) presentPlaces() []presence.Place {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	return sortedPlaces(n.present())
}

// sendAnnouncement sends an announcement to the node that has the backend until it has arrived there. It
// is lost with its node.
func (n *node) sendAnnouncement(a announcement) {
	defer n.addUntold(-1)
	way := fmt.Sprint("announce ", n.id, a.Place)
	arrived := false
	for n.isAlive() && !arrived {
		if arrived = n.net.delay(way); !arrived {
			pass(resentAfter)
		}
	}
	if arrived {
		n.net.publish(a)
		return
	}
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	n.net.unknown[a.Place] = append(n.net.unknown[a.Place], a.at)
}

func (n *node) addUntold(by int) {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	n.untold += by
}

// awaitTold waits until the backend has what a node has announced that is about to end.
func (n *node) awaitTold() {
	for end := time.Now().Add(toldWithin); time.Now().Before(end); pass(time.Millisecond) {
		n.net.mu.Lock()
		untold := n.untold
		n.net.mu.Unlock()
		if untold == 0 {
			return
		}
	}
}

// noteUnknown notes the places about which a node that was killed knew something that nobody else did: that
// a user was there, or that it was announced that a user had left.
func (net *network) noteUnknown(n *node, present map[presence.Place]bool, killed time.Time) {
	if n.outbox == nil {
		return
	}
	net.mu.Lock()
	defer net.mu.Unlock()
	n.deposit.Lock()
	defer n.deposit.Unlock()
	for p := range present {
		if !n.deposited[p] {
			net.unknown[p] = append(net.unknown[p], killed)
		}
	}
	for p := range n.deposited {
		left := func(a announcement) bool { return a.node == n.id && a.Place == p && a.Left }
		if !present[p] && slices.ContainsFunc(net.announced, left) {
			net.unknown[p] = append(net.unknown[p], killed)
		}
	}
}

// excuses reports whether the last announcement about a place may be wrong, since something about the place was
// lost with a node. The next announcement is right again. net.mu is held.
func (net *network) excuses(p presence.Place) bool {
	return slices.ContainsFunc(net.unknown[p], func(since time.Time) bool {
		return !slices.ContainsFunc(net.announced, func(a announcement) bool { return a.Place == p && a.at.After(since) })
	})
}

// isDone reports whether other nodes learn that this one finds out about the users of a lost node. If not,
// another one does.
func (n *node) isDone() bool {
	return !n.net.outagesNow().happen || n.isAlive() && n.net.delay("done "+n.id)
}

// A user has come back to a node, which can't find out yet whether to announce that, since the loss of a third
// node isn't noticed. The node that was about to find out whether the user had left leaves that to it, and is
// maybe killed. The user leaves, the node is killed, and it takes long until that is noticed, since messages are
// lost again and again.
func TestNodeIsLostThatOthersRelyOn(t *testing.T) {
	for _, drains := range []bool{false, true} { // the node that the user was at before is killed otherwise
		t.Run(fmt.Sprint(drains), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testNodeIsLostThatOthersRelyOn(t, drains) })
		})
	}
}

func testNodeIsLostThatOthersRelyOn(t *testing.T, drains bool) {
	net := newNetwork(t, 1)
	net.outages.happen, net.refuses = true, true
	first, lost, before, gone := net.add(0), net.add(0), net.add(0), net.add(0)
	defer net.stopAll()
	s := net.connect(before, "ana")
	pass(time.Second) // it is announced
	net.kill(gone)
	net.disconnect(s, false)
	relies := before
	if drains {
		relies = first
		net.drain(before, false)
	}
	s = net.connect(lost, "ana")
	pass(100 * time.Millisecond)
	net.disconnect(s, false)
	pass(time.Second) // the first one asks again
	if slices.Contains(relies.Deposited(nil), s.places()[0]) {
		t.Error("the other node doesn't rely on this one")
	}
	if !drains {
		net.kill(before)
	}
	net.kill(lost)
	for range 8 {
		net.fail(50 * time.Millisecond)
		pass(2 * time.Second)
	}
	net.running.Wait()
	pass(time.Minute)
	for _, p := range net.everywhere() {
		if all := net.history(p); len(all) == 0 || !all[len(all)-1].Left {
			t.Errorf("%v: %s", p, net.describe(p))
		}
	}
}
