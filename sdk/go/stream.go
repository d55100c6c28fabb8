package sala

import (
	"sync"
	"sync/atomic"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// stream is what waits to be sent over one event stream. Handlers put their answers and credits into
// it; one goroutine writes, because gRPC allows one writer.
type stream struct {
	started atomic.Bool
	ended   chan struct{} // closed when the stream has ended
	wake    chan struct{}

	mu      sync.Mutex
	answers []*salav1.SubscribeRequest // at most as many as events are outstanding
	credits uint32                     // granted and not yet sent
	closing bool                       // the sending side is closed once answers are sent
	closed  bool
}

func newStream() *stream {
	return &stream{ended: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// send queues an answer, which may be nil, and a credit if there is one. It returns false if the
// stream sends nothing any more.
func (s *stream) send(answer *salav1.SubscribeRequest, credits uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if answer != nil {
		s.answers = append(s.answers, answer)
	}
	s.credits += credits
	s.signal()
	return true
}

// closeSend closes the sending side once what waits is sent.
func (s *stream) closeSend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	s.signal()
}

// close notes that nothing can be sent any more, and returns how many answers still waited.
func (s *stream) close() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return len(s.answers)
}

func (s *stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write sends start, then what is queued, until the stream ends. It ignores errors of sending: reading
// returns the same, and why.
func (s *stream) write(call salav1.EventService_SubscribeClient, start *salav1.SubscribeRequest) {
	if call.Send(start) != nil {
		return
	}
	for {
		select {
		case <-s.wake:
		case <-s.ended:
			return
		}
		for answer, credits := s.next(); answer != nil || credits > 0; answer, credits = s.next() {
			if answer == nil {
				answer = &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Credit{Credit: &salav1.EventCredit{Credits: credits}}}
			}
			if call.Send(answer) != nil {
				return
			}
		}
		if s.isClosing() {
			_ = call.CloseSend()
			return
		}
	}
}

// next takes the oldest answer, or all credits if no answer waits. Credits that aren't sent before
// their answers would let the broker exceed them.
func (s *stream) next() (*salav1.SubscribeRequest, uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0
	}
	if len(s.answers) > 0 {
		answer := s.answers[0]
		s.answers = s.answers[1:]
		return answer, 0
	}
	credits := s.credits
	s.credits = 0
	return nil, credits
}

func (s *stream) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}
