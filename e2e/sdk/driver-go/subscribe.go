package main

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"

	"github.com/salabroker/sala/sdk/go"
)

// subscription are the parameters of subscribe.
type subscription struct {
	Group       string              `json:"group"`
	Namespaces  []string            `json:"namespaces"`
	Concurrency int                 `json:"concurrency"`
	Credits     int                 `json:"credits"`
	GraceMs     int                 `json:"graceMs"`
	On          map[string]string   `json:"on"`
	Kinds       []string            `json:"kinds"`
	Decide      map[string]decision `json:"decide"`
}

// decision is what the decision handler returns for a user.
type decision struct {
	word   string // "nothing" or "crash"
	Accept *struct {
		Rooms []string `json:"rooms"`
		Data  any      `json:"data"`
	} `json:"accept"`
	Refuse *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"refuse"`
}

// errSecret is an error that no client may see.
var errSecret = errors.New("a secret of the handler")

// subscribe starts a subscription with the handlers that the command describes.
func (d *driver) subscribe(c command) error {
	s := d.client.NewSubscriber(c.Group)
	s.Namespaces, s.Concurrency, s.Credits, s.Grace = c.Namespaces, c.Concurrency, c.Credits, milliseconds(c.GraceMs)
	for event, behaviour := range c.On {
		s.On(event, d.handler(behaviour))
	}
	setters := map[string]func(sala.EventHandler){
		"connect": s.OnConnect, "disconnect": s.OnDisconnect, "away": s.OnAway, "resumed": s.OnResumed,
		"join": s.OnJoin, "leave": s.OnLeave, "room_opened": s.OnRoomOpened, "room_closed": s.OnRoomClosed,
		"user_online": s.OnUserOnline, "user_offline": s.OnUserOffline, "user_joined": s.OnUserJoined, "user_left": s.OnUserLeft,
	}
	for _, kind := range c.Kinds {
		setters[kind](func(_ context.Context, e *sala.Event) error {
			d.handling(string(e.Kind), e)
			d.handled(string(e.Kind), e)
			return nil
		})
	}
	if c.Decide != nil {
		s.Decide(d.decider(c.Decide))
	}
	s.OnStarted(func(started sala.Started) {
		d.write(map[string]any{"event": "started", "partial": started.Partial, "missingNodes": started.MissingNodes})
	})
	s.OnReconnect(func(r sala.Reconnect) {
		d.write(map[string]any{"event": "reconnect", "reason": reason(r.Cause), "gapMs": r.Gap.Milliseconds(), "undelivered": r.Undelivered})
	})
	s.OnRejected(func(r sala.Rejected) {
		d.write(map[string]any{"event": "rejected", "reason": r.Reason, "delivery": r.DeliveryID})
	})
	ctx, cancel := context.WithCancel(d.ctx)
	d.leave, d.ended = cancel, make(chan struct{})
	go func() {
		defer close(d.ended)
		line := map[string]any{"event": "ended"}
		if err := s.Run(ctx); err != nil {
			line["error"] = describe(err)
		}
		d.write(line)
	}()
	return nil
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	if reason := sala.ReasonOf(err); reason != "" {
		return reason
	}
	return code.Code(sala.CodeOf(err)).String()
}

// handler returns a handler that behaves as the protocol says.
func (d *driver) handler(behaviour string) sala.MessageHandler {
	return func(ctx context.Context, e *sala.Event) (any, error) {
		d.handling("message", e)
		defer d.handled("message", e)
		args, err := e.Args.Values()
		if err != nil {
			return nil, err
		}
		args = append(args, nil)
		first := args[0]
		args = args[:len(args)-1]
		switch behaviour {
		case "echo":
			return sala.Ack(args), nil
		case "first":
			return first, nil
		case "refuse":
			return nil, sala.Refuse("MODERATED", "mind your language")
		case "crash":
			return nil, errSecret
		case "large":
			return strings.Repeat("x", 2_000_000), nil
		case "hold":
			return first, d.hold(ctx, first)
		case "forward":
			return nil, forward(ctx, e, args)
		}
		return nil, nil
	}
}

// forward emits an event to its socket and to the room that is its first argument.
func forward(ctx context.Context, e *sala.Event, args []any) error {
	if _, err := e.Emit(ctx, "forwarded", args...); err != nil {
		return err
	}
	room, _ := args[0].(string)
	_, err := e.To(room).Emit(ctx, "forwarded", args...)
	return err
}

// decider returns a decision handler that decides by user.
func (d *driver) decider(decisions map[string]decision) sala.DecideHandler {
	return func(_ context.Context, e *sala.Event) (*sala.Accept, error) {
		d.handling("decide", e)
		defer d.handled("decide", e)
		chosen, ok := decisions[e.User]
		if !ok {
			chosen = decisions["*"]
		}
		switch {
		case chosen.Accept != nil:
			return &sala.Accept{Rooms: chosen.Accept.Rooms, Data: chosen.Accept.Data}, nil
		case chosen.Refuse != nil:
			return nil, sala.Refuse(chosen.Refuse.Code, chosen.Refuse.Message)
		case chosen.word == "crash":
			return nil, errSecret
		}
		return nil, nil
	}
}

func (d *driver) handling(kind string, e *sala.Event) {
	line := d.line("handling", kind, e)
	line["user"], line["namespace"], line["room"], line["reason"] = e.User, e.Namespace, e.Room, e.Reason
	line["needsAck"], line["redelivered"] = e.NeedsAck, e.Redelivered
	if e.Socket != nil {
		line["data"] = e.Socket.Data
	}
	d.write(line)
}

func (d *driver) handled(kind string, e *sala.Event) { d.write(d.line("handled", kind, e)) }

func (d *driver) line(event, kind string, e *sala.Event) map[string]any {
	line := map[string]any{"event": event, "kind": kind, "name": e.Name, "delivery": e.DeliveryID}
	if e.Socket != nil {
		line["socket"] = e.Socket.ID
	}
	if values, err := e.Args.Values(); err == nil {
		line["args"] = encode(values)
	}
	return line
}

// encode replaces binary data, which JSON can't hold.
func encode(value any) any {
	switch value := value.(type) {
	case []byte:
		return map[string]any{"$bin": base64.StdEncoding.EncodeToString(value)}
	case []any:
		items := make([]any, len(value))
		for i, item := range value {
			items[i] = encode(item)
		}
		return items
	case map[string]any:
		object := make(map[string]any, len(value))
		for key, item := range value {
			object[key] = encode(item)
		}
		return object
	}
	return value
}

// decode is the reverse of encode.
func decode(value any) any {
	switch value := value.(type) {
	case []any:
		items := make([]any, len(value))
		for i, item := range value {
			items[i] = decode(item)
		}
		return items
	case map[string]any:
		if text, ok := value["$bin"].(string); ok {
			data, err := base64.StdEncoding.DecodeString(text)
			if err == nil {
				return data
			}
		}
		object := make(map[string]any, len(value))
		for key, item := range value {
			object[key] = decode(item)
		}
		return object
	}
	return value
}
