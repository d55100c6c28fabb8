package sala

import (
	"cmp"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// emitWindow is how many events of an [EmitStream] may be without a result.
const emitWindow = 256

// endTime is how long the broker gets to end a stream that is closed.
const endTime = time.Second

// EmitStream sends events at a high rate, in their order. Make one with [Client.NewEmitStream]. All
// methods may be called concurrently.
//
// At most 256 events are without a result; [EmitStream.Emit] waits for room. Every event gets a result
// or an error, at the latest after the client's timeout.
//
// When the stream breaks, another one is opened. An event with a key of the caller's that has no result
// yet is then sent again, and its key keeps clients from receiving it twice. An event without a key
// isn't sent again if it may have been sent: its error has the code codes.Unavailable. Unlike
// [Target.Emit], a stream makes no keys, because the broker sends events without one faster.
type EmitStream struct {
	client *Client
	ctx    context.Context // of all streams
	window chan struct{}   // one for each event without a result
	wake   chan struct{}   // there is something to write, or no more will come
	ended  chan struct{}

	mu      sync.Mutex
	pending []*PendingEmit // without a result, the oldest first
	written int            // how many of them the current stream has been given
	last    uint64         // the sequence number of the newest
	cause   error          // why the last stream ended; nil since the last result
	failed  error          // of the first event that has failed
	closing bool
	late    *time.Timer // when the time of the oldest is over
}

// PendingEmit is an event of an [EmitStream] on its way.
type PendingEmit struct {
	request  *salav1.EmitStreamRequest
	deadline time.Time
	done     chan struct{} // closed when there is an outcome
	outcome  EmitOutcome
}

// Result waits for what happened to the event: the broker's result, or an [Error]. The error of ctx says
// only that the caller has stopped waiting.
func (p *PendingEmit) Result(ctx context.Context) (*EmitResult, error) {
	select {
	case <-p.done:
		return p.outcome.Result, p.outcome.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// NewEmitStream returns a stream for events, which is opened with the first one. Close it when it is no
// longer needed. If ctx ends before, events without a result get an error.
func (c *Client) NewEmitStream(ctx context.Context) *EmitStream {
	s := &EmitStream{
		client: c, ctx: ctx,
		window: make(chan struct{}, emitWindow), wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	s.late = time.AfterFunc(time.Hour, s.expire)
	s.late.Stop()
	go s.run() //nolint:contextcheck // it is that of the stream
	return s
}

// Emit adds an event to the stream, and returns how to get its result. It waits while 256 events are
// without one. An error means that the event isn't sent: it is invalid, or ctx has ended, or the stream
// is closed.
func (s *EmitStream) Emit(ctx context.Context, emit Emit) (*PendingEmit, error) {
	request, err := emit.Target.request(emit.Event, emit.Args)
	if err != nil {
		return nil, err
	}
	select {
	case s.window <- struct{}{}:
	case <-s.ended:
		return nil, streamClosed()
	case <-ctx.Done():
		return nil, s.client.asError(ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		<-s.window
		return nil, streamClosed()
	}
	s.last++
	p := &PendingEmit{
		request:  &salav1.EmitStreamRequest{Sequence: s.last, Emit: request},
		deadline: time.Now().Add(s.client.timeout), done: make(chan struct{}),
	}
	s.pending = append(s.pending, p)
	if len(s.pending) == 1 {
		s.setTimer()
	}
	s.signal()
	return p, nil
}

func streamClosed() error {
	return &Error{Code: codes.Canceled, Message: "the stream of events is closed"}
}

// Close waits until every event has a result or an error, and ends the stream. It returns the error of
// the first event that has failed, if any.
func (s *EmitStream) Close() error {
	s.mu.Lock()
	s.closing = true
	s.signal()
	s.mu.Unlock()
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *EmitStream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run holds one stream after another while there are events.
func (s *EmitStream) run() {
	defer close(s.ended)
	defer s.late.Stop()
	for attempt := 1; s.awaitWork(); attempt++ {
		err := s.hold()
		if s.ctx.Err() != nil {
			break
		}
		if s.broke(err) {
			attempt = 1
		}
		sleep(s.ctx, pauseBefore(attempt))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for len(s.pending) > 0 { // ctx has ended
		s.settle(EmitOutcome{Err: s.client.asError(s.ctx.Err())})
	}
}

// awaitWork waits for an event that has no result. It returns false when no more will come.
func (s *EmitStream) awaitWork() bool {
	for s.ctx.Err() == nil {
		s.mu.Lock()
		waiting, closing := len(s.pending) > 0, s.closing
		s.mu.Unlock()
		if waiting || closing {
			return waiting
		}
		select {
		case <-s.wake:
		case <-s.ctx.Done():
		}
	}
	return false
}

// hold opens a stream, and serves it until it ends.
func (s *EmitStream) hold() error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	call, err := s.client.messages.EmitStream(ctx)
	if err != nil {
		return s.client.asError(err)
	}
	read := make(chan error, 1)
	broken := make(chan struct{})
	go func() {
		defer close(broken)
		read <- s.read(call)
	}()
	s.write(call, broken)
	if s.isDone() { // nobody may be there to answer
		timer := time.AfterFunc(endTime, cancel)
		defer timer.Stop()
	}
	return <-read
}

// isDone reports whether no result is missing and no event will come.
func (s *EmitStream) isDone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing && len(s.pending) == 0
}

// write sends events until the stream breaks or no more will come. It ignores errors of sending:
// reading returns the same, and why.
func (s *EmitStream) write(call salav1.MessageService_EmitStreamClient, broken <-chan struct{}) {
	for {
		request := s.next()
		switch {
		case request != nil:
			if call.Send(request) != nil {
				return
			}
		case s.isDone():
			_ = call.CloseSend()
			return
		default:
			select {
			case <-s.wake:
			case <-broken:
				return
			}
		}
	}
}

// next returns the oldest event that this stream hasn't been given, or nil.
func (s *EmitStream) next() *salav1.EmitStreamRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.written == len(s.pending) {
		return nil
	}
	request := s.pending[s.written].request
	s.written++
	return request
}

// read settles events with their results until the stream ends. The error is nil if the broker has
// closed it.
func (s *EmitStream) read(call salav1.MessageService_EmitStreamClient) error {
	for {
		response, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.client.asError(err)
		}
		s.mu.Lock()
		// One that is older than the oldest has had its time.
		if len(s.pending) > 0 && s.pending[0].request.GetSequence() == response.GetSequence() {
			s.cause = nil
			s.settle(emitOutcomeOf(response.GetResult()))
		}
		s.mu.Unlock()
	}
}

// settle gives the oldest event its outcome. The caller holds the lock.
func (s *EmitStream) settle(outcome EmitOutcome) {
	s.finish(s.pending[0], outcome)
	s.pending = s.pending[1:]
	s.written = max(s.written-1, 0)
	s.setTimer()
	if s.closing && len(s.pending) == 0 {
		s.signal()
	}
}

// finish gives an event its outcome, and makes room for another one. The caller holds the lock.
func (s *EmitStream) finish(p *PendingEmit, outcome EmitOutcome) {
	p.outcome = outcome
	close(p.done)
	<-s.window
	s.failed = cmp.Or(s.failed, outcome.Err)
}

// setTimer sets the timer for the oldest event. The caller holds the lock.
func (s *EmitStream) setTimer() {
	if len(s.pending) > 0 {
		s.late.Reset(time.Until(s.pending[0].deadline))
	}
}

// expire ends the events whose time is over.
func (s *EmitStream) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	late := s.client.asError(context.DeadlineExceeded)
	for len(s.pending) > 0 && !time.Now().Before(s.pending[0].deadline) {
		s.settle(EmitOutcome{Err: cmp.Or(s.cause, late)})
	}
	s.setTimer()
}

// broke notes that a stream has ended, and decides about the events that have no result: those that can
// be sent again stay. It returns whether the stream had brought a result.
func (s *EmitStream) broke(err error) (worked bool) {
	if err == nil {
		err = &Error{Code: codes.Unavailable, Message: "the broker has closed the stream"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	worked = s.cause == nil
	s.cause = err
	var kept []*PendingEmit
	for i, p := range s.pending {
		switch {
		case isFinal(err):
			s.finish(p, EmitOutcome{Err: err})
		case i < s.written && p.request.GetEmit().GetIdempotencyKey() == "":
			s.finish(p, EmitOutcome{Err: mayHaveBeenSent(err)})
		default:
			kept = append(kept, p)
		}
	}
	s.pending, s.written = kept, 0
	s.setTimer()
	return worked
}

// mayHaveBeenSent is the error of an event without a key whose stream broke before its result came.
func mayHaveBeenSent(err error) error {
	return &Error{
		Code:    codes.Unavailable,
		Message: strings.TrimPrefix(err.Error(), "sala: ") + "; the event may have been sent, and has no key to send it again",
	}
}
