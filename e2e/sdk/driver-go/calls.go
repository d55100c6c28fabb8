package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

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

	Emits []call `json:"emits"`

	Event          string `json:"event"`
	Args           []any  `json:"args"`
	Volatile       bool   `json:"volatile"`
	SkipHistory    bool   `json:"skipHistory"`
	ConflateKey    string `json:"conflateKey"`
	IdempotencyKey string `json:"idempotencyKey"`
	Retry          *bool  `json:"retry"`
	TimeoutMs      int    `json:"timeoutMs"`
}

// args returns the arguments, with binary data.
func (c call) args() []any {
	args, _ := decode(c.Args).([]any)
	return args
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

// result is what a command returns.
type result = map[string]any

// do carries out a command.
func (d *driver) do(c command) (any, error) {
	ctx := d.ctx
	if c.TimeoutMs > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, milliseconds(c.TimeoutMs))
		defer cancel()
	}
	commands := map[string]func(context.Context, command) (any, error){
		"emit": d.emit, "emitBatch": d.emitBatch, "emitStream": d.emitStream, "broadcast": d.broadcast, "emitWithAck": d.emitWithAck,
		"issueToken": d.issueToken, "verifyToken": d.verifyToken, "revokeTokens": d.revokeTokens,
		"listRooms": d.listRooms, "getRoom": d.getRoom, "clearRoom": d.clearRoom,
		"listMessages": d.listMessages, "clearMessages": d.clearMessages, "listUsers": d.listUsers,
		"listSockets": d.listSockets, "getSocket": d.getSocket,
		"joinRooms": d.joinRooms, "leaveRooms": d.leaveRooms, "updateSockets": d.updateSockets, "disconnectSockets": d.disconnectSockets,
		"countUsers": d.countUsers, "onlineUsers": d.onlineUsers,
	}
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
	}
	command := commands[c.Do]
	if command == nil {
		return nil, fmt.Errorf("there is no command %q", c.Do)
	}
	return command(ctx, c)
}

func (d *driver) emit(ctx context.Context, c command) (any, error) {
	return emitted(c.target(d.client).Emit(ctx, c.Event, c.args()...))
}

// emits returns the events of a batch or a stream.
func (d *driver) emits(c command) []sala.Emit {
	emits := make([]sala.Emit, len(c.Emits))
	for i, one := range c.Emits {
		emits[i] = sala.Emit{Target: one.target(d.client), Event: one.Event, Args: one.args()}
	}
	return emits
}

// outcome returns what happened to one of them.
func outcome(sent *sala.EmitResult, err error) any {
	value, err := emitted(sent, err)
	if err != nil {
		return result{"error": describe(err)}
	}
	return value
}

func (d *driver) emitBatch(ctx context.Context, c command) (any, error) {
	outcomes, err := d.client.EmitBatch(ctx, d.emits(c))
	results := []any{}
	for _, one := range outcomes {
		results = append(results, outcome(one.Result, one.Err))
	}
	return result{"results": results}, err
}

func (d *driver) emitStream(ctx context.Context, c command) (any, error) {
	stream := d.client.NewEmitStream(ctx)
	var pending []*sala.PendingEmit
	for _, emit := range d.emits(c) {
		p, err := stream.Emit(ctx, emit)
		if err != nil {
			return nil, err
		}
		pending = append(pending, p)
	}
	results := []any{}
	for _, p := range pending {
		results = append(results, outcome(p.Result(ctx)))
	}
	_ = stream.Close() // its error is that of a result
	return result{"results": results}, nil
}

func (d *driver) broadcast(ctx context.Context, c command) (any, error) {
	return emitted(c.target(d.client).Broadcast(ctx, c.Event, c.args()...))
}

func (d *driver) emitWithAck(ctx context.Context, c command) (any, error) {
	call := c.target(d.client).AckTimeout(milliseconds(c.AckTimeoutMs)).MinAcks(c.MinAcks).EmitWithAck(c.Event, c.args()...)
	collected, err := call.Collect(ctx)
	acks := []result{}
	for _, ack := range collected {
		values, failed := ack.Args.Values()
		err = errors.Join(err, failed)
		acks = append(acks, result{"socket": ack.Socket, "user": ack.User, "args": encode(values)})
	}
	s := call.Summary
	return result{"acks": acks, "summary": result{
		"expected": s.Expected, "answered": s.Answered, "timedOut": s.TimedOut, "disconnected": s.Disconnected, "dropped": s.Dropped, "partial": s.Partial,
	}}, err
}

func (d *driver) issueToken(ctx context.Context, c command) (any, error) {
	token, err := d.client.IssueToken(ctx, sala.TokenOptions{
		User: c.User, TTL: time.Duration(c.TTLSeconds) * time.Second, Namespaces: c.Namespaces, Rooms: c.Rooms,
		Join: c.Join, Publish: c.Publish, Broadcast: c.Broadcast, Data: c.Data,
	})
	if err != nil {
		return nil, err
	}
	return result{"token": token.Token, "tokenId": token.ID, "expireTime": token.ExpireTime}, nil
}

func (d *driver) verifyToken(ctx context.Context, c command) (any, error) {
	check, err := d.client.VerifyToken(ctx, c.Token)
	if err != nil {
		return nil, err
	}
	claims := check.Claims
	if claims == nil {
		claims = &sala.TokenClaims{}
	}
	return result{"valid": check.Valid, "reason": check.Reason, "user": claims.User, "join": claims.Join, "data": claims.Data}, nil
}

func (d *driver) revokeTokens(ctx context.Context, c command) (any, error) {
	var revoked *sala.Revocation
	var err error
	if c.TokenID != "" {
		revoked, err = d.client.RevokeToken(ctx, c.TokenID)
	} else {
		revoked, err = d.client.RevokeTokensOf(ctx, c.User, time.Time{})
	}
	if err != nil {
		return nil, err
	}
	return result{"disconnected": revoked.Disconnected}, nil
}

// all reads a whole list.
func all[T any](ctx context.Context, list *sala.List[T], describe func(T) result) ([]result, error) {
	items := []result{}
	for item, err := range list.All(ctx) {
		if err != nil {
			return nil, err
		}
		items = append(items, describe(item))
	}
	return items, nil
}

func (d *driver) listRooms(ctx context.Context, c command) (any, error) {
	list := d.client.Rooms(sala.RoomFilter{Namespace: c.Namespace, Prefix: c.Prefix, PageSize: c.PageSize})
	rooms, err := all(ctx, list, func(r sala.Room) result {
		return result{"name": r.Name, "namespace": r.Namespace, "sockets": r.Sockets}
	})
	return result{"rooms": rooms, "partial": list.Partial}, err
}

func (d *driver) getRoom(ctx context.Context, c command) (any, error) {
	room, err := d.client.Room(c.Room).In(c.Namespace).Get(ctx)
	if err != nil {
		return nil, err
	}
	return result{"name": room.Name, "sockets": room.Sockets, "users": room.Users}, nil
}

func (d *driver) clearRoom(ctx context.Context, c command) (any, error) {
	options := sala.ClearOptions{Disconnect: c.Disconnect}
	if c.Notice != nil {
		options.Event, options.Args = c.Notice.Event, c.Notice.Args
	}
	cleared, err := d.client.Room(c.Room).In(c.Namespace).Clear(ctx, options)
	if err != nil {
		return nil, err
	}
	return result{"removed": cleared.Removed}, nil
}

func (d *driver) listMessages(ctx context.Context, c command) (any, error) {
	history, err := d.client.Room(c.Room).In(c.Namespace).Messages(ctx, sala.HistoryQuery{Last: c.Last})
	if err != nil {
		return nil, err
	}
	messages := []result{}
	for _, m := range history.Messages {
		values, err := m.Args.Values()
		if err != nil {
			return nil, err
		}
		messages = append(messages, result{"event": m.Event, "args": encode(values), "offset": m.Offset})
	}
	return result{"messages": messages, "epoch": history.Position.Epoch, "offset": history.Position.Offset, "complete": history.Complete}, nil
}

func (d *driver) clearMessages(ctx context.Context, c command) (any, error) {
	return nil, d.client.Room(c.Room).In(c.Namespace).ClearMessages(ctx)
}

func (d *driver) listUsers(ctx context.Context, c command) (any, error) {
	filter := sala.UserFilter{PageSize: c.PageSize}
	list := d.client.Room(c.Room).In(c.Namespace).Users(filter)
	if c.Room == "" {
		list = d.client.Users(filter)
	}
	users, err := all(ctx, list, func(u sala.PresentUser) result {
		return result{"user": u.User, "sockets": u.Sockets, "data": u.Data}
	})
	return result{"users": users, "partial": list.Partial}, err
}

func (d *driver) listSockets(ctx context.Context, c command) (any, error) {
	list := d.client.Sockets(sala.SocketFilter{Room: c.Room, User: c.User, PageSize: c.PageSize})
	sockets, err := all(ctx, list, func(s sala.Socket) result { return describeSocket(&s) })
	return result{"sockets": sockets, "partial": list.Partial}, err
}

func (d *driver) getSocket(ctx context.Context, c command) (any, error) {
	socket, err := d.client.Socket(ctx, c.Socket)
	if err != nil {
		return nil, err
	}
	return describeSocket(socket), nil
}

func describeSocket(s *sala.Socket) result {
	return result{"id": s.ID, "user": s.User, "rooms": s.Rooms, "data": s.Data}
}

// acted returns the result of a call that acts on sockets.
func acted(r *sala.SocketsResult, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return result{"matched": r.Matched, "refused": r.Refused}, nil
}

func (d *driver) joinRooms(ctx context.Context, c command) (any, error) {
	return acted(c.target(d.client).Join(ctx, c.To...))
}

func (d *driver) leaveRooms(ctx context.Context, c command) (any, error) {
	return acted(c.target(d.client).Leave(ctx, c.To...))
}

func (d *driver) updateSockets(ctx context.Context, c command) (any, error) {
	return acted(c.target(d.client).Update(ctx, c.Data))
}

func (d *driver) disconnectSockets(ctx context.Context, c command) (any, error) {
	return acted(c.target(d.client).Disconnect(ctx, c.Reason))
}

func (d *driver) countUsers(ctx context.Context, c command) (any, error) {
	counts, err := d.client.Count(ctx, c.Namespace, c.Of...)
	if err != nil {
		return nil, err
	}
	rooms := []result{}
	for _, r := range counts.Rooms {
		rooms = append(rooms, result{"room": r.Room, "users": r.Users, "sockets": r.Sockets})
	}
	return result{"counts": rooms}, nil
}

func (d *driver) onlineUsers(ctx context.Context, c command) (any, error) {
	online, err := d.client.Online(ctx, c.Namespace, c.Of...)
	if err != nil {
		return nil, err
	}
	return result{"online": online.Users}, nil
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
