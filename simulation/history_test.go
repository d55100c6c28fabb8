package simulation

import (
	"fmt"
	"sync"
	"time"

	"github.com/salabroker/sala/broker"
)

// stamp is a moment of a run. The sequence orders moments at the same time.
type stamp struct {
	seq int64
	at  time.Duration // since the start of the run
}

// before reports whether s certainly comes before other. The zero stamp, of what
// hasn't happened, comes before nothing and after everything.
func (s stamp) before(other stamp) bool { return s.seq != 0 && (other.seq == 0 || s.seq < other.seq) }

// history is what happened in a run: what publishers and operators asked for, and
// what clients saw. The checker knows nothing else.
type history struct {
	started time.Time

	mu         sync.Mutex
	seq        int64
	messages   []*message
	changes    []*change
	faults     []*fault
	clients    []*client
	happenings []happening
	lines      []line

	listed   []broker.SocketInfo // at the end, by a node
	listedBy int
	listing  stamp // when the list was asked for
	listedAt stamp // and had
}

// line is a line of the timeline.
type line struct {
	at   time.Duration
	text string
}

// message is an event that somebody has emitted.
type message struct {
	id        int
	publisher string // messages of one publisher keep their order
	node      int    // where it was emitted
	namespace string
	target    broker.Target
	event     string
	args      string // the elements of the JSON array, as they were sent
	attached  [][]byte
	volatile  bool
	wantsAck  bool
	// unreported is a call that doesn't wait for other nodes.
	unreported bool

	begin, end stamp // of the call; end is zero until it returns
	sure       bool  // the call has promised to have reached every node
	report     broker.Report
	acks       broker.AckSummary
	err        error
}

// changeKind is what changes about a session.
type changeKind uint8

const (
	joined changeKind = iota
	left
	kicked  // the session ends
	revoked // the same, and its token is refused from then on
)

func (k changeKind) String() string { return [...]string{"join", "leave", "kick", "revoke"}[k] }

// change is a call that changes the rooms of sessions, or ends them.
type change struct {
	kind       changeKind
	client     *client // whose token is revoked; then the next three say nothing
	namespace  string
	target     broker.Target // sockets, users or everyone; rooms only if it clears them
	rooms      []string
	node       int
	begin, end stamp
	sure       bool // every node has carried it out
}

// fault is a time in which messages between nodes may get lost silently, or a node
// that ended.
type fault struct {
	kind       faultKind
	node       int // -1: the bus, for all nodes
	begin, end stamp
}

type faultKind uint8

const (
	busTrouble faultKind = iota
	nodeKilled
	nodeDrained
)

// entryKind is what a client saw or did.
type entryKind uint8

const (
	entrySent      entryKind = iota // CONNECT
	entryConnected                  // the answer
	entryRefused                    // CONNECT_ERROR
	entryEvent
	entryDisconnect // DISCONNECT of the server
	entryLeave      // DISCONNECT of the client
	entryLost       // the connection has ended, as far as the client knows
	entryPong
)

// entry is a line in the log of a client.
type entry struct {
	stamp
	kind      entryKind
	namespace string
	conn      int // the number of the connection
	node      int // which it goes to
	sid, pid  string
	offset    string // of an event, or that CONNECT carries
	event     event
	message   *message // that the event carries; set by the checker
	late      bool     // it may have come long before, while the client was blocked
	trouble   string   // what is wrong with what came; empty for nothing
}

func newHistory() *history { return &history{started: time.Now()} }

func (h *history) now() stamp {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stamp()
}

// stamp is now for a caller that holds mu.
func (h *history) stamp() stamp {
	h.seq++
	return stamp{seq: h.seq, at: time.Since(h.started)}
}

func (h *history) logf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, line{time.Since(h.started), text})
}

// addMessage numbers a message that is about to be emitted. fill completes it.
func (h *history) addMessage(m *message, fill func(*message)) *message {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages = append(h.messages, m)
	m.id = len(h.messages)
	fill(m)
	m.begin = h.stamp()
	return m
}

func (h *history) endMessage(m *message, do func(*message)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do(m)
	m.end = h.stamp()
}

func (h *history) addChange(c *change) *change {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, c)
	c.begin = h.stamp()
	return c
}

func (h *history) endChange(c *change, sure bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.end, c.sure = h.stamp(), sure
}

func (h *history) beginFault(kind faultKind, node int) *fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := &fault{kind: kind, node: node, begin: h.stamp()}
	h.faults = append(h.faults, f)
	return f
}

func (h *history) endFault(f *fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.end = h.stamp()
}
