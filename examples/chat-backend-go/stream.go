package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// credits is how many events may be on their way here. Each that has been
// handled is worth another.
const credits = 100

// serve opens a stream and handles its events, one after the other, which keeps
// what a client says in order. When ctx ends it leaves in good order.
func serve(ctx context.Context, events salav1.EventServiceClient, c *chat) error {
	// The stream outlives ctx by as long as leaving takes.
	streaming, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stream, err := events.Subscribe(streaming)
	if err != nil {
		return err
	}
	received := make(chan *salav1.SubscribeResponse)
	ended := make(chan error, 1)
	go func() {
		for {
			response, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case received <- response:
			case <-streaming.Done():
			}
		}
	}()

	send := func(request *salav1.SubscribeRequest) { _ = stream.Send(request) } // its error is Recv's too
	send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{
		Group:   "chat", // several of these programs share the work
		Kinds:   []salav1.EventKind{salav1.EventKind_EVENT_KIND_CONNECT, salav1.EventKind_EVENT_KIND_MESSAGE},
		Events:  []string{"say", "history", "avatar"},
		Decide:  true,
		Credits: credits,
	}}})
	leave, leaving := ctx.Done(), false
	for {
		select {
		case <-leave:
			// What was handed out before still comes. What needs an answer is
			// another member's then.
			leave, leaving = nil, true
			_ = stream.CloseSend()
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case response := <-received:
			switch r := response.GetResponse().(type) {
			case *salav1.SubscribeResponse_Started:
				slog.Info("listening")
			case *salav1.SubscribeResponse_Rejected:
				slog.Warn("an answer came to nothing", "delivery", r.Rejected.GetDeliveryId(), "reason", r.Rejected.GetReason(), "message", r.Rejected.GetMessage())
			case *salav1.SubscribeResponse_Event:
				if leaving && (r.Event.GetNeedsAck() || r.Event.GetNeedsDecision()) {
					continue
				}
				if answer := c.handle(streaming, r.Event); answer != nil {
					send(answer)
				}
				send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Credit{Credit: &salav1.EventCredit{Credits: 1}}})
			}
		}
	}
}
