package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Options are how a [Forwarder] works.
type Options struct {
	Start        *salav1.SubscribeStart // without credits
	Concurrency  int                    // requests at the same time
	RetryFor     time.Duration          // how long to try to deliver an event that needs no answer
	AnswerWithin time.Duration          // the same for one that needs an ack
	DecideWithin time.Duration          // the same for one that needs a decision
	Grace        time.Duration          // how long to finish after the end of the context
	Log          func(format string, args ...any)
}

// Forwarder forwards the events of one subscription to a target.
type Forwarder struct {
	options Options
	target  *Target
	lanes   *lanes
	counts  counts
	failing atomic.Bool // the last attempt of any event failed

	mu       sync.Mutex
	current  *stream // nil while there is none
	inFlight int     // events that were received and aren't finished
	leaving  bool    // no credits are granted any more
}

// counts are totals since the start.
type counts struct {
	delivered, undelivered, retries, answersLost, rejected, reconnects atomic.Uint64
}

// stream is one stream of the subscription. Its mutex guards sending.
type stream struct {
	mu sync.Mutex
	grpc.BidiStreamingClient[salav1.SubscribeRequest, salav1.SubscribeResponse]
}

func (s *stream) send(r *salav1.SubscribeRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Send(r)
}

// New returns a forwarder.
func New(o Options, target *Target) *Forwarder {
	return &Forwarder{options: o, target: target, lanes: newLanes(o.Concurrency)}
}

// Summary says for people how many events were forwarded.
func (f *Forwarder) Summary() string {
	c := &f.counts
	return fmt.Sprintf("%d events delivered, %d not delivered; %d attempts repeated, %d answers lost, %d rejected, %d reconnects",
		c.delivered.Load(), c.undelivered.Load(), c.retries.Load(), c.answersLost.Load(), c.rejected.Load(), c.reconnects.Load())
}

// Run forwards until ctx ends, and then finishes what it has received within the grace time. It
// returns an error of the subscription that can't heal.
func (f *Forwarder) Run(ctx context.Context, conn grpc.ClientConnInterface) error {
	// The streams and the requests outlive ctx by the grace time.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	end := context.AfterFunc(ctx, func() { time.AfterFunc(f.options.Grace, stop) })
	defer end()
	err := f.follow(ctx, work, conn)
	f.lanes.wait()
	return err
}

// follow opens one stream after another.
func (f *Forwarder) follow(ctx, work context.Context, conn grpc.ClientConnInterface) error {
	pause := firstPause
	for {
		started, err := f.stream(ctx, work, conn)
		switch {
		case ctx.Err() != nil:
			return nil
		case isFinal(err):
			return err
		case started:
			pause = firstPause
		}
		wait := rand.N(pause) //nolint:gosec // it only spreads the members of a group
		pause = min(2*pause, longestPause)
		f.counts.reconnects.Add(1)
		f.options.Log("not subscribed, retrying in %s: %s", wait.Round(time.Millisecond), status.Convert(err).Message())
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func isFinal(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
		return true
	}
	return false
}

// stream forwards the events of one stream. It reports whether the broker had accepted it.
func (f *Forwarder) stream(ctx, work context.Context, conn grpc.ClientConnInterface) (started bool, err error) {
	streaming, cancel := context.WithCancel(work)
	defer cancel()
	opened, err := salav1.NewEventServiceClient(conn).Subscribe(streaming)
	if err != nil {
		return false, err
	}
	s := &stream{BidiStreamingClient: opened}
	f.begin(s)
	defer f.end(s)
	left := make(chan struct{})
	leave := context.AfterFunc(ctx, func() {
		defer close(left)
		f.leave(s)
	})
	defer func() {
		if !leave() {
			<-left
		}
	}()
	for {
		response, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return started, status.Error(codes.Unavailable, "the broker closed the stream")
		case err != nil:
			return started, err
		}
		switch r := response.GetResponse().(type) {
		case *salav1.SubscribeResponse_Started:
			started = true
			f.options.Log("forwarding to %s; press Ctrl-C to stop", f.target.URL.Host)
		case *salav1.SubscribeResponse_Event:
			f.receive(work, s, r.Event)
		case *salav1.SubscribeResponse_Rejected:
			f.rejected(s, r.Rejected)
		}
	}
}

// rejected tells the client of an answer that the broker can't use that there is none.
func (f *Forwarder) rejected(s *stream, r *salav1.EventRejected) {
	f.counts.rejected.Add(1)
	f.options.Log("the answer to event %s was rejected: %s", r.GetDeliveryId(), r.GetReason())
	switch r.GetReason() {
	case "INVALID_ARGUMENT", "REQUEST_TOO_LARGE", "TOO_MANY_REQUESTS":
		_ = s.send(failure(&salav1.ClientEvent{DeliveryId: r.GetDeliveryId(), NeedsAck: true}, codeFailed))
	}
}

// begin subscribes. Events of earlier streams that aren't finished hold their credits.
func (f *Forwarder) begin(s *stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = s
	start := &salav1.SubscribeStart{
		Group: f.options.Start.GetGroup(), Namespaces: f.options.Start.GetNamespaces(), Events: f.options.Start.GetEvents(),
		Kinds: f.options.Start.GetKinds(), Decide: f.options.Start.GetDecide(),
	}
	start.Credits = uint32(max(0, f.credits()-f.inFlight)) //nolint:gosec // the flag has a maximum
	// If Send fails, Recv returns a better error.
	_ = s.send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: start}})
}

// credits is how many events may be outstanding.
func (f *Forwarder) credits() int { return 2 * f.options.Concurrency }

func (f *Forwarder) end(s *stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == s {
		f.current = nil
	}
}

// leave finishes what was received, and closes the sending side after the last answer. The broker
// then sends what it had handed over, and ends the stream.
func (f *Forwarder) leave(s *stream) {
	f.mu.Lock()
	f.leaving = true
	f.mu.Unlock()
	f.lanes.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.CloseSend()
}
