package broker

import (
	"context"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/socketio"
)

// maxAckBytes bounds the acks of one message that the caller hasn't taken yet.
const maxAckBytes = 64 << 20

// ackRequest is one message that requests acks. Each socket that hasn't answered
// yet holds the request, and whoever takes it off the socket tells the request
// what became of that socket. So each socket counts once.
type ackRequest struct {
	// Static.
	id      uint64
	sent    time.Time
	minAcks int
	latency *latencyMetrics
	traceID string            // of the request, for exemplars; empty for none
	wake    chan struct{}     // holds one value when there is something to look at
	owner   string            // whom the acks count against
	unread  *ratelimit.Shares // bytes of acks that callers haven't taken; nil without a limit

	// Guarded by mu, which comes after the sockets' locks.
	mu       sync.Mutex
	summary  AckSummary                   // of this node's sockets
	left     int                          // sockets of all nodes that haven't answered yet
	acks     []Ack                        // those that the caller hasn't taken
	bytes    int                          // of those, and of the one that it is taking
	over     bool                         // the caller has gone, and takes no more
	tooMuch  bool                         // the caller has let too many bytes pile up
	answered int                          // on all nodes
	nodes    map[cluster.NodeID]*nodeAcks // other nodes that ask their sockets; nil if there are none
}

func newAckRequest(id uint64, sockets, minAcks int, latency *latencyMetrics) *ackRequest {
	return &ackRequest{
		id:      id,
		sent:    time.Now(),
		minAcks: minAcks,
		latency: latency,
		wake:    make(chan struct{}, 1),
		left:    sockets,
		summary: AckSummary{Expected: sockets},
	}
}

// ackOutcome is what became of a socket that was asked: the field of the summary
// that counts it.
type ackOutcome func(*AckSummary) *int

func answered(s *AckSummary) *int     { return &s.Answered }
func disconnected(s *AckSummary) *int { return &s.Disconnected }
func dropped(s *AckSummary) *int      { return &s.Dropped }
func timedOut(s *AckSummary) *int     { return &s.TimedOut }

// settle counts a socket of this node that won't answer.
func (r *ackRequest) settle(why ackOutcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*why(&r.summary)++
	r.left--
	r.signal()
}

// receive takes the ack of a socket of this node.
func (r *ackRequest) receive(s *socket, p socketio.Payload) {
	r.mu.Lock()
	defer r.mu.Unlock()
	took := time.Since(r.sent)
	r.left--
	r.summary.Answered++
	r.answered++
	r.keep(Ack{Socket: s.id, User: s.user, Args: p.Args, Attachments: p.Attachments, Latency: took})
	r.latency.acked(took, r.traceID)
	r.signal()
}

// keep keeps an ack for the caller, if there is room. r.mu is held.
func (r *ackRequest) keep(ack Ack) {
	n := ack.bytes()
	if r.tooMuch || r.over {
		return
	}
	if r.bytes+n > maxAckBytes || r.unread != nil && !r.unread.Take(r.owner, int64(n)) {
		r.tooMuch = true
		return
	}
	r.bytes += n
	r.acks = append(r.acks, ack)
}

// free releases the memory of acks that the caller has taken. r.mu is held.
func (r *ackRequest) free(n int) {
	r.bytes -= n
	if r.unread != nil {
		r.unread.Give(r.owner, int64(n))
	}
}

// discard drops the acks that the caller hasn't taken, and those that come later.
func (r *ackRequest) discard() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over, r.acks = true, nil
	r.free(r.bytes)
}

// signal wakes wait. r.mu is held.
func (r *ackRequest) signal() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake
	}
}

// wait passes acks on until there are no more to wait for. late says that the
// timeout came first.
func (r *ackRequest) wait(ctx context.Context, timeout time.Duration, each func(Ack) error) (late bool, err error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		if err := r.passOn(each); err != nil {
			return false, err
		}
		if r.done() {
			return false, nil
		}
		select {
		case <-r.wake:
		case <-timer.C:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// passOn passes the acks that are there to the caller. The error is what each
// returned, or says that the caller was too slow.
func (r *ackRequest) passOn(each func(Ack) error) error {
	for {
		ack, ok, tooMuch := r.next()
		if !ok && tooMuch {
			return &Error{
				Code:    CodeResourceExhausted,
				Reason:  ReasonSlowCaller,
				Message: "the acks were not read as fast as they came; ask fewer sockets at once, or read faster",
			}
		}
		if !ok {
			return nil
		}
		err := each(ack)
		r.taken(ack)
		if err != nil {
			return err
		}
	}
}

// next returns the next ack that is there, and whether some were too much.
func (r *ackRequest) next() (ack Ack, ok, tooMuch bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.acks) == 0 {
		r.acks = nil
		return Ack{}, false, r.tooMuch
	}
	ack, r.acks[0] = r.acks[0], Ack{}
	r.acks = r.acks[1:]
	return ack, true, r.tooMuch
}

// take returns all acks that are there. taken must be called with them.
func (r *ackRequest) take() []Ack {
	r.mu.Lock()
	defer r.mu.Unlock()
	acks := r.acks
	r.acks = nil
	return acks
}

// taken frees acks that next or take has returned.
func (r *ackRequest) taken(acks ...Ack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range acks {
		r.free(acks[i].bytes())
	}
}

// done reports whether there is nothing more to wait for.
func (r *ackRequest) done() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left == 0 || r.minAcks > 0 && r.answered >= r.minAcks
}

// localSummary returns what became of this node's sockets, once none of them
// holds the request.
func (r *ackRequest) localSummary() AckSummary {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.summary
}

// nodeAcks is what another node has reported on its sockets. It belongs to a
// request, whose mu guards it.
type nodeAcks struct {
	summary AckSummary
	left    int  // sockets that haven't answered yet
	ended   bool // the node reports nothing more
	short   bool // it ended without a report on all of its sockets
}

// nodeFor returns the acks of a node that asks so many sockets. r.mu is held.
func (r *ackRequest) nodeFor(id cluster.NodeID, sockets int) *nodeAcks {
	n, ok := r.nodes[id]
	if !ok {
		n = &nodeAcks{summary: AckSummary{Expected: sockets}, left: sockets, ended: sockets == 0}
		if r.nodes == nil {
			r.nodes = make(map[cluster.NodeID]*nodeAcks)
		}
		r.nodes[id] = n
		r.left += sockets
	}
	return n
}

// settleNode counts some sockets of another node, or as many as are left. r.mu is
// held.
func (r *ackRequest) settleNode(n *nodeAcks, sockets int, why ackOutcome) {
	sockets = min(sockets, n.left)
	*why(&n.summary) += sockets
	n.left -= sockets
	r.left -= sockets
}

// failNode counts the sockets that another node hasn't reported on as disconnected.
// r.mu is held.
func (r *ackRequest) failNode(n *nodeAcks) {
	if !n.ended {
		n.ended, n.short = true, true
		r.settleNode(n, n.left, disconnected)
	}
}

// nodeStarted takes a node's reply to the request: how many sockets it asks.
func (r *ackRequest) nodeStarted(id cluster.NodeID, c *wire.Count) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.nodeFor(id, int(c.GetMatched()))
	if c.GetRefused() > 0 {
		r.settleNode(n, n.left, dropped)
		n.ended = true
	}
	r.signal()
}

// receiveFrom takes acks that another node sends.
func (r *ackRequest) receiveFrom(id cluster.NodeID, m *wire.Acks) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.nodeFor(id, int(m.GetExpected()))
	if n.ended {
		return
	}
	for _, ack := range m.GetAcks()[:min(len(m.GetAcks()), n.left)] {
		r.settleNode(n, 1, answered)
		r.answered++
		r.keep(ackFromWire(ack))
	}
	if rest := m.GetRest(); rest != nil {
		r.settleNode(n, int(rest.GetTimedOut()), timedOut)
		r.settleNode(n, int(rest.GetDisconnected()), disconnected)
		r.settleNode(n, int(rest.GetDropped()), dropped)
		if n.left > 0 { // acks were lost on their way
			r.failNode(n)
		}
		n.ended = true
	}
	r.signal()
}

// lose notes that a node is gone.
func (r *ackRequest) lose(id cluster.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n, ok := r.nodes[id]; ok {
		r.failNode(n)
		r.signal()
	}
}

// endNodes adds what became of other nodes' sockets to a summary. It returns
// which nodes have reported on all of theirs, and which still ask. If late, these
// have no more time.
func (r *ackRequest) endNodes(late bool, sum *AckSummary) (complete map[cluster.NodeID]bool, asking []cluster.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	complete = make(map[cluster.NodeID]bool, len(r.nodes))
	for id, n := range r.nodes {
		if n.left > 0 {
			asking = append(asking, id)
			if late {
				r.failNode(n)
			}
		}
		complete[id] = !n.short
		sum.add(&n.summary)
	}
	return complete, asking
}

func ackToWire(a *Ack) *wire.Ack {
	return &wire.Ack{
		Socket:      a.Socket,
		User:        a.User,
		Args:        a.Args,
		Attachments: a.Attachments,
		LatencyUs:   uint64(a.Latency.Microseconds()), //nolint:gosec // never below zero
	}
}

func ackFromWire(a *wire.Ack) Ack {
	return Ack{
		Socket:      a.GetSocket(),
		User:        a.GetUser(),
		Args:        a.GetArgs(),
		Attachments: a.GetAttachments(),
		Latency:     time.Duration(a.GetLatencyUs()) * time.Microsecond, //nolint:gosec // it fits for 292,000 years
	}
}
