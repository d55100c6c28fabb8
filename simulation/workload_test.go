package simulation

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// action is something that the scheduler does, to whom and how drawn from the seed. It
// doesn't wait for anything.
type action struct {
	name    string
	weight  int
	always  bool // it is part of every plan
	cluster bool // it needs several nodes
	do      func(*world)
}

// actions returns every kind of action.
func actions() []action {
	return []action{
		{name: "emit", weight: 12, always: true, do: (*world).emitSome},
		{name: "burst", weight: 2, do: (*world).emitBurst},
		{name: "ack", weight: 2, do: (*world).emitWithAck},
		{name: "relay", weight: 4, do: (*world).relaySome},
		{name: "join", weight: 2, do: (*world).joinRooms},
		{name: "leave", weight: 1, do: (*world).leaveRooms},
		{name: "clear", weight: 1, do: (*world).clearRoom},
		{name: "kick", weight: 1, do: (*world).kick},
		{name: "revoke", weight: 1, do: (*world).revoke},
		{name: "client join", weight: 2, do: (*world).clientJoins},
		{name: "client leave", weight: 1, do: (*world).clientLeaves},
		{name: "cut", weight: 5, do: (*world).cutLink},
		{name: "half open", weight: 2, do: (*world).halfOpen},
		{name: "offline", weight: 2, do: (*world).goOffline},
		{name: "early", weight: 3, do: (*world).reconnectEarly},
		{name: "late request", weight: 2, do: (*world).requestLate},
		{name: "close", weight: 2, do: (*world).closeEngine},
		{name: "block", weight: 1, do: (*world).block},
		{name: "new client", weight: 1, do: (*world).addClient},
		{name: "quit", weight: 1, do: (*world).quit},
		{name: "second tab", weight: 1, do: (*world).duplicate},
		{name: "theft", weight: 1, do: (*world).steal},
		{name: "forgery", weight: 1, do: (*world).forge},
		{name: "long absence", weight: 1, do: (*world).longAbsence},
		{name: "clock", weight: 1, do: (*world).jumpClock},
		{name: "drain", weight: 1, do: (*world).drainNode},
		{name: "kill", weight: 1, do: (*world).killNode},
		{name: "bus down", weight: 1, cluster: true, do: (*world).busDown},
		{name: "bus fault", weight: 1, cluster: true, do: (*world).busFault},
	}
}

// run carries out the plan's steps.
func (w *world) run() {
	all := actions()
	total := 0
	for _, weight := range w.plan.weights {
		total += weight
	}
	for range w.plan.steps {
		n := 1
		if w.plan.concurrent {
			n += w.rnd.IntN(4)
		}
		for range n {
			draw, i := w.rnd.IntN(total), 0
			for draw >= w.plan.weights[i] {
				draw -= w.plan.weights[i]
				i++
			}
			all[i].do(w)
			if !w.plan.concurrent {
				synctest.Wait()
			}
		}
		if w.rnd.IntN(3) > 0 {
			pause(time.Duration(w.rnd.Int64N(int64(w.plan.pause))))
		}
	}
}

// chance draws whether something with that probability happens.
func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

// ms draws a duration in milliseconds.
func (w *world) ms(low, high int) time.Duration {
	return time.Duration(low+w.rnd.IntN(high-low+1)) * time.Millisecond
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// someClient draws a client that hasn't left.
func (w *world) someClient() *client {
	w.mu.Lock()
	here := slices.Clone(w.clients)
	w.mu.Unlock()
	here = slices.DeleteFunc(here, func(c *client) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.gone
	})
	if len(here) == 0 {
		return nil
	}
	return pick(w.rnd, here)
}

// later does something after a while, unless the run has ended by then; settle waits
// for it.
func (w *world) later(after time.Duration, do func()) {
	w.others.Go(func() {
		pause(after)
		do()
	})
}

// someTarget draws a target.
func (w *world) someTarget(namespace string) broker.Target {
	t := broker.Target{Namespace: namespace}
	switch w.rnd.IntN(10) {
	case 0, 1, 2:
		t.Everyone = true
	case 3, 4:
		t.Users = []string{fmt.Sprintf("u%d", 1+w.rnd.IntN(w.plan.users))}
	case 5:
		if sid := w.someSocket(namespace); sid != "" {
			t.Sockets = []string{sid}
			return t
		}
		fallthrough
	default:
		t.Rooms = []string{w.plan.room(w.rnd.IntN(w.plan.rooms))}
	}
	return t
}

// someSocket draws the id of a socket that a client has; empty if it has none.
func (w *world) someSocket(namespace string) string {
	c := w.someClient()
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.socket(namespace)
	if s == nil {
		return ""
	}
	if s.sid == "" && s.pid != "" { // it is away: its id stays the same
		sid, _, _ := strings.Cut(s.pid, "~")
		return sid
	}
	return s.sid
}

// someMessage draws a message.
func (w *world) someMessage() *message {
	ns := pick(w.rnd, w.plan.namespaces)
	m := &message{namespace: ns, target: w.someTarget(ns), event: "e"}
	switch w.rnd.IntN(6) {
	case 0:
		m.args = `,"text at the end"`
	case 1:
		m.args, m.attached = `,{"_placeholder":true,"num":0}`, [][]byte{{1, 2, 3}}
		if w.chance(30) {
			m.args += `,{"_placeholder":true,"num":1}`
			m.attached = append(m.attached, make([]byte, 200))
		}
	case 2:
		if w.plan.large {
			m.args = `,"` + strings.Repeat("x", w.rnd.IntN(12_000)) + `"`
		}
	}
	m.volatile = w.chance(12)
	m.unreported = w.chance(15)
	return m
}

func (w *world) emitSome() {
	p, m := pick(w.rnd, w.publishers), w.someMessage()
	p.do(func(n *node) { w.emit(n, p.name, m) })
}

func (w *world) emitBurst() {
	p := pick(w.rnd, w.publishers)
	for range 5 + w.rnd.IntN(60) {
		m := w.someMessage()
		p.do(func(n *node) { w.emit(n, p.name, m) })
	}
}

func (w *world) emitWithAck() {
	p, m := pick(w.rnd, w.publishers), w.someMessage()
	m.wantsAck, m.volatile, m.unreported = true, false, false
	p.do(func(n *node) { w.emit(n, p.name, m) })
}

// relaySome has a client send a message to a room or to everyone.
func (w *world) relaySome() {
	c := w.someClient()
	if c == nil {
		return
	}
	ns := pick(w.rnd, w.plan.namespaces)
	room, shout := w.plan.room(w.rnd.IntN(w.plan.rooms)), w.chance(30)
	go c.task(func() {
		s := c.socket(ns)
		if s == nil || !s.connected {
			return
		}
		m := &message{namespace: ns, event: "relay", publisher: fmt.Sprintf("c%d.%d", c.id, c.conns), node: c.engine.node.number, unreported: true}
		m.target = broker.Target{Namespace: ns, Rooms: []string{room}}
		if shout {
			m.event, m.target = "shout", broker.Target{Namespace: ns, Everyone: true, ExceptSockets: []string{s.sid}}
		}
		w.h.addMessage(m, func(m *message) { m.args = fmt.Sprintf(`{"room":"%s","m":%d}`, room, m.id) })
		c.emit(s, m.event, m.args, func(ok bool) { w.h.endMessage(m, func(m *message) { m.sure = ok }) })
	})
}

// sessionTarget draws the sessions of a change: one socket or a user's.
func (w *world) sessionTarget(ns string) (broker.Target, bool) {
	t := broker.Target{Namespace: ns}
	if w.chance(70) {
		sid := w.someSocket(ns)
		t.Sockets = []string{sid}
		return t, sid != ""
	}
	t.Users = []string{fmt.Sprintf("u%d", 1+w.rnd.IntN(w.plan.users))}
	return t, true
}

func (w *world) joinRooms() {
	w.changeRooms(joined, func(n *node, ctx context.Context, t broker.Target, rooms []string) (broker.Outcome, error) {
		return n.Join(ctx, t, rooms)
	})
}

func (w *world) leaveRooms() {
	w.changeRooms(left, func(n *node, ctx context.Context, t broker.Target, rooms []string) (broker.Outcome, error) {
		return n.Leave(ctx, t, rooms)
	})
}

func (w *world) changeRooms(kind changeKind, call func(*node, context.Context, broker.Target, []string) (broker.Outcome, error)) {
	ns := pick(w.rnd, w.plan.namespaces)
	t, ok := w.sessionTarget(ns)
	if !ok {
		return
	}
	rooms := []string{w.plan.room(w.rnd.IntN(w.plan.rooms))}
	c := &change{kind: kind, namespace: ns, target: t, rooms: rooms}
	p := pick(w.rnd, w.publishers)
	p.do(func(n *node) {
		w.change(n, c, func(ctx context.Context) (broker.Outcome, error) { return call(n, ctx, t, rooms) })
	})
	w.h.logf("%s: %s %v of %s", p.name, kind, rooms, describe(t))
}

func (w *world) clearRoom() {
	ns, room := pick(w.rnd, w.plan.namespaces), w.plan.room(w.rnd.IntN(w.plan.rooms))
	c := &change{kind: left, namespace: ns, target: broker.Target{Namespace: ns, Everyone: true}, rooms: []string{room}}
	p := pick(w.rnd, w.publishers)
	p.do(func(n *node) {
		w.change(n, c, func(ctx context.Context) (broker.Outcome, error) {
			return n.ClearRoom(ctx, broker.ClearRoom{Namespace: ns, Room: room})
		})
	})
	w.h.logf("%s: clears %s of %s", p.name, room, ns)
}

func (w *world) kick() {
	ns := pick(w.rnd, w.plan.namespaces)
	t, ok := w.sessionTarget(ns)
	if !ok {
		return
	}
	c := &change{kind: kicked, namespace: ns, target: t}
	p := pick(w.rnd, w.publishers)
	p.do(func(n *node) {
		w.change(n, c, func(ctx context.Context) (broker.Outcome, error) { return n.Disconnect(ctx, t, "") })
	})
	w.h.logf("%s: disconnects %s", p.name, describe(t))
}

// revoke has a backend revoke a client's token, which connects with another one after that.
func (w *world) revoke() {
	c := w.someClient()
	if c == nil {
		return
	}
	w.h.logf("%s: its token is revoked", c)
	p := pick(w.rnd, w.publishers)
	p.do(func(n *node) {
		c.mu.Lock()
		id := c.tokenID
		c.mu.Unlock()
		w.change(n, &change{kind: revoked, client: c}, func(ctx context.Context) (broker.Outcome, error) {
			out, err := n.RevokeTokens(ctx, broker.RevokeTokens{TokenID: id})
			return out.Outcome, err
		})
		c.mu.Lock()
		defer c.mu.Unlock()
		c.token, c.tokenID = w.newToken(c.user)
	})
}

// clientJoins has a client join a room by itself.
func (w *world) clientJoins() { w.clientChanges(joined, "join") }

func (w *world) clientLeaves() { w.clientChanges(left, "leave") }

func (w *world) clientChanges(kind changeKind, event string) {
	c := w.someClient()
	if c == nil {
		return
	}
	ns, room := pick(w.rnd, w.plan.namespaces), w.plan.room(w.rnd.IntN(w.plan.rooms))
	go c.task(func() {
		s := c.socket(ns)
		if s == nil || !s.connected {
			return
		}
		w.h.logf("%s: %ss %s of %s", c, event, room, ns)
		change := &change{kind: kind, namespace: ns, target: broker.Target{Namespace: ns, Sockets: []string{s.sid}}, rooms: []string{room}, node: c.engine.node.number}
		w.h.addChange(change)
		c.emit(s, event, `"`+room+`"`, func(ok bool) { w.h.endChange(change, ok) })
	})
}

func describe(t broker.Target) string {
	switch {
	case t.Everyone:
		return "everyone in " + t.Namespace
	case len(t.Users) > 0:
		return "user " + t.Users[0] + " in " + t.Namespace
	case len(t.Sockets) > 0:
		return "socket " + t.Sockets[0] + " in " + t.Namespace
	}
	return "room " + strings.Join(t.Rooms, ",") + " in " + t.Namespace
}

// linksOf returns the connections of a client.
func (w *world) linksOf(c *client) []*link {
	w.mu.Lock()
	defer w.mu.Unlock()
	var links []*link
	for _, l := range w.links {
		if l.client == c {
			links = append(links, l)
		}
	}
	return links[max(0, len(links)-3):] // older ones have ended
}

// notice draws when a side notices a cut.
func (w *world) notice() time.Duration {
	switch w.rnd.IntN(4) {
	case 0:
		return 0
	case 1:
		return w.ms(0, 50)
	default:
		return w.ms(0, 1500)
	}
}

// cutLink cuts a connection: both sides notice sooner or later.
func (w *world) cutLink() {
	c := w.someClient()
	if c == nil {
		return
	}
	links := w.linksOf(c)
	if len(links) == 0 {
		return
	}
	l := links[len(links)-1-w.rnd.IntN(min(2, len(links)))]
	x := cut{up: true, down: true, keepUp: w.rnd.Float64(), keepDown: w.rnd.Float64(), client: w.notice(), server: w.notice(), err: errReset}
	if w.chance(40) {
		x.err = io.EOF
	}
	w.h.logf("%s: cut, client notices after %s, server after %s: %v", c, x.client, x.server, x.err)
	x.apply(l.conn)
}

// halfOpen cuts one direction, or both, and at most one side notices.
func (w *world) halfOpen() {
	c := w.someClient()
	if c == nil {
		return
	}
	links := w.linksOf(c)
	if len(links) == 0 {
		return
	}
	x := cut{keepUp: w.rnd.Float64(), keepDown: w.rnd.Float64(), client: never, server: never, err: errReset}
	switch w.rnd.IntN(4) {
	case 0:
		x.up = true
	case 1:
		x.down = true
	case 2:
		x.up, x.down, x.client = true, true, w.notice()
	case 3:
		x.up, x.down, x.server = true, true, w.notice()
	}
	w.h.logf("%s: half-open, up %t, down %t, client notices after %s, server after %s", c, x.up, x.down, x.client, x.server)
	x.apply(links[len(links)-1].conn)
}

// goOffline takes a client's network away for a while.
func (w *world) goOffline() {
	c := w.someClient()
	if c == nil {
		return
	}
	w.disappear(c, w.ms(10, 4000))
}

// longAbsence takes a client's network away for about the recovery window.
func (w *world) longAbsence() {
	c := w.someClient()
	if c == nil {
		return
	}
	w.disappear(c, w.plan.window/2+time.Duration(w.rnd.Int64N(int64(w.plan.window+w.plan.pingInterval+w.plan.pingTimeout))))
}

func (w *world) disappear(c *client, d time.Duration) {
	notices := w.chance(50)
	w.h.logf("%s: offline for %s, notices: %t", c, d, notices)
	w.mu.Lock()
	w.offline[c] = true
	w.mu.Unlock()
	up, down := w.rnd.Float64(), w.rnd.Float64()
	for _, l := range w.linksOf(c) {
		cut{up: true, down: true, keepUp: up, keepDown: down, client: never, server: never}.apply(l.conn)
	}
	if notices {
		go c.task(c.abandon)
	}
	w.later(d, func() {
		w.mu.Lock()
		delete(w.offline, c)
		w.mu.Unlock()
	})
}

// reconnectEarly has a client give up a connection that the server takes for alive.
// What the client has sent before may still arrive.
func (w *world) reconnectEarly() {
	c := w.someClient()
	if c == nil {
		return
	}
	w.h.logf("%s: gives its connection up, which the server doesn't notice", c)
	for _, l := range w.linksOf(c) {
		cut{down: true, keepDown: w.rnd.Float64(), client: never, server: never}.apply(l.conn)
		if w.chance(50) {
			cut{up: true, keepUp: w.rnd.Float64(), client: never, server: never}.apply(l.conn)
		}
	}
	go c.task(c.abandon)
}

// requestLate has a client lose its connection, and then give up the next one, over which
// its request to return arrives late.
func (w *world) requestLate() {
	c := w.someClient()
	if c == nil {
		return
	}
	lag := w.ms(100, 4000)
	go c.task(func() {
		c.lag = lag
		c.abandon()
	})
}

// closeEngine has the application close the connection.
func (w *world) closeEngine() {
	c := w.someClient()
	if c == nil {
		return
	}
	w.h.logf("%s: closes its connection", c)
	go c.task(c.abandon)
}

// block keeps a client from reading for a while.
func (w *world) block() {
	c := w.someClient()
	if c == nil {
		return
	}
	d := w.ms(50, 6000)
	w.h.logf("%s: blocked for %s", c, d)
	c.setBlocked(true)
	w.later(d, func() { c.setBlocked(false) })
}

func (w *world) addClient() {
	if len(w.clients) < maxClients {
		c := w.newClient(fmt.Sprintf("u%d", 1+w.rnd.IntN(w.plan.users)))
		go c.start()
	}
}

// quit has a client leave for good.
func (w *world) quit() {
	c := w.someClient()
	if c == nil {
		return
	}
	go c.task(func() {
		w.h.logf("%s: leaves", c)
		c.leave()
	})
}

// someNode draws a node that serves; nil if there is none.
func (w *world) someNode() *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	open := w.openNodes()
	if len(open) == 0 {
		return nil
	}
	return pick(w.rnd, open)
}

// duplicate opens a second tab that has a copy of the first one's session.
func (w *world) duplicate() {
	if c := w.someClient(); c != nil && !c.forges && len(w.clients) < maxClients {
		w.copySession(c, c.user)
	}
}

// steal has another user show a client's pid.
func (w *world) steal() {
	c := w.someClient()
	user := fmt.Sprintf("u%d", 1+w.rnd.IntN(w.plan.users))
	if c != nil && !c.forges && user != c.user && len(w.clients) < maxClients {
		w.copySession(c, user)
	}
}

// copySession starts a client that shows what another one would show on its return.
// If it is disconnected, because the other one returns, it stays so.
func (w *world) copySession(c *client, user string) {
	other := w.newClient(user)
	other.asks, other.takesPart, other.returns = c.asks, c.takesPart, false
	other.sockets = nil
	c.mu.Lock()
	other.copied = c
	for _, s := range c.sockets {
		other.sockets = append(other.sockets, &socket{namespace: s.namespace, pid: s.pid, offset: s.offset, hasOffset: s.hasOffset})
	}
	c.mu.Unlock()
	w.h.logf("%s: has a copy of the session of %s", other, c)
	go other.start()
}

// forge starts a client that shows what no broker has given it, and leaves after a
// while.
func (w *world) forge() {
	if len(w.clients) >= maxClients {
		return
	}
	c := w.newClient(fmt.Sprintf("u%d", 1+w.rnd.IntN(w.plan.users)))
	sid := w.someSocket("/")
	pids := []string{"", "~", "x", sid, sid + "~", sid + "~AAAAAAAAAAAAAAAAAAAAAA", "ABCDEFGHIJ0123456789ABCDEF~AAAAAAAAAAAAAAAAAAAAAA", strings.Repeat("~", 10_000)}
	offsets := []string{"", ".", "x", "ABCDEFGH.zzzzzzzzz", "ABCDEFGH.1", sid[:min(8, len(sid))] + ".zzzzzzz", strings.Repeat("1", 1<<20)}
	pid, offset := pick(w.rnd, pids), pick(w.rnd, offsets)
	c.asks, c.takesPart, c.returns, c.forges = true, w.plan.recovers, false, true
	for _, s := range c.sockets {
		s.pid, s.offset, s.hasOffset = pid, offset, true
	}
	w.h.logf("%s: forges the pid %.60q and the offset %.60q", c, pid, offset)
	go c.start()
	w.later(w.ms(500, 5000), func() { c.task(c.leave) })
}

// jumpClock sets a node's clock.
func (w *world) jumpClock() {
	n := w.someNode()
	if n == nil {
		return
	}
	ahead := w.ms(0, 20_000) - 10*time.Second
	w.h.logf("node %d: its clock is %s ahead", n.number, ahead)
	n.ahead.Store(int64(ahead))
}

// oneToReplace draws a node that is to end; nil if one is being replaced already.
func (w *world) oneToReplace() *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	open := slices.DeleteFunc(w.openNodes(), func(n *node) bool { return n.ending })
	if len(open) < w.plan.nodes || len(w.nodes) > 8 {
		return nil
	}
	n := pick(w.rnd, open)
	n.ending = true
	return n
}

// drainNode replaces a node gracefully: another one starts, and then this one drains.
func (w *world) drainNode() {
	n := w.oneToReplace()
	if n == nil {
		return
	}
	next := w.startNode()
	w.others.Go(func() {
		next.awaitReady(min(w.plan.nodes, 2))
		n.drain()
	})
}

// killNode kills a node; another one starts a little later.
func (w *world) killNode() {
	n := w.oneToReplace()
	if n == nil {
		return
	}
	w.mu.Lock()
	n.open = false
	w.mu.Unlock()
	after := w.ms(0, 3000)
	w.others.Go(func() {
		n.kill()
		pause(after)
		w.startNode().awaitReady(min(w.plan.nodes, 2))
	})
}

// busDown disconnects all nodes from each other for a while.
func (w *world) busDown() {
	d := w.ms(10, 8000)
	w.h.logf("the bus is down for %s", d)
	f := w.h.beginFault(busTrouble, -1)
	w.exchange.SetDown(true)
	w.later(d, func() {
		w.exchange.SetDown(false)
		w.h.endFault(f)
	})
}

// busFault breaks the bus of one node for a while.
func (w *world) busFault() {
	n := w.someNode()
	if n == nil {
		return
	}
	kinds := []clustertest.Fault{clustertest.Severed, clustertest.Unsubscribed, clustertest.Deaf, clustertest.Mute, clustertest.Stalled, clustertest.ReadOnly}
	kind, d := pick(w.rnd, kinds), w.ms(10, 8000)
	w.h.logf("node %d: fault %d of its bus for %s", n.number, kind, d)
	f := w.h.beginFault(busTrouble, n.number)
	w.exchange.SetFault(n.wire, kind)
	w.later(d, func() {
		if !w.isDead(n) {
			w.exchange.SetFault(n.wire, clustertest.Healthy)
		}
		w.h.endFault(f)
	})
}

// messageID returns the id of the message that an event carries; 0 if it is one of the
// broker's own.
func messageID(array string) int {
	_, rest, _ := strings.Cut(array, `"m":`)
	digits, _, _ := strings.Cut(rest, "}")
	id, _ := strconv.Atoi(digits) // zero if there is none
	return id
}
