package load

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// emission is one message and what was said of it.
type emission struct {
	number   uint64
	node     int // which took it
	begun    time.Time
	answered time.Time
	accepted bool
	complete bool   // accepted and queued to everyone, and no node's counts are lacking
	matched  uint32 // how many clients it is for, it says
	err      error  // why it wasn't accepted
}

// speaker emits to everyone through one server while that is ready, one message after the other, and writes down what is
// answered.
type speaker struct {
	node     int
	ready    *atomic.Bool
	conn     *grpc.ClientConn
	messages salav1.MessageServiceClient
	hushed   atomic.Bool

	mu        sync.Mutex
	emissions []emission
}

// speakers are one for each server.
type speakers struct {
	list    []*speaker
	stopped chan struct{}
	running sync.WaitGroup
}

// patienceOfSpeakers is how long one waits for an answer.
const patienceOfSpeakers = 5 * time.Second

func newSpeakers(ctx context.Context, s *stage, every time.Duration) (*speakers, error) {
	sp := &speakers{stopped: make(chan struct{})}
	for i := range s.nodes {
		conn, err := s.control(i)
		if err != nil {
			sp.stop()
			return nil, err
		}
		one := &speaker{node: i, ready: &s.ready[i], conn: conn, messages: salav1.NewMessageServiceClient(conn)}
		sp.list = append(sp.list, one)
		sp.running.Go(func() { one.run(authorized(ctx, s.jobOf(i)), every, sp.stopped) })
	}
	return sp, nil
}

func (s *speaker) run(ctx context.Context, every time.Duration, stopped <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := uint64(1); ; n++ {
		if s.ready.Load() && !s.hushed.Load() {
			s.emit(ctx, n<<8|uint64(s.node))
		}
		select {
		case <-tick.C:
		case <-stopped:
			return
		case <-ctx.Done():
			return
		}
	}
}

// speakerOf returns who has sent a message.
func speakerOf(number uint64) int { return int(number & 0xFF) }

func (s *speaker) emit(ctx context.Context, number uint64) {
	ctx, cancel := context.WithTimeout(ctx, patienceOfSpeakers)
	defer cancel()
	e := emission{number: number, node: s.node, begun: time.Now()}
	answer, err := s.messages.Emit(ctx, newEmit(everyone, newPayload(number, 0)))
	e.answered, e.err = time.Now(), err
	if err == nil {
		e.accepted, e.complete, e.matched = true, !answer.GetPartial() && answer.GetDropped() == 0, answer.GetMatched()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emissions = append(s.emissions, e)
}

// stop waits until all have had their last answer.
func (sp *speakers) stop() {
	close(sp.stopped)
	sp.running.Wait()
	for _, s := range sp.list {
		s.conn.Close()
	}
}

// hush has all be silent, or speak again.
func (sp *speakers) hush(silent bool) {
	for _, s := range sp.list {
		s.hushed.Store(silent)
	}
}

// whole waits until a message that each server has taken after now is complete and for so many clients. It returns how
// long that took.
func (sp *speakers) whole(ctx context.Context, clients int) (time.Duration, error) {
	begin := time.Now()
	for _, s := range sp.list {
		for !s.wholeSince(begin, clients, true) {
			if err := pause(ctx, 2*time.Millisecond); err != nil {
				return time.Since(begin), err
			}
		}
	}
	return time.Since(begin), nil
}

// wholeSince reports whether a message that was sent after t is for so many clients, and complete if it must be.
func (s *speaker) wholeSince(t time.Time, clients int, complete bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.Backward(s.emissions) {
		if e.begun.Before(t) {
			return false
		}
		if e.accepted && (e.complete || !complete) && int(e.matched) == clients {
			return true
		}
	}
	return false
}

// all returns all messages, in the order in which they were sent.
func (sp *speakers) all() []emission {
	var all []emission
	for _, s := range sp.list {
		all = append(all, s.emissions...)
	}
	slices.SortFunc(all, func(a, b emission) int { return a.begun.Compare(b.begun) })
	return all
}
