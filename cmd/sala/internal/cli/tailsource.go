package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// tailSource is where a tail gets its events from. One goroutine uses it.
type tailSource interface {
	// open opens a stream, which ends with ctx.
	open(ctx context.Context, conn grpc.ClientConnInterface) error
	// next waits for the next message of the stream.
	next() (tailMessage, error)
}

// tailMessage is one message of a stream.
type tailMessage struct {
	started bool                        // the stream has begun
	note    string                      // for people; empty for none
	print   func(p *eventPrinter) error // prints an event; nil if there is none
}

// subscribeSource is a subscription that observes.
type subscribeSource struct {
	start      *salav1.SubscribeStart
	stream     grpc.BidiStreamingClient[salav1.SubscribeRequest, salav1.SubscribeResponse]
	uncredited uint32
}

func (s *subscribeSource) open(ctx context.Context, conn grpc.ClientConnInterface) error {
	stream, err := salav1.NewEventServiceClient(conn).Subscribe(ctx)
	if err != nil {
		return err
	}
	s.stream, s.uncredited = stream, 0
	// If Send fails, Recv returns a better error.
	_ = stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: s.start}})
	return nil
}

func (s *subscribeSource) next() (tailMessage, error) {
	response, err := s.stream.Recv()
	if err != nil {
		return tailMessage{}, err
	}
	m := tailMessage{started: response.GetStarted() != nil}
	event := response.GetEvent()
	if event == nil {
		return m, nil
	}
	m.print = func(p *eventPrinter) error { return p.print(event) }
	s.uncredited++
	if s.uncredited == tailCredits/2 {
		_ = s.stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Credit{Credit: &salav1.EventCredit{Credits: s.uncredited}}})
		s.uncredited = 0
	}
	return m, nil
}

// outcomeSource is a tail that knows what became of the events.
type outcomeSource struct {
	request *salav1.TailRequest
	stream  grpc.ServerStreamingClient[salav1.TailResponse]
	missing []string // nodes of which it has told
}

func (s *outcomeSource) open(ctx context.Context, conn grpc.ClientConnInterface) (err error) {
	s.missing = nil
	s.stream, err = salav1.NewObserveServiceClient(conn).Tail(ctx, s.request)
	return err
}

func (s *outcomeSource) next() (tailMessage, error) {
	response, err := s.stream.Recv()
	if err != nil {
		return tailMessage{}, err
	}
	switch r := response.GetResponse().(type) {
	case *salav1.TailResponse_Status:
		return tailMessage{started: true, note: s.missingNodes(r.Status)}, nil
	case *salav1.TailResponse_Missed:
		return tailMessage{note: fmt.Sprintf("%d events are missing here, because there were too many at once", r.Missed.GetEvents())}, nil
	case *salav1.TailResponse_Event:
		if isDone(r.Event) {
			return tailMessage{}, nil
		}
		return tailMessage{print: func(p *eventPrinter) error { return p.printTail(r.Event) }}, nil
	}
	return tailMessage{}, nil
}

// isDone reports whether an event says only that the broker did what a client asked for. That a
// client joins or leaves has an event of its own.
func isDone(e *salav1.TailEvent) bool {
	return e.GetOutcome().GetResult() == salav1.OutcomeResult_OUTCOME_RESULT_DONE
}

// missingNodes says which nodes the stream lacks, if that has changed.
func (s *outcomeSource) missingNodes(status *salav1.TailStatus) string {
	if slices.Equal(s.missing, status.GetMissingNodes()) {
		return ""
	}
	s.missing = status.GetMissingNodes()
	if len(s.missing) == 0 {
		return "all nodes report again"
	}
	return "these nodes don't report outcomes, because they don't answer or run an older release: " + cell(strings.Join(s.missing, ", "))
}
