package broker

import (
	"context"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/socketio"
)

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

func answered(s *AckSummary) *int     { return &s.Answered }
func disconnected(s *AckSummary) *int { return &s.Disconnected }
func dropped(s *AckSummary) *int      { return &s.Dropped }
func timedOut(s *AckSummary) *int     { return &s.TimedOut }

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
