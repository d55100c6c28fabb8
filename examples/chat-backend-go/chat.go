package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// callTimeout bounds a call to Sala. It is shorter than the deadline of the ack that
// waits for the result.
const callTimeout = 5 * time.Second

// chat implements the rules of the chat.
type chat struct {
	store            *store
	messages         salav1.MessageServiceClient
	sockets          salav1.SocketServiceClient
	banned, unwanted []string
}

// handle returns the answer to an event, or nil if the event needs none.
func (c *chat) handle(ctx context.Context, e *salav1.ClientEvent) *salav1.SubscribeRequest {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if e.GetNeedsDecision() {
		return &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Decision{Decision: c.decide(e)}}
	}
	var reply *salav1.EventReply
	switch e.GetEvent() {
	case "say":
		reply = c.say(ctx, e)
	case "history":
		reply = c.history(ctx, e)
	case "avatar": // return the binary data unchanged
		reply = &salav1.EventReply{ArgsJson: e.GetArgsJson(), Attachments: e.GetAttachments()}
	default: // a client has connected
		return nil
	}
	if !e.GetNeedsAck() {
		return nil
	}
	reply.DeliveryId = e.GetDeliveryId()
	return &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Reply{Reply: reply}}
}

// decide accepts everyone who isn't banned, and puts them into the lobby.
func (c *chat) decide(e *salav1.ClientEvent) *salav1.EventDecision {
	if slices.Contains(c.banned, strings.ToLower(e.GetSocket().GetUser())) {
		return &salav1.EventDecision{DeliveryId: e.GetDeliveryId(), Decision: &salav1.EventDecision_Refuse{
			Refuse: &salav1.EventError{Code: "BANNED", Message: "you are banned from this chat"},
		}}
	}
	return &salav1.EventDecision{DeliveryId: e.GetDeliveryId(), Decision: &salav1.EventDecision_Accept{
		Accept: &salav1.EventAccept{Rooms: []string{"lobby"}},
	}}
}

// say stores {room, text} and sends it to the room. It may be called twice with the
// same delivery, and the first call may have failed at any point. The store therefore
// keeps the message once, and clients ignore an id that they already have.
func (c *chat) say(ctx context.Context, e *salav1.ClientEvent) *salav1.EventReply {
	var said struct{ Room, Text string }
	if !argument(e, &said) || said.Room == "" || said.Text == "" {
		return failed("INVALID_ARGUMENT", "send {room, text}")
	}
	for _, word := range strings.Fields(strings.ToLower(said.Text)) {
		if slices.Contains(c.unwanted, strings.Trim(word, ".,;:!?")) {
			return failed("MODERATED", "mind your language")
		}
	}
	speaker, err := c.sockets.GetSocket(ctx, &salav1.GetSocketRequest{Id: e.GetSocket().GetId()})
	if err != nil || !slices.Contains(speaker.GetSocket().GetRooms(), said.Room) {
		return failed("NOT_IN_ROOM", "join the room first")
	}
	m, err := c.store.add(ctx, e.GetDeliveryId(), message{
		Room: said.Room, User: e.GetSocket().GetUser(), Text: said.Text, At: e.GetTime().AsTime().UnixMilli(),
	})
	if err == nil {
		_, err = c.messages.Emit(ctx, &salav1.EmitRequest{
			Namespace: e.GetNamespace(), Rooms: []string{m.Room}, Event: "said", ArgsJson: jsonArray(m),
		})
	}
	if err != nil {
		slog.Error("cannot store or send a message", "error", err)
		return failed("UNAVAILABLE", "try again in a moment")
	}
	return &salav1.EventReply{ArgsJson: jsonArray(map[string]int64{"id": m.ID, "at": m.At})}
}

// history answers {room} with the room's last messages, oldest first.
func (c *chat) history(ctx context.Context, e *salav1.ClientEvent) *salav1.EventReply {
	var wanted struct{ Room string }
	if !argument(e, &wanted) || wanted.Room == "" {
		return failed("INVALID_ARGUMENT", "send {room}")
	}
	last, err := c.store.last(ctx, wanted.Room)
	if err != nil {
		slog.Error("cannot read the history", "error", err)
		return failed("UNAVAILABLE", "try again in a moment")
	}
	return &salav1.EventReply{ArgsJson: jsonArray(last)}
}

// argument decodes the first argument of an event into the given value.
func argument(e *salav1.ClientEvent, into any) bool {
	var args []json.RawMessage
	return json.Unmarshal([]byte(e.GetArgsJson()), &args) == nil && len(args) > 0 && json.Unmarshal(args[0], into) == nil
}

// jsonArray returns a JSON array with v as its only element.
func jsonArray(v any) string {
	text, err := json.Marshal([]any{v})
	if err != nil {
		return "[]" // unreachable: all values passed here can be encoded
	}
	return string(text)
}

// failed returns a reply that the client gets as {error: {code, message}}.
func failed(code, text string) *salav1.EventReply {
	return &salav1.EventReply{Error: &salav1.EventError{Code: code, Message: text}}
}
