package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// credits is how many events the broker may send ahead. Each handled event grants
// one more.
const credits = 100

// serve opens a stream and handles its events one after another, which keeps each
// client's events in order. When ctx ends, it leaves gracefully.
func serve(ctx context.Context, events salav1.EventServiceClient, c *chat) error {
	// The stream outlives ctx until the program has left.
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

	send := func(request *salav1.SubscribeRequest) { _ = stream.Send(request) } // Recv returns the error
	send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{
		Group:   "chat", // programs that subscribe with the same group share the work
		Kinds:   []salav1.EventKind{salav1.EventKind_EVENT_KIND_CONNECT, salav1.EventKind_EVENT_KIND_MESSAGE},
		Events:  []string{"say", "history", "avatar"},
		Decide:  true,
		Credits: credits,
	}}})
	leave, leaving := ctx.Done(), false
	for {
		select {
		case <-leave:
			// Events that the broker has already sent still arrive. It gives those
			// that need an answer to another member.
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
				slog.Warn("the broker rejected an answer", "delivery", r.Rejected.GetDeliveryId(), "reason", r.Rejected.GetReason(), "message", r.Rejected.GetMessage())
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
