package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/socketio"
)

// AckOptions says how long to wait for the answers to an event.
type AckOptions struct {
	// Timeout is how long clients may take; zero means 10 s.
	Timeout time.Duration
	// MinAcks is after how many answers not to wait for more; zero means for
	// everyone.
	MinAcks int
	// Owner says on whose account the answers are, such as the name of an API key.
	// Nobody has more than half of the places for answers, and of the memory for
	// those that haven't been taken.
	Owner string
}

// Ack is one client's answer to an event.
type Ack struct {
	// Socket and User say whose it is.
	Socket, User string
	// Args is the text of a JSON array, as the client sent it.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
	// Latency is the time since the event was queued.
	Latency time.Duration
}

// AckSummary counts what became of an event that asked for answers.
type AckSummary struct {
	// Expected is how many sockets the target named. It is the sum of the
	// others, unless MinAcks was reached before the rest answered.
	Expected int
	// Answered is how many answered.
	Answered int
	// TimedOut is how many did not in time.
	TimedOut int
	// Disconnected is how many went away without an answer.
	Disconnected int
	// Dropped is to how many the event could not be queued.
	Dropped int
	// Coverage names the nodes that have not said to the end what became of
	// their sockets. Those of which nothing is known count as disconnected.
	Coverage
}

func (a *Ack) bytes() int {
	n := len(a.Args)
	for _, data := range a.Attachments {
		n += len(data)
	}
	return n
}

// Limits of events that ask for answers.
const (
	// DefaultAckTimeout is how long clients have to answer unless it is said.
	DefaultAckTimeout = 10 * time.Second
	maxAckTimeout     = time.Minute
	// maxWaiting bounds how many answers the broker waits for at once. Each owner
	// has half of that.
	maxWaiting = 500_000
	// maxAckBytes bounds what clients have answered to one event and the
	// caller hasn't taken yet.
	maxAckBytes = 64 << 20
	// unreadShare is which part of the memory limit the answers to all events may
	// take that callers haven't taken yet, and maxUnread what they may take without
	// a limit. Each owner has half.
	unreadShare = 12
	maxUnread   = 256 << 20
)

// EmitWithAck sends a message as Emit does, asks each socket for an answer and
// passes the answers to each, on the caller's goroutine, one at a time and as
// they come. It returns when no more are waited for. An answer that comes later
// is counted and ignored. No client waits for the caller: what it hasn't taken
// yet is kept. It may be called concurrently. The error is a *[Error], ctx's, or
// what each returned, which ends the waiting.
func (b *Broker) EmitWithAck(ctx context.Context, t Target, m Message, o AckOptions, each func(Ack) error) (AckSummary, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultAckTimeout
	}
	var v violations
	validateTarget(&v, &t)
	m.validate(&v, b.opts.messageLimits())
	if o.Timeout < 0 || o.Timeout > maxAckTimeout {
		v.add("timeout", "%s is not between 0 and %s", o.Timeout, maxAckTimeout)
	}
	if err := v.err(); err != nil {
		return AckSummary{}, err
	}
	ns, err := b.namespace(t.Namespace)
	if err != nil {
		return AckSummary{}, err
	}
	if err := b.checkLoad(); err != nil {
		return AckSummary{}, err
	}
	sockets := ns.index.Select(nil, t)
	if !b.waiting.Take(o.Owner, int64(len(sockets))) {
		return AckSummary{}, &Error{
			Code:   CodeResourceExhausted,
			Reason: ReasonTooManyAcks,
			Message: fmt.Sprintf("the broker waits for at most %d answers at once, and for %d of one API key; ask fewer sockets, or again in a moment",
				maxWaiting, b.waiting.Share()),
		}
	}
	defer b.waiting.Give(o.Owner, int64(len(sockets)))
	q := b.newQuestion(o.Owner, len(sockets), o.MinAcks)
	defer q.discard()
	b.pose(q, ns, sockets, &m)
	others := b.askOthers(ctx, q, ns, &t, &m, o)
	late, err := q.wait(ctx, waitAtMost(ctx, o.Timeout-time.Since(q.asked)), each)
	var why fate // the rest isn't waited for
	if late {
		why = timedOut
	}
	for _, s := range sockets { // nothing of the question stays behind
		s.forget(q, why)
	}
	summary := q.end()
	b.metrics.asked(summary)
	if others != nil {
		if late && err == nil {
			late, err = q.wait(ctx, waitAtMost(ctx, summaryGrace), each) // their clocks began a little later
		}
		others.end(late, &summary)
	}
	if err == nil {
		err = q.passOn(each)
	}
	return summary, err
}

// newQuestion returns a question whose answers are on an owner's account. discard
// must follow.
func (b *Broker) newQuestion(owner string, sockets, minAcks int) *question {
	q := newQuestion(b.questions.Add(1), sockets, minAcks)
	q.owner, q.unread = owner, b.unread
	return q
}

// unreadLimit is how many bytes of answers may wait for their callers.
func unreadLimit(memory int64) int64 {
	if memory <= 0 {
		return maxUnread
	}
	return min(memory/unreadShare, maxUnread)
}

// pose sends a valid message to the sockets, with the question's number as its
// ack id: one frame for all, as each socket knows what it was asked.
func (b *Broker) pose(q *question, ns *namespace, sockets []*socket, m *Message) {
	report := Report{Matched: len(sockets)}
	f := newFrame(ns.name, &q.id, m)
	for _, s := range sockets {
		switch {
		case !s.expect(q):
			q.without(disconnected)
		case s.deliver(f, false):
			report.Queued++
		default:
			s.forget(q, dropped)
		}
	}
	b.metrics.emitted(report)
}

// question is one event that asks sockets for an answer. Each socket that is
// still to answer holds it among its own, and whoever takes it from there tells
// the question what became of that socket: so each is counted once.
type question struct {
	// Static.
	id      uint64
	asked   time.Time
	minAcks int
	wake    chan struct{}     // holds one when there is something to look at
	owner   string            // on whose account the answers are
	unread  *ratelimit.Shares // bytes of answers that nobody has taken; nil if there is no limit

	// Guarded by mu, which comes after those of sockets.
	mu       sync.Mutex
	summary  AckSummary               // of this node's sockets
	left     int                      // sockets that nothing is known of yet, also of other nodes
	answers  []Ack                    // that the caller hasn't taken
	bytes    int                      // of those, and of the one that it is taking
	over     bool                     // the caller has gone, and takes no more
	tooMuch  bool                     // the caller has let too many bytes pile up
	answered int                      // of all nodes
	parts    map[cluster.NodeID]*part // of other nodes, which ask theirs; nil if there are none
}

func newQuestion(id uint64, sockets, minAcks int) *question {
	return &question{
		id:      id,
		asked:   time.Now(),
		minAcks: minAcks,
		wake:    make(chan struct{}, 1),
		left:    sockets,
		summary: AckSummary{Expected: sockets},
	}
}

// fate is what became of a socket that was asked.
type fate func(*AckSummary) *int

func answered(s *AckSummary) *int { return &s.Answered }

func disconnected(s *AckSummary) *int { return &s.Disconnected }

func dropped(s *AckSummary) *int { return &s.Dropped }

func timedOut(s *AckSummary) *int { return &s.TimedOut }

// without counts a socket that won't answer.
func (q *question) without(why fate) {
	q.mu.Lock()
	defer q.mu.Unlock()
	*why(&q.summary)++
	q.left--
	q.signal()
}

// answer takes in a socket's answer.
func (q *question) answer(s *socket, p socketio.Payload) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left--
	q.summary.Answered++
	q.answered++
	q.keep(Ack{Socket: s.id, User: s.user, Args: p.Args, Attachments: p.Attachments, Latency: time.Since(q.asked)})
	q.signal()
}

// keep keeps an answer for the caller. The caller of keep holds mu.
func (q *question) keep(ack Ack) {
	n := ack.bytes()
	switch {
	case q.tooMuch || q.over:
		return
	case q.bytes+n > maxAckBytes:
		q.tooMuch = true
		return
	}
	q.tooMuch = q.unread != nil && !q.unread.Take(q.owner, int64(n))
	if q.tooMuch {
		return
	}
	q.bytes += n
	q.answers = append(q.answers, ack)
}

// free gives back what answers take that the caller has taken. The caller of free
// holds mu.
func (q *question) free(n int) {
	q.bytes -= n
	if q.unread != nil {
		q.unread.Give(q.owner, int64(n))
	}
}

// discard drops the answers that the caller hasn't taken, and those that come.
func (q *question) discard() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over, q.answers = true, nil
	q.free(q.bytes)
}

// signal has wait look at what is new. The caller holds mu.
func (q *question) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // it is going to
	}
}

// wait passes answers on until no more are waited for.
func (q *question) wait(ctx context.Context, timeout time.Duration, each func(Ack) error) (late bool, err error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		if err := q.passOn(each); err != nil {
			return false, err
		}
		if q.settled() {
			return false, nil
		}
		select {
		case <-q.wake:
		case <-timer.C:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// passOn hands the answers to the caller that are there. The error is what each
// returned, or says that the caller was too slow.
func (q *question) passOn(each func(Ack) error) error {
	for {
		ack, ok, tooMuch := q.next()
		if !ok && tooMuch {
			return &Error{
				Code:    CodeResourceExhausted,
				Reason:  ReasonSlowCaller,
				Message: "the clients' answers were not read as fast as they came; ask fewer sockets at once, or read faster",
			}
		}
		if !ok {
			return nil
		}
		err := each(ack)
		q.taken(ack)
		if err != nil {
			return err
		}
	}
}

// next returns the next answer that is there, and whether some were too much.
func (q *question) next() (ack Ack, ok, tooMuch bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.answers) == 0 {
		q.answers = nil
		return Ack{}, false, q.tooMuch
	}
	ack, q.answers[0] = q.answers[0], Ack{}
	q.answers = q.answers[1:]
	return ack, true, q.tooMuch
}

// taken frees answers that next or take returned.
func (q *question) taken(acks ...Ack) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range acks {
		q.free(acks[i].bytes())
	}
}

// take returns the answers that are there, for taken to be called.
func (q *question) take() []Ack {
	q.mu.Lock()
	defer q.mu.Unlock()
	answers := q.answers
	q.answers = nil
	return answers
}

// settled reports whether there is nothing more to wait for.
func (q *question) settled() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.left == 0 || q.minAcks > 0 && q.answered >= q.minAcks
}

// end returns what became of this node's sockets. None holds the question any more.
func (q *question) end() AckSummary {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.summary
}

// expect makes the socket wait for the client's answer. It reports false if the
// socket has ended.
func (s *socket) expect(q *question) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.Load() {
		return false
	}
	if s.questions == nil {
		s.questions = make(map[uint64]*question)
	}
	s.questions[q.id] = q
	return true
}

// takeQuestion gives up waiting for an answer; nil if none is waited for. The
// caller holds mu.
func (s *socket) takeQuestion(id uint64) *question {
	q := s.questions[id]
	delete(s.questions, id)
	if len(s.questions) == 0 {
		s.questions = nil
	}
	return q
}

// forget gives up waiting for an answer, if it is still waited for, and counts
// the socket as one that won't answer unless why is nil.
func (s *socket) forget(q *question, why fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.takeQuestion(q.id) != nil && why != nil {
		q.without(why)
	}
}

// answer passes the client's answer on to who asked. It reports false if nobody
// waits for it: it is late, or the client made it up.
func (s *socket) answer(p *socketio.Packet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.takeQuestion(p.ID)
	if q == nil {
		return false
	}
	q.answer(s, p.Payload)
	return true
}

// leaveUnanswered tells everyone who waits for the client that it has gone.
func (s *socket) leaveUnanswered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.questions {
		q.without(disconnected)
	}
	s.questions = nil
}
