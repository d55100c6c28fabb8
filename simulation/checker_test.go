package simulation

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/salabroker/sala/broker"
)

// session is what the broker promises something about: a socket of a client, over all
// connections that the client was told have recovered it.
type session struct {
	client    *client
	namespace string
	sid, pid  string
	requested stamp   // when the client sent the CONNECT that began it
	began     stamp   // when it learned of its id
	ended     stamp   // when the client had another session, or left; zero at the end of the run
	sent      entry   // that CONNECT
	nodes     []int   // which it was connected to
	asked     []entry // CONNECT of its client's returns; each may have had it back without the client's knowledge
	visits    []visit
	events    []entry
	displaced []entry // it was disconnected without a word, as those are who have given their session to another client
	whole     bool    // it is connected at the end, so it has to have everything
	contested bool    // several clients have had it, one after the other
	taken     bool    // from another client, by this one
}

// checker compares what clients have with what they must have. It takes its knowledge
// from the logs of clients and publishers alone.
type checker struct {
	plan     *plan
	messages []*message
	changes  []*change
	faults   []*fault
	sessions []*session
	found    []string
}

// lateDelivery is longer than a message takes that nobody waits for, from the end of
// its call until it has reached the other nodes.
const lateDelivery = 2 * time.Second

// check returns what is wrong with a history, once the run is over.
func check(h *history, p *plan) []string {
	k := &checker{plan: p, messages: h.messages, changes: h.changes, faults: h.faults}
	for _, c := range k.changes {
		// Nodes that take each other for lost don't wait for each other.
		c.sure = c.sure && !k.busFailed(c.begin, c.end)
	}
	for _, c := range h.clients {
		k.sessions = append(k.sessions, k.sessionsOf(c)...)
	}
	k.findContested(h.clients)
	k.checkOffsets()
	for i, s := range k.sessions {
		k.checkNotRecovered(s, k.earlier(i))
		k.checkReturns(s)
		k.checkEvents(s)
		k.checkComplete(s)
	}
	for _, m := range k.messages {
		k.checkReport(m)
	}
	k.checkHappenings(h.happenings)
	k.checkList(h)
	return k.found
}

// findContested finds the sessions that several clients have had, or have asked for.
func (k *checker) findContested(clients []*client) {
	owners := make(map[string]*session)
	for _, s := range k.sessions {
		first, ok := owners[s.pid]
		switch {
		case s.pid == "":
		case !ok:
			owners[s.pid] = s
		case s.client.user != first.client.user:
			k.failf("%s has the session of %s, who is another user", s, first.client)
		default:
			s.contested, first.contested = true, true
		}
	}
	for _, c := range clients {
		for _, e := range c.log {
			s, ok := owners[e.pid]
			if ok && e.kind == entrySent && c != s.client && c.user == s.client.user {
				s.contested = true
			}
		}
	}
}

// earlier returns the session that a client had before one in the same namespace; nil
// if it had none.
func (k *checker) earlier(i int) *session {
	s := k.sessions[i]
	for i--; i >= 0 && k.sessions[i].client == s.client; i-- {
		if k.sessions[i].namespace == s.namespace {
			return k.sessions[i]
		}
	}
	return nil
}

func (k *checker) failf(format string, args ...any) {
	k.found = append(k.found, fmt.Sprintf(format, args...))
}

func (s *session) String() string {
	return fmt.Sprintf("%s, session %s in %s", s.client, s.sid, s.namespace)
}

// sessionsOf reads a client's log.
func (k *checker) sessionsOf(c *client) (all []*session) {
	current := make(map[string]*session)
	sent := make(map[string]entry)
	for _, e := range c.log {
		s := current[e.namespace]
		if e.trouble != "" {
			k.failf("%s: %s", c, e.trouble)
		}
		switch e.kind {
		case entrySent:
			sent[e.namespace] = e
			if s != nil && s.pid != "" && e.pid == s.pid {
				s.asked = append(s.asked, e)
			}
		case entryConnected:
			resumed := s != nil && s.pid != "" && s.pid == e.pid
			k.checkAnswer(c, s, e, resumed)
			if !resumed {
				if s != nil && s.ended.seq == 0 {
					s.ended = e.stamp
				}
				s = &session{client: c, namespace: e.namespace, sid: e.sid, pid: e.pid, requested: sent[e.namespace].stamp, began: e.stamp, sent: sent[e.namespace]}
				s.taken = s.pid != "" && s.sent.pid == s.pid
				if s.taken && (c.copied == nil || c.forges) {
					k.failf("%s got the session %s, which it never had", c, s.sid)
				}
				current[e.namespace] = s
				all = append(all, s)
			}
			s.nodes = append(s.nodes, e.node)
			v := visit{conn: e.conn, node: e.node, began: e.stamp, heard: e.at}
			if e.late {
				v.heard = sent[e.namespace].at
			}
			v.sent, v.answer = sent[e.namespace], e
			s.visits = append(s.visits, v)
		case entryEvent:
			if s != nil {
				e.message = k.message(e)
				s.events = append(s.events, e)
			}
		case entryDisconnect:
			if s != nil && !s.toldDisconnect() {
				s.displaced = append(s.displaced, e)
			}
		case entryRefused:
			k.checkRefusal(c, e)
		case entryLeave:
			if s != nil {
				s.ended = e.stamp
			}
		}
		for _, s := range current {
			s.note(e)
		}
	}
	for _, s := range all {
		s.whole = s.ended.seq == 0 && c.final[s.namespace] == s.sid
	}
	return all
}

// toldDisconnect reports whether the last event of a session announces its end.
func (s *session) toldDisconnect() bool {
	return len(s.events) > 0 && strings.HasPrefix(s.events[len(s.events)-1].event.text, `["sala:disconnect",`)
}

// offsetForm is the form of an offset.
var offsetForm = regexp.MustCompile(`^[0-9A-Za-z]{8}\.[0-9a-z]+$`)

// checkOffsets checks that an offset identifies a message.
func (k *checker) checkOffsets() {
	byMessage, byOffset := make(map[int]string), make(map[string]int)
	for _, s := range k.sessions {
		if s.pid == "" {
			continue
		}
		for _, e := range s.events {
			m := e.message
			if m == nil || m.wantsAck || e.offset == "" || strings.HasPrefix(e.offset, "text") {
				continue // checkEvents finds one that is missing
			}
			if !offsetForm.MatchString(e.offset) {
				k.failf("%s: message %d has the offset %q", s, m.id, e.offset)
			}
			if other, ok := byMessage[m.id]; ok && other != e.offset {
				k.failf("%s: message %d has the offset %s, elsewhere it has %s", s, m.id, e.offset, other)
			}
			if other, ok := byOffset[e.offset]; ok && other != m.id {
				k.failf("%s: the messages %d and %d have the same offset", s, other, m.id)
			}
			byMessage[m.id], byOffset[e.offset] = e.offset, m.id
		}
	}
}

// message returns the message that an event carries; nil for the broker's own events.
func (k *checker) message(e entry) *message {
	id := messageID(e.event.text)
	if id < 1 || id > len(k.messages) {
		return nil
	}
	return k.messages[id-1]
}

// checkEvents checks that a session got nothing that isn't its own, each message as it
// was sent, nothing twice and everything in order.
func (k *checker) checkEvents(s *session) {
	seen := make(map[int]bool)
	last := make(map[string]*message)
	for _, e := range s.events {
		m := e.message
		if m == nil {
			k.checkOwn(s, e)
			continue
		}
		k.checkText(s, e, m)
		if s.contested { // each of its clients gets what the broker takes the other one to lack
			continue
		}
		if seen[m.id] {
			k.failf("%s got message %d twice", s, m.id)
			continue
		}
		seen[m.id] = true
		if before := last[m.publisher]; before != nil && before.id > m.id && !k.mayDetour(m) {
			k.failf("%s got message %d of %s after message %d", s, m.id, m.publisher, before.id)
		}
		if !k.mayDetour(m) {
			last[m.publisher] = m
		}
		if why := k.foreign(s, m); why != "" {
			k.failf("%s got message %d (%s to %s), but %s", s, m.id, m.publisher, describe(m.target), why)
		}
	}
}

// mayDetour reports whether later messages may overtake m: it looks for a socket that
// may have moved, and nobody waits for it.
func (k *checker) mayDetour(m *message) bool {
	return k.plan.nodes > 1 && m.unreported && len(m.target.Sockets) > 0
}

// checkOwn checks an event of the broker itself.
func (k *checker) checkOwn(s *session, e entry) {
	switch {
	case strings.HasPrefix(e.event.text, `["sala:`):
		if e.offset != "" {
			k.failf("%s: an event of the broker has the offset %q: %s", s, e.offset, e.event.text)
		}
	case strings.HasPrefix(e.event.text, `["notice",`):
		if s.pid != "" && !offsetForm.MatchString(e.offset) {
			k.failf("%s: a notice has no offset: %s", s, e.event.text)
		}
	default:
		k.failf("%s got an event that nobody has sent: %.200s", s, e.event.text)
	}
}

// checkText checks that a message came as it was sent: byte for byte, with an offset at
// the end if the client takes part and the message requests no ack.
func (k *checker) checkText(s *session, e entry, m *message) {
	want := `["` + m.event + `",` + m.args
	if s.pid != "" && !m.wantsAck {
		want += `,"` + e.offset + `"`
	}
	want += "]"
	if e.event.text != want {
		k.failf("%s got message %d as %.300s, want %.300s", s, m.id, e.event.text, want)
	}
	if m.wantsAck != (e.event.ack != "") {
		k.failf("%s: message %d has the ack id %q", s, m.id, e.event.ack)
	}
	if !slices.EqualFunc(e.event.attached, m.attached, func(a, b []byte) bool { return string(a) == string(b) }) {
		k.failf("%s: message %d has other attachments than those that were sent", s, m.id)
	}
}

// mayPrecede reports whether something that began at b may have happened before m was
// delivered everywhere.
func (k *checker) mayPrecede(m *message, b stamp) bool {
	if m.end.seq == 0 || !m.sure {
		return true // it may still be on its way
	}
	late := k.lateness(m)
	return b.seq < m.end.seq || late > 0 && b.at <= m.end.at+late
}

// lateness returns how long it may take from the end of a message's call until the
// message has reached every node.
func (k *checker) lateness(m *message) time.Duration {
	switch {
	case k.troubled(m): // then nodes don't know whom to wait for
		return lateDelivery + busRecovery
	case m.unreported:
		return lateDelivery
	}
	return 0
}

// membership is what is known about a session's place in a room during a message.
type membership uint8

const (
	unknown membership = iota
	member
	stranger
)

// selects reports whether a message's target names the session, whatever its rooms.
func selects(t *broker.Target, s *session) bool {
	return t.Everyone || slices.Contains(t.Users, s.client.user) || slices.Contains(t.Sockets, s.sid)
}

// membership returns whether the session was the message's, from when its call began
// until it was delivered.
func (k *checker) membership(s *session, m *message) membership {
	switch {
	case m.namespace != s.namespace || slices.Contains(m.target.ExceptSockets, s.sid) || !k.reaches(m.node, s):
		return stranger
	case selects(&m.target, s):
		return member
	case len(m.target.Rooms) == 0:
		return stranger
	}
	return k.inRoom(s, m.target.Rooms[0], m)
}

// inRoom applies the changes to the session's rooms. The latest change that was certainly
// over when the message's call began decides, unless one that may have come later had the
// opposite effect. A change that nobody has confirmed may happen at any
// time after it began.
func (k *checker) inRoom(s *session, room string, m *message) membership {
	var changes []*change
	for _, c := range k.changes {
		concerns := k.concerns(c, s) && (c.kind == joined || c.kind == left) && slices.Contains(c.rooms, room)
		past := s.ended.before(c.begin) || c.end.beforeSure(c.sure, s.requested)
		if concerns && !past && k.mayPrecede(m, c.begin) {
			changes = append(changes, c)
		}
	}
	if s.taken {
		return unknown // it has been somebody else's
	}
	latest := &change{kind: left, begin: s.requested, end: s.began, sure: true}
	if room == k.plan.room(0) { // which the token names
		latest.kind = joined
	}
	changes = append(changes, latest)
	for _, c := range changes {
		if c.end.beforeSure(c.sure, m.begin) && latest.begin.before(c.begin) {
			latest = c
		}
	}
	for _, c := range changes {
		if c.kind != latest.kind && !c.end.beforeSure(c.sure, latest.begin) {
			return unknown
		}
	}
	return is(latest.kind)
}

// concerns reports whether a change is one of the session.
func (k *checker) concerns(c *change, s *session) bool {
	if c.client != nil {
		return c.client == s.client && k.reaches(c.node, s)
	}
	return c.namespace == s.namespace && selects(&c.target, s) && k.reaches(c.node, s)
}

// reaches reports whether what is called at a node reaches the session at all. Nodes
// without a cluster know nothing of each other.
func (k *checker) reaches(node int, s *session) bool {
	return k.plan.nodes > 1 || slices.Contains(s.nodes, node)
}

func is(kind changeKind) membership {
	if kind == joined {
		return member
	}
	return stranger
}

// foreign returns why a session can't have got a message; empty if it can.
func (k *checker) foreign(s *session, m *message) string {
	switch {
	case k.membership(s, m) == stranger:
		return "it wasn't its target"
	case m.end.seq != 0 && m.sure && !k.mayPrecede(m, s.requested) && !s.taken:
		return "that was over before the client connected"
	}
	return ""
}

// required reports whether a session must have a message, as long as it goes on.
func (k *checker) required(s *session, m *message) bool {
	if s.contested || m.volatile || m.wantsAck || !m.sure || !s.began.before(m.begin) || k.membership(s, m) != member {
		return false
	}
	if s.ended.seq != 0 && k.mayPrecede(m, s.ended) {
		return false
	}
	for _, c := range k.changes {
		if c.ends() && k.concerns(c, s) && !c.end.beforeSure(c.sure, s.requested) && k.mayPrecede(m, c.begin) {
			return false
		}
	}
	if k.mayDetour(m) && k.killedAround(m) {
		return false // it may have been sent to the node that was killed
	}
	return k.stayedAt(s, m.node) || !k.troubled(m)
}

// killedAround reports whether a node was killed that others may have taken for alive
// when m was emitted.
func (k *checker) killedAround(m *message) bool {
	return slices.ContainsFunc(k.faults, func(f *fault) bool {
		return f.kind == nodeKilled && f.begin.at <= m.end.at+lateDelivery && m.begin.at <= f.begin.at+busRecovery
	})
}

// stayedAt reports whether a session has never been at another node.
func (k *checker) stayedAt(s *session, node int) bool {
	elsewhere := func(n int) bool { return n != node }
	askedElsewhere := func(e entry) bool { return e.node != node }
	drained := func(f *fault) bool { return f.kind == nodeDrained && f.node == node }
	return !slices.ContainsFunc(s.nodes, elsewhere) && !slices.ContainsFunc(s.asked, askedElsewhere) && !slices.ContainsFunc(k.faults, drained)
}

// beforeSure is before for the end of a change, which means nothing unless it is sure.
func (s stamp) beforeSure(sure bool, other stamp) bool { return sure && s.before(other) }

// busRecovery is longer than nodes need to find each other once a bus works again.
const busRecovery = 12 * time.Second

// troubled reports whether the bus didn't work while a message was on its way to other
// nodes, so that they may miss it without anybody being told.
func (k *checker) troubled(m *message) bool { return k.busFailed(m.begin, m.end) }

// busFailed reports whether the bus didn't work during a call, or shortly before or
// after it.
func (k *checker) busFailed(begin, end stamp) bool {
	return slices.ContainsFunc(k.faults, func(f *fault) bool {
		return f.kind == busTrouble && f.begin.at <= end.at+lateDelivery && (f.end.seq == 0 || begin.at <= f.end.at+busRecovery)
	})
}

// checkComplete checks that nothing is missing: between what a session has got, and up
// to the end of the run if it is connected then.
func (k *checker) checkComplete(s *session) {
	last := make(map[string]int) // the id of the last message of each publisher
	got := make(map[int]bool)
	for _, e := range s.events {
		if m := e.message; m != nil {
			got[m.id] = true
			last[m.publisher] = max(last[m.publisher], m.id)
		}
	}
	for _, m := range k.messages {
		late := m.id > last[m.publisher] || k.mayDetour(m)
		if got[m.id] || !s.whole && late || !k.required(s, m) {
			continue
		}
		k.failf("%s misses message %d (%s to %s, emitted from %s to %s)", s, m.id, m.publisher, describe(m.target), m.begin.at, m.end.at)
	}
}

// checkReport checks the counts of a report.
func (k *checker) checkReport(m *message) {
	if m.end.seq == 0 || m.err != nil {
		return
	}
	if m.wantsAck {
		if a := &m.acks; a.Expected != a.Answered+a.TimedOut+a.Disconnected+a.Dropped {
			k.failf("message %d: the acks don't add up: %+v", m.id, *a)
		}
		return
	}
	r := &m.report
	if r.Matched != queued(r)+r.Dropped {
		k.failf("message %d: the report doesn't add up: %+v", m.id, *r)
	}
	if !m.sure || m.unreported || m.event != "e" {
		return
	}
	members := 0
	for _, s := range k.sessions {
		// A session that moves to another node at that moment isn't counted anywhere.
		if (s.whole || k.livedOn(s, m)) && k.stayedAt(s, s.nodes[0]) && k.required(s, m) {
			members++
		}
	}
	if r.Matched < members {
		k.failf("message %d (%s to %s) matched %d sockets, but %d clients were its target", m.id, m.publisher, describe(m.target), r.Matched, members)
	}
}

// checkList checks what a node lists at the end: every session that is connected, once,
// in the rooms in which it has to be.
func (k *checker) checkList(h *history) {
	byID := make(map[string]*broker.SocketInfo)
	for i := range h.listed {
		info := &h.listed[i]
		if byID[info.ID] != nil {
			k.failf("socket %s is listed twice", info.ID)
		}
		byID[info.ID] = info
	}
	now := &message{begin: h.listedAt, end: h.listedAt, sure: true}
	for _, s := range k.sessions {
		if !s.whole || s.contested || h.listedAt.seq == 0 || !s.began.before(h.listing) || !k.reaches(h.listedBy, s) {
			continue
		}
		info := byID[s.sid]
		if info == nil || info.Away {
			k.failf("%s is connected, but listed as %+v", s, info)
			continue
		}
		for i := range k.plan.rooms {
			room := k.plan.room(i)
			is, listed := k.inRoom(s, room, now), slices.Contains(info.Rooms, room)
			if is == member && !listed || is == stranger && listed {
				k.failf("%s is listed in the rooms %v; in %s: %t", s, info.Rooms, room, is == member)
			}
		}
	}
}

// livedOn reports whether a session has got a message that was emitted after m.
func (k *checker) livedOn(s *session, m *message) bool {
	return slices.ContainsFunc(s.events, func(e entry) bool {
		return e.message != nil && m.end.before(e.message.begin)
	})
}

// queued returns for how many sockets a message was queued, or kept for a return.
func queued(r *broker.Report) int { return r.Queued + r.Kept }
