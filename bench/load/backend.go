package load

import (
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/process"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// ClientEvent is the event that clients send. Its ack returns its argument.
	ClientEvent = "work"
	// Credits is how many events may be on their way to a backend. It renews half of them at a
	// time.
	Credits = 4096
)

// AppendEvent appends the packet of a client's event with an ack of the same number.
func AppendEvent(b []byte, number uint64, payload []byte) []byte {
	return fmt.Appendf(b, `42%d[%q,%s]`, number, ClientEvent, payload)
}

// Subscription is a stream of clients' events to one member of the group that all backends are in.
type Subscription struct {
	conn   *grpc.ClientConn
	stream grpc.BidiStreamingClient[salav1.SubscribeRequest, salav1.SubscribeResponse]
	used   int // credits since the last renewal
}

// Subscribe returns once the subscription has started.
func Subscribe(ctx context.Context, t *process.Target) (*Subscription, error) {
	conn, err := t.DialControl()
	if err != nil {
		return nil, err
	}
	s := &Subscription{conn: conn}
	s.stream, err = salav1.NewEventServiceClient(conn).Subscribe(t.Authorize(ctx))
	if err == nil {
		err = s.stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{
			Group: "bench", Events: []string{ClientEvent}, Kinds: []salav1.EventKind{salav1.EventKind_EVENT_KIND_MESSAGE}, Credits: Credits,
		}}})
	}
	if err == nil {
		_, err = s.stream.Recv() // says that it has started
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	return s, nil
}

// Next returns the next event.
func (s *Subscription) Next() (*salav1.ClientEvent, error) {
	response, err := s.stream.Recv()
	if err != nil {
		return nil, fmt.Errorf("the event stream: %w", err)
	}
	if response.GetEvent() == nil {
		return nil, fmt.Errorf("the event stream: %v", response)
	}
	return response.GetEvent(), nil
}

// Answer answers an event with its own arguments. It may run concurrently with Next, but not with
// itself.
func (s *Subscription) Answer(event *salav1.ClientEvent) error {
	err := s.stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Reply{Reply: &salav1.EventReply{
		DeliveryId: event.GetDeliveryId(), ArgsJson: event.GetArgsJson(),
	}}})
	s.used++
	if err == nil && s.used == Credits/2 {
		s.used = 0
		err = s.stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Credit{Credit: &salav1.EventCredit{Credits: Credits / 2}}})
	}
	if err != nil {
		return fmt.Errorf("the event stream: %w", err)
	}
	return nil
}

// Close ends the subscription.
func (s *Subscription) Close() { s.conn.Close() }

// Backend answers events immediately, in this process.
type Backend struct {
	subscription *Subscription
	closed       atomic.Bool
	ended        chan error
}

// NewBackend subscribes and answers events until it is closed.
func NewBackend(ctx context.Context, t *process.Target) (*Backend, error) {
	s, err := Subscribe(ctx, t)
	if err != nil {
		return nil, err
	}
	b := &Backend{subscription: s, ended: make(chan error, 1)}
	go func() { b.ended <- b.run() }()
	return b, nil
}

func (b *Backend) run() error {
	for {
		event, err := b.subscription.Next()
		if err == nil {
			err = b.subscription.Answer(event)
		}
		if err != nil {
			if b.closed.Load() {
				return nil
			}
			return err
		}
	}
}

// Close ends the stream and returns why it had ended before, if it had.
func (b *Backend) Close() error {
	b.closed.Store(true)
	b.subscription.Close()
	return <-b.ended
}
