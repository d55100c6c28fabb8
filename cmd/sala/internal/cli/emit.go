package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Emit sends an event to rooms, users and sockets.
type Emit struct {
	Event
	IdempotencyKey string `placeholder:"KEY" help:"Makes it safe to run the command again: within the broker's --idempotency-window, an event with this key is sent once."`
	ConflateKey    string `placeholder:"KEY" help:"Replace an older event with this key and room that still waits in a client's queue."`
	SkipHistory    bool   `help:"Don't record the event in the history of its rooms."`
	Ack            bool   `help:"Ask each client for an ack and print the answers as they arrive. --timeout is how long clients may take, at most 60s."`
	MinAcks        uint32 `placeholder:"N" help:"With --ack, stop waiting when this many clients have answered."`
	Target
	Printer
	Client
}

// Help implements kong.HelpProvider.
func (*Emit) Help() string {
	return `Examples:

  sala emit message --room lobby "hello" 42
  sala emit --user ana alert '{"level":"high"}'
  sala emit --ack --socket ID question "still there?"`
}

// Run implements the command.
func (e *Emit) Run(ctx context.Context, s *Streams) error {
	args, err := e.argsJSON()
	if err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	switch {
	case e.Ack && e.Volatile:
		return &UsageError{Message: "--ack and --volatile can't be combined: one waits for all clients, the other drops some"}
	case e.Ack && (e.IdempotencyKey != "" || e.ConflateKey != "" || e.SkipHistory):
		return &UsageError{Message: "--ack can't be combined with --idempotency-key, --conflate-key and --skip-history: an event that asks for acks is neither recorded nor repeated"}
	case e.Ack:
		return e.emitWithAck(ctx, s, args)
	case e.MinAcks > 0:
		return &UsageError{Message: "--min-acks needs --ack"}
	}
	return e.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewMessageServiceClient(conn).Emit(ctx, &salav1.EmitRequest{
			Namespace:     e.Namespace,
			Rooms:         e.Room,
			Users:         e.User,
			Sockets:       e.Socket,
			ExceptRooms:   e.ExceptRoom,
			ExceptUsers:   e.ExceptUser,
			ExceptSockets: e.ExceptSocket,
			Event:         e.Event.Event,
			ArgsJson:      args,
			Volatile:      e.Volatile,

			IdempotencyKey: e.IdempotencyKey,
			ConflateKey:    e.ConflateKey,
			SkipHistory:    e.SkipHistory,
		})
		if err != nil {
			return err
		}
		if rooms := res.GetUnrecordedRooms(); len(rooms) > 0 {
			fmt.Fprintf(s.Err, "sala: warning: the event was sent, but the history of these rooms could not record it: %s\n", cell(strings.Join(rooms, ", ")))
		}
		return printEmitResult(&e.Printer, s, res, res.GetPositions())
	})
}

// Broadcast sends an event to all sockets of a namespace.
type Broadcast struct {
	Event
	IdempotencyKey string `placeholder:"KEY" help:"Makes it safe to run the command again: within the broker's --idempotency-window, an event with this key is sent once."`
	Except
	Printer
	Client
}

// Run implements the command.
func (b *Broadcast) Run(ctx context.Context, s *Streams) error {
	args, err := b.argsJSON()
	if err != nil {
		return err
	}
	return b.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewMessageServiceClient(conn).Broadcast(ctx, &salav1.BroadcastRequest{
			Namespace:     b.Namespace,
			ExceptRooms:   b.ExceptRoom,
			ExceptUsers:   b.ExceptUser,
			ExceptSockets: b.ExceptSocket,
			Event:         b.Event.Event,
			ArgsJson:      args,
			Volatile:      b.Volatile,

			IdempotencyKey: b.IdempotencyKey,
		})
		if err != nil {
			return err
		}
		return printEmitResult(&b.Printer, s, res, nil)
	})
}

// emitResult is what the responses of Emit and Broadcast have in common.
type emitResult interface {
	proto.Message
	GetMatched() uint32
	GetQueued() uint32
	GetKept() uint32
	GetDropped() uint32
	GetDuplicate() bool
}

func printEmitResult(p *Printer, s *Streams, r emitResult, recorded []*salav1.RoomPosition) error {
	return p.print(s.Out, r, func(out io.Writer) error {
		kept := ""
		if r.GetKept() > 0 {
			kept = fmt.Sprintf(", %d kept", r.GetKept())
		}
		if r.GetDuplicate() {
			fmt.Fprintln(s.Err, "the event of this key was sent before; this is its first result")
		}
		_, err := fmt.Fprintf(out, "%s matched, %d queued%s, %d dropped\n", sockets(r.GetMatched()), r.GetQueued(), kept, r.GetDropped())
		for _, p := range recorded {
			fmt.Fprintf(out, "recorded in %s at %s\n", cell(p.GetRoom()), positionText(p.GetEpoch(), p.GetOffset()))
		}
		return err
	})
}
