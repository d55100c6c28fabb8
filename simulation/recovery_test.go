package simulation

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/token"
)

// The codes with which the broker says why a session wasn't recovered.
const (
	codeExpired     = "EXPIRED"
	codeEvicted     = "EVICTED"
	codeNodeLost    = "NODE_LOST"
	codeUserChanged = "USER_CHANGED"
	codeUnknown     = "UNKNOWN"
)

const (
	// slack is for what takes a moment within a node.
	slack = 300 * time.Millisecond
	// writeTimeout is how long a connection may take nothing before it counts as lost.
	writeTimeout = 10 * time.Second
	// strangerWindow is the window of a client that hasn't answered a ping yet.
	strangerWindow = 10 * time.Second
)

// visit is one connection of a session: from CONNECT until the connection ends.
type visit struct {
	conn, node   int
	began        stamp
	sent, answer entry         // CONNECT
	heard        time.Duration // when something came over it last
	pongs        []stamp
}

// last returns the session's latest visit.
func (s *session) last() *visit { return &s.visits[len(s.visits)-1] }

// note keeps in mind what a client's log says about its connection.
func (s *session) note(e entry) {
	v := s.last()
	if e.conn != v.conn || e.late {
		return
	}
	switch e.kind {
	case entryEvent, entryConnected:
		v.heard = e.at
	case entryPong:
		v.heard = e.at
		v.pongs = append(v.pongs, e.stamp)
	}
}

// proven reports whether the broker certainly has got an answer to a ping in this
// session: the broker has pinged again after a whole interval.
func (k *checker) proven(s *session) bool {
	if len(s.visits) > 1 {
		return true
	}
	pongs := s.last().pongs
	return len(pongs) > 1 && pongs[len(pongs)-1].at-pongs[0].at > k.plan.pingInterval+2*k.plan.latency
}

// window returns how long the broker certainly waits for the session's client.
func (k *checker) window(s *session) time.Duration {
	if k.proven(s) {
		return k.plan.window
	}
	return min(k.plan.window, strangerWindow)
}

// checkAnswer checks the answer to a CONNECT. s is the client's session before; nil if
// it had none.
func (k *checker) checkAnswer(c *client, s *session, answer entry, resumed bool) {
	switch {
	case answer.pid != "" && !c.takesPart:
		k.failf("%s got a pid without asking for recovery", c)
	case answer.pid == "" && c.takesPart && !k.ending(answer):
		k.failf("%s got no pid at %s", c, answer.at)
	case resumed && answer.sid != s.sid:
		k.failf("%s: the socket's id changed over a return from %s to %s", c, s.sid, answer.sid)
	case answer.pid != "" && !strings.HasPrefix(answer.pid, answer.sid+"~"):
		k.failf("%s: the pid doesn't begin with the socket's id", c)
	}
}

// checkReturns checks that a session was only recovered while it existed.
func (k *checker) checkReturns(s *session) {
	if s.contested {
		return
	}
	for _, e := range s.displaced {
		k.failf("%s was disconnected at %s, although no other client has its session", s, e.at)
	}
	for i := range s.visits[1:] {
		v := &s.visits[i+1]
		if why := k.beyond(s, &s.visits[i], v); why != "" {
			k.failf("%s was recovered at %s, although %s", s, v.answer.at, why)
		}
	}
}

// ending reports whether the node of an entry drains, or has been killed, by then.
func (k *checker) ending(e entry) bool {
	return slices.ContainsFunc(k.faults, func(f *fault) bool {
		return f.kind != busTrouble && f.node == e.node && f.begin.at <= e.at
	})
}

// beyond returns why a session can't be recovered at its next visit; empty if it may be.
func (k *checker) beyond(s *session, last, next *visit) string {
	alive := last.heard
	for _, e := range s.asked { // it may have been recovered, and the answer lost
		if e.before(next.sent.stamp) && e.conn != next.conn {
			alive = max(alive, e.at)
		}
	}
	noticed := alive + 2*k.plan.latency + k.plan.pingInterval + k.plan.pingTimeout + writeTimeout + slack
	if next.answer.at > noticed+k.plan.window+slack && next.conn != last.conn {
		return "its window was over"
	}
	for _, c := range k.changes {
		if c.ends() && k.concerns(c, s) && c.end.beforeSure(c.sure, next.sent.stamp) && s.began.before(c.begin) {
			return "it was ended"
		}
	}
	return ""
}

// checkNotRecovered checks that a new session began because an earlier one was beyond
// recovery, and that the client was told why.
func (k *checker) checkNotRecovered(s, earlier *session) {
	if s.pid == "" || s.taken || s.client.forges {
		return // a node that drains gives no sessions
	}
	if s.sent.pid == "" {
		if slices.ContainsFunc(s.events, isSessionEvent) {
			k.failf("%s was told that it wasn't recovered, but hadn't asked", s)
		}
		return
	}
	if len(s.events) == 0 || !isSessionEvent(s.events[0]) {
		// The event about it isn't sent again if the connection breaks too early.
		if len(s.visits) == 1 && (len(s.events) > 0 || s.whole) {
			k.failf("%s wasn't told first that it wasn't recovered", s)
		}
		return
	}
	code := codeOf(s.events[0])
	if owner := k.ownerOf(s.sent.pid); owner != nil && owner.client.user != s.client.user {
		if code != codeUserChanged && code != codeUnknown && code != codeNodeLost {
			k.failf("%s has shown the pid of another user: %s", s, code)
		}
	}
	if code == codeNodeLost && k.plan.nodes > 1 && len(k.faults) == 0 && !s.client.forges {
		k.failf("%s at %s: it lost its session with a node, but no node was lost", s, s.began.at)
	}
	if earlier == nil || earlier.pid != s.sent.pid || earlier.contested {
		return
	}
	if reasons := k.reasons(earlier, s); !slices.Contains(reasons, code) {
		k.failf("%s at %s: the session %s wasn't recovered: %s; possible reasons: %v", s, s.began.at, earlier.sid, code, reasons)
	}
}

// ownerOf returns the session that has a pid; nil if there is none.
func (k *checker) ownerOf(pid string) *session {
	for _, s := range k.sessions {
		if s.pid == pid {
			return s
		}
	}
	return nil
}

func isSessionEvent(e entry) bool { return strings.HasPrefix(e.event.text, `["sala:session",`) }

// codeOf returns the code of a sala:session event.
func codeOf(e entry) string {
	var parts []json.RawMessage
	var arg struct {
		Recovered bool
		Code      string
	}
	if json.Unmarshal([]byte(e.event.text), &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[1], &arg) != nil || arg.Recovered {
		return "unreadable: " + e.event.text
	}
	return arg.Code
}

// reasons returns the codes that can be true of a session whose client came back and
// got the session now. None means that it should have been recovered.
func (k *checker) reasons(s, now *session) (codes []string) {
	add := func(possible bool, code ...string) {
		if possible {
			codes = append(codes, code...)
		}
	}
	for _, f := range k.faults {
		if !f.begin.before(now.began) || f.isOver(s.requested) {
			continue
		}
		switch {
		case f.kind == busTrouble, k.plan.nodes > 1 && f.kind == nodeKilled: // any node may have got the session
			add(true, codeNodeLost, codeUnknown)
		case k.plan.nodes == 1:
			add(slices.Contains(s.nodes, f.node), codeNodeLost, codeUnknown)
		}
	}
	add(k.plan.nodes == 1 && !slices.Contains(s.nodes, now.nodes[0]), codeUnknown, codeNodeLost)
	away := now.began.at - s.last().heard + 2*k.plan.latency + slack
	add(away >= k.window(s), codeExpired)
	for _, c := range k.changes {
		add(c.ends() && k.concerns(c, s) && c.begin.before(now.began) && !c.end.beforeSure(c.sure, s.requested), codeUnknown)
	}
	add(k.plan.userLimit || k.mayOverflow(s, now), codeEvicted)
	// A node that has ended can't say why the session has.
	add(k.plan.nodes > 1 && len(codes) > 0 && len(k.faults) > 0, codeUnknown, codeNodeLost)
	return codes
}

// isOver reports whether a fault can't concern what begins at t. After trouble with the bus,
// nodes may take each other for lost for a while. One that drains meanwhile has no node that
// takes its sessions over.
func (f *fault) isOver(t stamp) bool {
	if f.kind == busTrouble && f.end.at+busRecovery >= t.at {
		return false
	}
	return f.end.before(t)
}

// A session may be lost with its node while the bus fails, and until the nodes know each other
// again.
func TestReasonsAroundBusTrouble(t *testing.T) {
	at := func(d time.Duration) stamp { return stamp{seq: d.Milliseconds(), at: d} }
	trouble := &fault{kind: busTrouble, node: 2, begin: at(time.Minute), end: at(2 * time.Minute)}
	for name, c := range map[string]struct {
		from, to time.Duration // from the session's CONNECT until its client was told NODE_LOST
		want     bool
	}{
		"before it":            {50 * time.Second, 55 * time.Second, false},
		"while it begins":      {50 * time.Second, 70 * time.Second, true},
		"during it":            {70 * time.Second, 75 * time.Second, true},
		"right after it":       {2*time.Minute + time.Second, 2*time.Minute + 2*time.Second, true},
		"when it is long over": {3 * time.Minute, 3*time.Minute + time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := &checker{plan: &plan{nodes: 3, window: time.Minute, maxMessages: 10, maxBytes: 1000}, faults: []*fault{trouble}}
			s := &session{requested: at(c.from), visits: []visit{{heard: c.to}}}
			now := &session{began: at(c.to), nodes: []int{1}}
			if reasons := k.reasons(s, now); slices.Contains(reasons, codeNodeLost) != c.want {
				t.Errorf("possible reasons: %v; want NODE_LOST among them: %t", reasons, c.want)
			}
		})
	}
}

// checkRefusal checks that a client was refused for a reason.
func (k *checker) checkRefusal(c *client, e entry) {
	var body struct{ Data struct{ Code string } }
	_ = json.Unmarshal([]byte(e.event.text), &body) // no code is none of those below
	fine := c.forges || c.copied != nil
	switch body.Data.Code {
	case "TOO_MANY_CONNECTIONS":
		fine = fine || k.plan.userLimit
	case token.ReasonRevoked:
		fine = fine || slices.ContainsFunc(k.changes, func(x *change) bool {
			return x.client == c && x.begin.before(e.stamp)
		})
	case "DISCONNECTED":
		fine = fine || slices.ContainsFunc(k.changes, func(x *change) bool {
			return x.kind == kicked && x.namespace == e.namespace && x.begin.before(e.stamp)
		})
	}
	if !fine {
		k.failf("%s was refused at %s: %s", c, e.at, e.event.text)
	}
}

// ends reports whether the change ends sessions.
func (c *change) ends() bool { return c.kind == kicked || c.kind == revoked }

// mayOverflow reports whether a session may have been sent more than it holds, until the
// client had the session now.
func (k *checker) mayOverflow(s, now *session) bool {
	if k.plan.tightNode {
		return true
	}
	var since stamp // everything before was certainly confirmed
	for _, v := range s.visits {
		if n := len(v.pongs); n > 1 && v.pongs[n-1].at-v.pongs[0].at > k.plan.pingInterval+2*k.plan.latency {
			since = v.pongs[0]
			for _, p := range v.pongs[:n-1] {
				if v.pongs[n-1].at-p.at > k.plan.pingInterval+2*k.plan.latency {
					since = p
				}
			}
		}
	}
	count, bytes := 0, 0
	for _, m := range k.messages {
		if m.begin.before(now.began) && (m.end.seq == 0 || m.mayPrecedeBack(since, k.plan)) && k.membership(s, m) != stranger {
			count++
			bytes += m.size()
		}
	}
	if k.plan.announce { // notices
		count += len(k.changes) + len(k.sessions)
	}
	return count >= k.plan.maxMessages || bytes >= int(k.plan.maxBytes)
}

// mayPrecedeBack reports whether m may have been on its way when a ping was sent whose
// answer the client has sent at t.
func (m *message) mayPrecedeBack(t stamp, p *plan) bool {
	return m.end.at+lateDelivery >= t.at-2*p.latency-p.pingTimeout
}

// size is more than a message takes in a session.
func (m *message) size() int {
	n := len(m.args) + 300
	for _, a := range m.attached {
		n += len(a) + 50
	}
	return n
}
