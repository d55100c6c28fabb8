package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/panics"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// maxSubscriptionsOfKey bounds the subscriptions of an API key to half of what a node may
// have in total.
const maxSubscriptionsOfKey = 500

// deliveryBatch is how many events are taken from the broker at a time.
const deliveryBatch = 128

// maxRejections is how many rejections may wait to be sent. While there are as many, no
// request is read.
const maxRejections = 64

// lastSendGrace is how long a subscriber may take to read the last events after its
// subscription has ended.
const lastSendGrace = 5 * time.Second

type eventService struct {
	salav1.UnimplementedEventServiceServer
	broker Broker
}

type subscribeStream = grpc.BidiStreamingServer[salav1.SubscribeRequest, salav1.SubscribeResponse]

// subscriber is one Subscribe stream.
type subscriber struct {
	broker   Broker
	stream   subscribeStream
	opened   chan *broker.Subscription // receives the subscription when the start has been read
	started  *salav1.SubscribeStart    // may be read after opened, or after read has returned
	rejected chan *salav1.EventRejected
}

// Subscribe implements salav1.EventServiceServer.
//
// One goroutine reads, one writes, and this one waits for whatever ends the stream, so that
// it depends neither on a backend that sends nothing nor on one that reads nothing. Both
// end with the stream, when Subscribe has returned.
func (s *eventService) Subscribe(stream subscribeStream) error {
	ctx := stream.Context()
	call := callOf(ctx)
	if err := call.subscribe(); err != nil {
		return err
	}
	defer call.unsubscribe()
	c := &subscriber{
		broker:   s.broker,
		stream:   stream,
		opened:   make(chan *broker.Subscription, 1),
		rejected: make(chan *salav1.EventRejected, maxRejections),
	}
	defer c.closeUnused()
	read := guarded(c.read)
	var sub *broker.Subscription
	select {
	case sub = <-c.opened:
		auditOf(ctx).asked(c.started)
	case err := <-read:
		auditOf(ctx).asked(c.started)
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer sub.Close()
	written := guarded(func() error { return c.write(sub) })
	select {
	case err := <-read:
		if err != nil {
			return err
		}
		sub.Close() // the backend sends nothing more
		return c.last(sub, written)
	case err := <-written:
		return err
	case <-sub.Done():
		return c.last(sub, written)
	case <-ctx.Done():
		sub.Close()
		if err := c.last(sub, written); err != nil {
			return err
		}
		return context.Cause(ctx)
	}
}

// subscribe counts a subscription of the key, or returns an error if it has too many.
func (c *call) subscribe() error {
	if c.caller == nil || c.caller.Subscriptions.Add(1) <= maxSubscriptionsOfKey {
		return nil
	}
	c.unsubscribe()
	c.server.metrics.refuse(refusedSubscriptions)
	return &broker.Error{
		Code:    broker.CodeResourceExhausted,
		Reason:  eventhub.ReasonTooManySubscriptions,
		Message: fmt.Sprintf("the API key %q has %d subscriptions, which is the limit; end one first", c.caller.Name(), maxSubscriptionsOfKey),
	}
}

func (c *call) unsubscribe() {
	if c.caller != nil {
		c.caller.Subscriptions.Add(-1)
	}
}

// closeUnused closes a subscription that was opened while the stream was ending.
func (c *subscriber) closeUnused() {
	select {
	case sub := <-c.opened:
		sub.Close()
	default:
	}
}

// guarded runs f in a goroutine and turns a panic into an error.
func guarded(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("panic: %s\n%s", panics.Describe(p), debug.Stack())
			}
		}()
		done <- f()
	}()
	return done
}

// last waits until an ended subscription has sent its last events. It doesn't stop with the
// context: if the backend is gone, sending fails by itself, and if the server shuts down, the
// last events should still arrive.
func (c *subscriber) last(sub *broker.Subscription, written <-chan error) error {
	grace := time.NewTimer(lastSendGrace)
	defer grace.Stop()
	err := sub.Err()
	select {
	case err = <-written:
	case <-grace.C: // the backend doesn't read
	}
	var failed *broker.Error
	if errors.As(err, &failed) && failed.Reason == eventhub.ReasonClosed {
		return nil
	}
	return err
}

// read opens the subscription and handles the backend's requests until it closes its side.
func (c *subscriber) read() error {
	call := callOf(c.stream.Context())
	defer call.release()
	req, err := c.stream.Recv()
	if err != nil {
		return orEnd(err)
	}
	if err := refusalOf(req); err != nil {
		return err
	}
	sub, err := c.start(req.GetStart())
	if err != nil {
		return err
	}
	c.opened <- sub
	if c.stream.Context().Err() != nil { // Subscribe may have returned
		c.closeUnused()
	}
	for {
		call.release()
		req, err := c.stream.Recv()
		if err != nil {
			return orEnd(err)
		}
		if err := c.handle(sub, req); err != nil {
			return err
		}
	}
}

// orEnd returns nil for io.EOF.
func orEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (c *subscriber) start(start *salav1.SubscribeStart) (*broker.Subscription, error) {
	if start == nil {
		return nil, apierror.Invalid(broker.FieldViolation{Field: "start", Description: "the first request of a stream is start"})
	}
	kinds, err := eventKinds(start.GetKinds())
	if err != nil {
		return nil, err
	}
	c.started = start
	reach := reachOf(c.stream.Context())
	namespaces, err := reach.Subscribed(start.GetNamespaces())
	if err != nil {
		return nil, err
	}
	sub, err := c.broker.Subscribe(broker.SubscribeOptions{
		Group:      start.GetGroup(),
		Namespaces: namespaces,
		Events:     start.GetEvents(),
		Kinds:      kinds,
		Credits:    int(start.GetCredits()),
		Decide:     start.GetDecide(),
		Observe:    start.GetObserve(),
		Owner:      reach.Owner(),
	})
	return sub, apierror.WithPrefix("start.", err)
}

// handle carries out a request. An error ends the stream.
func (c *subscriber) handle(sub *broker.Subscription, req *salav1.SubscribeRequest) error {
	if err := refusalOf(req); err != nil {
		id := cmp.Or(req.GetReply().GetDeliveryId(), req.GetDecision().GetDeliveryId())
		return c.answered(sub, id, err)
	}
	switch r := req.GetRequest().(type) {
	case *salav1.SubscribeRequest_Reply:
		return c.answered(sub, r.Reply.GetDeliveryId(), reply(sub, r.Reply))
	case *salav1.SubscribeRequest_Decision:
		return c.answered(sub, r.Decision.GetDeliveryId(), decide(sub, r.Decision))
	case *salav1.SubscribeRequest_Credit:
		return apierror.WithPrefix("credit.", sub.Credit(int(r.Credit.GetCredits())))
	case *salav1.SubscribeRequest_Start:
		return apierror.Invalid(broker.FieldViolation{Field: "start", Description: "the stream has started; open another for another subscription"})
	}
	return apierror.Invalid(broker.FieldViolation{Field: "request", Description: "the request is none of reply, decision and credit"})
}

// answered tells the backend if its reply or decision was rejected with err. It returns an
// error, which ends the stream, if the subscription has ended.
func (c *subscriber) answered(sub *broker.Subscription, id string, err error) error {
	if err == nil {
		return nil
	}
	if ended := sub.Err(); ended != nil {
		return ended
	}
	failed := apierror.Classify(err)
	rejected := &salav1.EventRejected{
		DeliveryId: id,
		Code:       uint32(failed.Code),
		Reason:     failed.ReasonOrCode(),
		Message:    failed.Message,
	}
	ctx := c.stream.Context()
	select {
	case c.rejected <- rejected:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func reply(sub *broker.Subscription, r *salav1.EventReply) error {
	id, err := deliveryID(r.GetDeliveryId())
	if err != nil {
		return err
	}
	args, err := eventArgs(r)
	if err != nil {
		return err
	}
	err = sub.Reply(id, eventhub.Reply{
		Error:       eventFailure(r.GetError()),
		Args:        args,
		Attachments: r.GetAttachments(),
	})
	if err != nil && r.GetArgsJson() != "" {
		err = apierror.WithFieldRenamed(err, "args", "args_json")
	}
	return err
}

func decide(sub *broker.Subscription, d *salav1.EventDecision) error {
	id, err := deliveryID(d.GetDeliveryId())
	if err != nil {
		return err
	}
	switch made := d.GetDecision().(type) {
	case *salav1.EventDecision_Accept:
		data, err := valueJSON("accept.data", made.Accept.GetData())
		if err != nil {
			return err
		}
		return sub.Decide(id, eventhub.Decision{Rooms: made.Accept.GetRooms(), Data: data})
	case *salav1.EventDecision_Refuse:
		return sub.Decide(id, eventhub.Decision{Refusal: eventFailure(made.Refuse)})
	}
	return apierror.Invalid(broker.FieldViolation{Field: "decision", Description: "there is none; set accept or refuse"})
}

// write sends the events and rejections of the subscription until it ends.
func (c *subscriber) write(sub *broker.Subscription) error {
	partial := c.broker.AwaitSubscribed(c.stream.Context())
	err := c.stream.Send(&salav1.SubscribeResponse{Response: &salav1.SubscribeResponse_Started{
		Started: &salav1.SubscribeStarted{Partial: partial.Partial, MissingNodes: partial.Missing},
	}})
	if err != nil {
		return err
	}
	var (
		message = newDeliveryMessage()
		batch   = make([]eventhub.Delivery, deliveryBatch)
	)
	for {
		n, ended := sub.Take(batch)
		for _, d := range batch[:n] {
			if err := c.stream.Send(message.of(d)); err != nil {
				return err
			}
		}
		clear(batch[:n])
		if err := c.sendRejections(); err != nil {
			return err
		}
		switch {
		case ended != nil:
			return ended
		case n > 0:
			continue
		}
		select {
		case r := <-c.rejected:
			if err := c.sendRejected(r); err != nil {
				return err
			}
		case <-sub.Ready():
		case <-sub.Done():
		case <-c.stream.Context().Done():
			return context.Cause(c.stream.Context())
		}
	}
}

// sendRejections sends the rejections that wait.
func (c *subscriber) sendRejections() error {
	for {
		select {
		case r := <-c.rejected:
			if err := c.sendRejected(r); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (c *subscriber) sendRejected(r *salav1.EventRejected) error {
	return c.stream.Send(&salav1.SubscribeResponse{Response: &salav1.SubscribeResponse_Rejected{Rejected: r}})
}
