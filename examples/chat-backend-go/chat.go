package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/salabroker/sala/sdk/go"
)

// callTimeout bounds the work on an event. It is shorter than the deadline of the ack that waits for
// the result.
const callTimeout = 5 * time.Second

// chat implements the rules of the chat.
type chat struct {
	store            *store
	client           *sala.Client
	banned, unwanted []string
}

// subscribe sets the handlers of the chat.
func (c *chat) subscribe(events *sala.Subscriber) {
	events.Decide(c.decide)
	events.On("say", c.say)
	events.On("history", c.history)
	events.On("avatar", avatar)
}

// decide accepts everyone who isn't banned, and puts them into the lobby.
func (c *chat) decide(_ context.Context, e *sala.Event) (*sala.Accept, error) {
	if slices.Contains(c.banned, strings.ToLower(e.User)) {
		return nil, sala.Refuse("BANNED", "you are banned from this chat")
	}
	return &sala.Accept{Rooms: []string{"lobby"}}, nil
}

// say stores {room, text} and sends it to the room. It may be called twice with the same delivery, and
// the first call may have failed at any point. The store therefore keeps the message once, and so does
// the broker, which knows it by its key.
func (c *chat) say(ctx context.Context, e *sala.Event) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var said struct{ Room, Text string }
	if err := e.Scan(&said); err != nil {
		return nil, err
	}
	if said.Room == "" || said.Text == "" {
		return nil, sala.Refuse("INVALID_ARGUMENT", "send {room, text}")
	}
	for _, word := range strings.Fields(strings.ToLower(said.Text)) {
		if slices.Contains(c.unwanted, strings.Trim(word, ".,;:!?")) {
			return nil, sala.Refuse("MODERATED", "mind your language")
		}
	}
	speaker, err := c.client.Socket(ctx, e.Socket.ID)
	if err != nil || !slices.Contains(speaker.Rooms, said.Room) {
		return nil, sala.Refuse("NOT_IN_ROOM", "join the room first")
	}
	m, err := c.store.add(ctx, e.DeliveryID, message{
		Room: said.Room, User: e.User, Text: said.Text, At: e.Time.UnixMilli(),
	})
	if err == nil {
		_, err = e.To(m.Room).IdempotencyKey("chat-"+e.DeliveryID).Emit(ctx, "said", m)
	}
	if err != nil {
		return nil, unavailable("cannot store or send a message", err)
	}
	return map[string]int64{"id": m.ID, "at": m.At}, nil
}

// history answers {room} with the room's last messages, oldest first.
func (c *chat) history(ctx context.Context, e *sala.Event) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var wanted struct{ Room string }
	if err := e.Scan(&wanted); err != nil {
		return nil, err
	}
	if wanted.Room == "" {
		return nil, sala.Refuse("INVALID_ARGUMENT", "send {room}")
	}
	last, err := c.store.last(ctx, wanted.Room)
	if err != nil {
		return nil, unavailable("cannot read the history", err)
	}
	return last, nil
}

// avatar returns the binary data unchanged.
func avatar(_ context.Context, e *sala.Event) (any, error) {
	values, err := e.Args.Values()
	return sala.Ack(values), err
}

// unavailable logs what has failed, and tells the client to try again.
func unavailable(what string, err error) error {
	slog.Error(what, "error", err)
	return sala.Refuse("UNAVAILABLE", "try again in a moment")
}
