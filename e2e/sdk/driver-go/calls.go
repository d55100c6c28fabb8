package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/salabroker/sala/sdk/go"
)

// call are the parameters of the calls.
type call struct {
	Namespace     string   `json:"namespace"`
	Rooms         []string `json:"rooms"`
	Users         []string `json:"users"`
	Sockets       []string `json:"sockets"`
	ExceptRooms   []string `json:"exceptRooms"`
	ExceptUsers   []string `json:"exceptUsers"`
	ExceptSockets []string `json:"exceptSockets"`

	Event          string `json:"event"`
	Args           []any  `json:"args"`
	Volatile       bool   `json:"volatile"`
	SkipHistory    bool   `json:"skipHistory"`
	ConflateKey    string `json:"conflateKey"`
	IdempotencyKey string `json:"idempotencyKey"`
	Retry          *bool  `json:"retry"`
	TimeoutMs      int    `json:"timeoutMs"`
}

// target returns the target that the parameters describe.
func (c call) target(client *sala.Client) sala.Target {
	t := client.Namespace(c.Namespace).To(c.Rooms...).ToUsers(c.Users...).ToSockets(c.Sockets...).
		Except(c.ExceptRooms...).ExceptUsers(c.ExceptUsers...).ExceptSockets(c.ExceptSockets...)
	if c.Volatile {
		t = t.Volatile()
	}
	if c.SkipHistory {
		t = t.SkipHistory()
	}
	if c.Retry != nil && !*c.Retry {
		t = t.NoRetry()
	}
	return t.ConflateKey(c.ConflateKey).IdempotencyKey(c.IdempotencyKey)
}

func (d *driver) do(c command) (any, error) {
	ctx := d.ctx
	if c.TimeoutMs > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, milliseconds(c.TimeoutMs))
		defer cancel()
	}
	args, _ := decode(c.Args).([]any)
	switch c.Do {
	case "dial":
		return nil, d.dial(c)
	case "close":
		return nil, d.client.Close()
	case "subscribe":
		return nil, d.subscribe(c)
	case "stop":
		d.leave()
		<-d.ended
		return nil, nil
	case "release":
		close(d.released(c.Value))
		return nil, nil
	case "emit":
		return emitted(c.target(d.client).Emit(ctx, c.Event, args...))
	case "broadcast":
		return emitted(c.target(d.client).Broadcast(ctx, c.Event, args...))
	}
	return nil, fmt.Errorf("there is no command %q", c.Do)
}

func emitted(r *sala.EmitResult, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	positions := []map[string]any{}
	for _, p := range r.Positions {
		positions = append(positions, map[string]any{"room": p.Room, "epoch": p.Epoch, "offset": p.Offset})
	}
	return map[string]any{
		"matched": r.Matched, "queued": r.Queued, "kept": r.Kept, "dropped": r.Dropped, "partial": r.Partial,
		"missingNodes": r.MissingNodes, "duplicate": r.Duplicate, "positions": positions, "unrecordedRooms": r.UnrecordedRooms,
	}, nil
}

// UnmarshalJSON reads a decision: an object or a word.
func (d *decision) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &d.word) == nil {
		return nil
	}
	type object decision
	return json.Unmarshal(text, (*object)(d))
}
