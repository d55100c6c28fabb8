package presence_test

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/presence"
)

const (
	window    = 2 * time.Second
	noticed   = 3 * time.Second // how long it takes to notice that a node is lost
	callLimit = 2 * time.Second
)

// network is the nodes in a bubble, the calls between them, and what they announce.
type network struct {
	t *testing.T

	mu        sync.Mutex     // also the lock of all indexes
	seed      uint64         // of latencies and losses
	refuses   bool           // a node that is gone refuses calls, instead of never answering them
	sent      map[string]int // how many messages, by way
	loss      float64
	slow      float64 // how many messages take long
	outages   outages
	unknown   map[presence.Place][]time.Time // since when something about it may be lost with a node
	nodes     []*node                        // that are there
	made      int                            // nodes
	connected int                            // sockets
	announced []announcement
	stays     map[presence.Place][]*stay
	calls     int
	calling   int            // at the moment
	most      int            // ever
	running   sync.WaitGroup // moves, drains, kills and outages
	flying    sync.WaitGroup // messages
}

type announcement struct {
	presence.Change
	node string
	at   time.Time
}

// stay is the time that a node has had sockets of a user in a place.
type stay struct {
	node     string
	from, to time.Time // to is zero until it has ended
	killed   bool      // it has ended with the node
}

// node is one node: its tracker, and the sockets that it has.
type node struct {
	*presence.Tracker
	net  *network
	id   string
	stop func()

	// Guarded by network.mu.
	alive    bool
	draining bool
	knows    map[string]bool
	sockets  map[*socket]bool
	shadows  map[*socket]bool // that it is taking over

	deposit   sync.Mutex
	deposited map[presence.Place]bool
	outbox    *outbox // of deposits, if there are outages
	untold    int     // announcements that are on their way; guarded by network.mu
}

// socket is a socket of a user and the rooms that it is in. Guarded by network.mu.
type socket struct {
	number int
	user   string
	rooms  map[string]bool
	at     *node // nil once it has ended
	moving bool  // to another node
}

func (s *socket) places() []presence.Place {
	all := []presence.Place{{Namespace: "/", User: s.user}}
	for _, room := range slices.Sorted(maps.Keys(s.rooms)) {
		all = append(all, presence.Place{Namespace: "/", Room: room, User: s.user})
	}
	return all
}

// placesOf returns where a socket is.
func (net *network) placesOf(s *socket) []presence.Place {
	net.mu.Lock()
	defer net.mu.Unlock()
	return s.places()
}

// owner returns the node that has the socket; nil if it has ended, or is between two nodes. net.mu is
// held.
func (s *socket) owner() *node {
	if s.at != nil && s.at.sockets[s] {
		return s.at
	}
	return nil
}

func (s *socket) isIn(p presence.Place) bool {
	return s.user == p.User && (p.Room == "" || s.rooms[p.Room])
}

func newNetwork(t *testing.T, seed uint64) *network {
	return &network{t: t, seed: seed, sent: make(map[string]int), stays: make(map[presence.Place][]*stay), unknown: make(map[presence.Place][]time.Time)}
}

func (net *network) add(skew time.Duration) *node {
	net.mu.Lock()
	net.made++
	n := &node{
		net: net, id: fmt.Sprintf("node%d", net.made), alive: true, knows: make(map[string]bool),
		sockets: make(map[*socket]bool), shadows: make(map[*socket]bool), deposited: make(map[presence.Place]bool),
	}
	for _, other := range net.nodes {
		if other.alive {
			n.knows[other.id], other.knows[n.id] = true, true
		}
	}
	net.depositAgain()
	net.nodes = append(net.nodes, n)
	if net.outages.happen {
		n.outbox = &outbox{wake: make(chan struct{}, 1)}
	}
	net.mu.Unlock()
	n.Tracker = presence.New(presence.Options{
		Self: n.id, Window: window, Local: n.local, Ask: n.ask, Adopt: n.adopt, Announce: n.announce, Deposit: n.keep,
		Dropped: func() { net.t.Error("a change was dropped") },
		Now:     func() time.Time { return time.Now().Add(skew) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		var running sync.WaitGroup
		if n.outbox != nil {
			running.Go(func() { n.sendDeposits(ctx) })
		}
		n.Run(ctx)
		running.Wait()
	}()
	n.stop = sync.OnceFunc(func() { cancel(); <-ran })
	return n
}

func (n *node) keep(p presence.Place, is bool) {
	n.deposit.Lock()
	defer n.deposit.Unlock()
	if n.outbox != nil {
		n.outbox.add(p, is)
		return
	}
	if is {
		n.deposited[p] = true
	} else {
		delete(n.deposited, p)
	}
}

func (n *node) local(p presence.Place) presence.Local {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	for s := range n.sockets {
		if s.isIn(p) {
			return presence.Present
		}
	}
	for s := range n.shadows {
		if s.isIn(p) {
			return presence.Moving
		}
	}
	return presence.Absent
}

func (n *node) announce(c presence.Change) {
	n.net.mu.Lock()
	alive, at := n.alive, time.Now()
	remote := n.net.outages.happen && n != n.net.nodes[0] // the backend is at the first one
	n.net.mu.Unlock()
	switch {
	case !alive:
	case remote:
		n.addUntold(1)
		n.net.flying.Go(func() { n.sendAnnouncement(announcement{c, n.id, at}) })
	default:
		n.net.publish(announcement{c, n.id, at})
	}
}

func (net *network) publish(a announcement) {
	net.mu.Lock()
	defer net.mu.Unlock()
	net.announced = append(net.announced, a)
}

// delay waits as long as a message may take, and reports whether it arrives. What the delays are on a
// way depends only on the seed, and not on what else happens at the same time.
func (net *network) delay(way string) bool {
	net.mu.Lock()
	net.sent[way]++
	h := fnv.New64a()
	fmt.Fprint(h, way, " ", net.sent[way])
	rng := rand.New(rand.NewPCG(net.seed, h.Sum64()))
	arrives := rng.Float64() >= net.loss
	slow, outage := net.slow, net.outages
	net.mu.Unlock()
	pass(time.Duration(rng.IntN(8_000_000)))
	if rng.Float64() < slow {
		pass(time.Duration(rng.IntN(200_000_000)))
	}
	net.mu.Lock()
	defer net.mu.Unlock()
	return arrives && !outage.down && outage == net.outages
}

// call has another node do something. It reports false if there is no answer within the limit.
func (n *node) call(ctx context.Context, other *node, what string, do func()) bool {
	before := n.net.outagesNow()
	if n.net.refuses && !other.isAlive() || before.down {
		return false
	}
	done := make(chan struct{})
	n.net.flying.Go(func() {
		if !n.net.delay(what+" "+n.id+" "+other.id) || !other.isAlive() {
			return
		}
		do()
		if n.net.delay(what+" "+other.id+" "+n.id) && n.isAlive() {
			close(done)
		}
	})
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	for {
		select {
		case <-done:
			return true
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
			if !n.knowsOf(other) || n.net.outagesNow() != before { // a mesh stops waiting for a node that is gone
				return false
			}
		}
	}
}

func (n *node) isAlive() bool {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	return n.alive
}

func (n *node) knowsOf(other *node) bool {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	return n.knows[other.id]
}

// others returns the nodes that this one knows.
func (n *node) others() (all []*node) {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	for _, other := range n.net.nodes {
		if n.knows[other.id] {
			all = append(all, other)
		}
	}
	return all
}

func (n *node) ask(ctx context.Context, q *wire.AskPresence) (map[string]*wire.PresenceAnswers, bool) {
	n.net.count(1)
	defer n.net.count(-1)
	var mu sync.Mutex
	var asking sync.WaitGroup
	answers, complete := make(map[string]*wire.PresenceAnswers), true
	for _, other := range n.others() {
		asking.Go(func() {
			var a *wire.PresenceAnswers
			answered := n.call(ctx, other, "ask", func() { a = other.Answer(n.id, proto.CloneOf(q)) })
			mu.Lock()
			defer mu.Unlock()
			if answered {
				answers[other.id] = proto.CloneOf(a)
			} else { // also if it is gone meanwhile, as in a mesh
				complete = false
			}
		})
	}
	asking.Wait()
	return answers, complete
}

func (net *network) count(by int) {
	net.mu.Lock()
	defer net.mu.Unlock()
	net.calls += max(by, 0)
	net.calling += by
	net.most = max(net.most, net.calling)
}

// counts returns how many changes were announced, how many calls were made, and how many of them at a
// time.
func (net *network) counts() (announced, calls, most int) {
	net.mu.Lock()
	defer net.mu.Unlock()
	return len(net.announced), net.calls, net.most
}

func (n *node) adopt(ctx context.Context, l *wire.AdoptLeaves) bool {
	for _, other := range n.others() {
		adopted := false
		if n.call(ctx, other, "adopt", func() { adopted = other.Adopt(proto.CloneOf(l)) }) && adopted {
			return true
		}
	}
	return false
}

// change changes sockets of a node, and tells its tracker who has come and who has left, as the index
// does.
func (net *network) change(n *node, lost, tell bool, change func()) {
	net.mu.Lock()
	defer net.mu.Unlock()
	before := n.present()
	change()
	after := n.present()
	for _, p := range sortedPlaces(before) {
		if !after[p] {
			all := net.stays[p]
			all[slices.IndexFunc(all, func(s *stay) bool { return s.node == n.id && s.to.IsZero() })].to = time.Now()
			if tell {
				n.Left(p, lost)
			}
		}
	}
	for _, p := range sortedPlaces(after) {
		if !before[p] {
			net.stays[p] = append(net.stays[p], &stay{node: n.id, from: time.Now()})
			if tell {
				n.Came(p)
			}
		}
	}
}

// present returns the places in which a node has sockets. net.mu is held.
func (n *node) present() map[presence.Place]bool {
	all := make(map[presence.Place]bool)
	for s := range n.sockets {
		for _, p := range s.places() {
			all[p] = true
		}
	}
	return all
}

func (net *network) connect(n *node, user string, rooms ...string) *socket {
	net.mu.Lock()
	net.connected++
	s := &socket{number: net.connected, user: user, rooms: make(map[string]bool), at: n}
	net.mu.Unlock()
	for _, room := range rooms {
		s.rooms[room] = true
	}
	net.change(n, false, true, func() { n.sockets[s] = true })
	return s
}

func (net *network) disconnect(s *socket, lost bool) {
	net.mu.Lock()
	n := s.owner()
	net.mu.Unlock()
	if n != nil {
		net.change(n, lost, true, func() { delete(n.sockets, s); s.at = nil })
	}
}

func (net *network) toggle(s *socket, room string) {
	net.mu.Lock()
	n := s.owner()
	net.mu.Unlock()
	if n != nil {
		net.change(n, false, true, func() {
			if s.rooms[room] {
				delete(s.rooms, room)
			} else {
				s.rooms[room] = true
			}
		})
	}
}

// move has another node take a socket's session over. While that goes on, the other node only has a
// shadow.
func (net *network) move(s *socket, to *node) {
	net.mu.Lock()
	from := s.at
	if from == nil || from == to || !to.alive || to.draining || s.moving {
		net.mu.Unlock()
		return
	}
	to.shadows[s], s.moving = true, true
	net.mu.Unlock()
	defer func() {
		net.mu.Lock()
		defer net.mu.Unlock()
		s.moving = false
	}()
	way := fmt.Sprint("move ", s.number)
	net.delay(way)
	net.delay(way)
	net.mu.Lock()
	moves := s.at == from && from.alive && to.alive
	net.mu.Unlock()
	if moves {
		net.change(from, false, false, func() { delete(from.sockets, s) })
		since, clock := make(map[presence.Place]int64), int64(0)
		for _, p := range net.placesOf(s) {
			since[p], clock = from.HandedOver(p, to.id)
		}
		net.delay(way)
		for _, p := range net.placesOf(s) {
			to.TakenOver(p, since[p], clock)
		}
		net.change(to, false, false, func() {
			delete(to.shadows, s)
			to.sockets[s], s.at = true, to
			if !to.alive { // the session is lost with it
				delete(to.sockets, s)
				s.at = nil
			}
		})
		return
	}
	net.mu.Lock()
	delete(to.shadows, s)
	net.mu.Unlock()
	for _, p := range net.placesOf(s) {
		if to.local(p) == presence.Absent {
			to.NotTaken(p)
		}
	}
}

// forget removes a node from what the others know.
func (net *network) forget(n *node) {
	net.mu.Lock()
	defer net.mu.Unlock()
	net.nodes = slices.DeleteFunc(net.nodes, func(other *node) bool { return other == n })
	for _, other := range net.nodes {
		delete(other.knows, n.id)
	}
	net.depositAgain()
}

// depositAgain has all nodes deposit everything, as when their successors change. net.mu is held.
func (net *network) depositAgain() {
	for _, n := range net.nodes {
		if !n.alive || n.outbox != nil {
			continue
		}
		deposited := make(map[presence.Place]bool)
		for _, p := range n.Deposited(sortedPlaces(n.present())) {
			deposited[p] = true
		}
		n.deposit.Lock()
		n.deposited = deposited
		n.deposit.Unlock()
	}
}

// kill ends a node without warning. The others notice that a while later, and one of them asks about
// the users.
func (net *network) kill(n *node) {
	net.mu.Lock()
	killed, present := time.Now(), n.present()
	n.alive = false
	for s := range n.sockets {
		s.at = nil
	}
	for p := range n.present() {
		all := net.stays[p]
		i := slices.IndexFunc(all, func(s *stay) bool { return s.node == n.id && s.to.IsZero() })
		all[i].to, all[i].killed = time.Now(), true
	}
	clear(n.sockets)
	net.mu.Unlock()
	n.stop()
	net.running.Go(func() {
		net.lose(n)
		net.noteUnknown(n, present, killed)
	})
}

// lose has the others notice that a node is gone.
func (net *network) lose(n *node) {
	net.awaitNoticed()
	net.forget(n)
	net.mu.Lock()
	survivors := slices.Clone(net.nodes)
	net.mu.Unlock()
	for _, other := range survivors {
		other.NodeLost(n.id)
	}
	pass(300 * time.Millisecond)
	n.deposit.Lock()
	lost := sortedPlaces(n.deposited)
	n.deposit.Unlock()
	for _, other := range survivors {
		if other.isAlive() {
			for _, p := range lost {
				other.Lost(p)
			}
			if other.isDone() {
				return
			}
		}
	}
}

// drain ends a node in order: its sockets lose their connections or move, and it hands over what is
// left to find out.
func (net *network) drain(n *node, sessions bool) { net.drainWithin(n, sessions, 10*time.Second) }

// drainWithin is drain with a limit for what is left to find out.
func (net *network) drainWithin(n *node, sessions bool, limit time.Duration) {
	for {
		net.mu.Lock()
		n.draining = true
		sockets := slices.Collect(maps.Keys(n.sockets))
		busy := len(sockets)+len(n.shadows) > 0
		net.mu.Unlock()
		if !busy {
			break
		}
		slices.SortFunc(sockets, func(a, b *socket) int { return cmp.Compare(a.number, b.number) })
		for _, s := range sockets {
			if others := n.others(); sessions && len(others) > 0 {
				net.move(s, others[len(others)-1])
			} else {
				net.disconnect(s, true)
			}
		}
		sessions = false
		pass(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	n.Close(ctx)
	n.awaitTold()
	net.mu.Lock()
	n.alive = false
	down := net.outages.down
	net.mu.Unlock()
	n.stop()
	if down { // the others don't learn that it leaves
		net.lose(n)
		return
	}
	net.forget(n)
}

// history returns the announcements about a place by their times.
func (net *network) history(p presence.Place) (all []announcement) {
	net.mu.Lock()
	defer net.mu.Unlock()
	for _, a := range net.announced {
		if a.Place == p {
			all = append(all, a)
		}
	}
	slices.SortStableFunc(all, func(a, b announcement) int { return a.Time.Compare(b.Time) })
	return all
}

// everywhere returns all places that anybody was ever in.
func (net *network) everywhere() []presence.Place {
	net.mu.Lock()
	defer net.mu.Unlock()
	return sortedPlaces(net.stays)
}

// sortedPlaces returns places in an order that is the same in each run.
func sortedPlaces[V any](in map[presence.Place]V) []presence.Place {
	return slices.SortedFunc(maps.Keys(in), presence.Place.Compare)
}

// isPresent reports whether any node has a socket in the place.
func (net *network) isPresent(p presence.Place) bool {
	net.mu.Lock()
	defer net.mu.Unlock()
	return slices.ContainsFunc(net.stays[p], func(s *stay) bool { return s.to.IsZero() })
}

// describe returns everything about a place, for a failed test.
func (net *network) describe(p presence.Place) string {
	var b strings.Builder
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	net.mu.Lock()
	for _, s := range net.stays[p] {
		to := "now"
		if !s.to.IsZero() {
			to = fmt.Sprint(s.to.Sub(start))
		}
		fmt.Fprintf(&b, "\n  at %s from %s to %s, killed %v", s.node, s.from.Sub(start), to, s.killed)
	}
	net.mu.Unlock()
	for _, a := range net.history(p) {
		fmt.Fprintf(&b, "\n  %s announces left %v of %s at %s", a.node, a.Left, a.Time.Sub(start), a.at.Sub(start))
	}
	return b.String()
}

// stopAll ends all nodes and what they do.
func (net *network) stopAll() {
	net.mu.Lock()
	nodes := slices.Clone(net.nodes)
	net.mu.Unlock()
	for _, n := range nodes {
		n.stop()
	}
	net.flying.Wait()
}

// pass lets the time of the bubble pass.
func pass(d time.Duration) { <-time.After(d) }
