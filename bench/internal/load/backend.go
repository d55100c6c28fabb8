package load

import (
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// credits is how many events may be on their way to a backend; half of them are renewed at a time.
const credits = 4096

// subscription is a stream of events from Sala, to a member of the one group that all backends are in.
type subscription struct {
	conn   *grpc.ClientConn
	stream grpc.BidiStreamingClient[salav1.SubscribeRequest, salav1.SubscribeResponse]
	used   int // credits, since the last were renewed
}

// subscribe returns once the subscription is there.
func subscribe(ctx context.Context, j *job.Job) (*subscription, error) {
	conn, err := dialControl(j)
	if err != nil {
		return nil, err
	}
	s := &subscription{conn: conn}
	s.stream, err = salav1.NewEventServiceClient(conn).Subscribe(authorized(ctx, j))
	if err == nil {
		err = s.stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{
			Group: "bench", Events: []string{clientEvent}, Kinds: []salav1.EventKind{salav1.EventKind_EVENT_KIND_MESSAGE}, Credits: credits,
		}}})
	}
	if err == nil {
		_, err = s.stream.Recv() // it has started
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	return s, nil
}

// next returns the next event.
func (s *subscription) next() (*salav1.ClientEvent, error) {
	response, err := s.stream.Recv()
	if err != nil {
		return nil, fmt.Errorf("the event stream: %w", err)
	}
	if response.GetEvent() == nil {
		return nil, fmt.Errorf("the event stream: %v", response)
	}
	return response.GetEvent(), nil
}

// answer answers an event with its own arguments. It may be called while next is, but not by several goroutines.
func (s *subscription) answer(event *salav1.ClientEvent) error {
	err := s.stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Reply{Reply: &salav1.EventReply{
		DeliveryId: event.GetDeliveryId(), ArgsJson: event.GetArgsJson(),
	}}})
	if s.used++; err == nil && s.used == credits/2 {
		s.used = 0
		err = s.stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Credit{Credit: &salav1.EventCredit{Credits: credits / 2}}})
	}
	if err != nil {
		return fmt.Errorf("the event stream: %w", err)
	}
	return nil
}

// backend answers the events that Sala passes on at once, in this process.
type backend struct {
	*subscription
	closed atomic.Bool
	ended  chan error
}

func newBackend(ctx context.Context, j *job.Job) (*backend, error) {
	s, err := subscribe(ctx, j)
	if err != nil {
		return nil, err
	}
	b := &backend{subscription: s, ended: make(chan error, 1)}
	go func() { b.ended <- b.run() }()
	return b, nil
}

func (b *backend) run() error {
	for {
		event, err := b.next()
		if err == nil {
			err = b.answer(event)
		}
		if err != nil {
			if b.closed.Load() {
				return nil
			}
			return err
		}
	}
}

// close ends the stream and returns why it ended before, if it did.
func (b *backend) close() error {
	b.closed.Store(true)
	b.conn.Close()
	return <-b.ended
}
