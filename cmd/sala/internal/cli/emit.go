package cli

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Emit sends an event to rooms, users and sockets.
type Emit struct {
	Event
	Ack     bool   `help:"Ask each client for an ack and print the answers as they arrive. --timeout is how long clients may take, at most 60s."`
	MinAcks uint32 `placeholder:"N" help:"With --ack, stop waiting when this many clients have answered."`
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
		})
		if err != nil {
			return err
		}
		return printEmitResult(&e.Printer, s.Out, res)
	})
}

// Broadcast sends an event to all sockets of a namespace.
type Broadcast struct {
	Event
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
		})
		if err != nil {
			return err
		}
		return printEmitResult(&b.Printer, s.Out, res)
	})
}

// emitResult is what the responses of Emit and Broadcast have in common.
type emitResult interface {
	proto.Message
	GetMatched() uint32
	GetQueued() uint32
	GetKept() uint32
	GetDropped() uint32
}

func printEmitResult(p *Printer, out io.Writer, r emitResult) error {
	return p.print(out, r, func(out io.Writer) error {
		kept := ""
		if r.GetKept() > 0 {
			kept = fmt.Sprintf(", %d kept", r.GetKept())
		}
		_, err := fmt.Fprintf(out, "%s matched, %d queued%s, %d dropped\n", sockets(r.GetMatched()), r.GetQueued(), kept, r.GetDropped())
		return err
	})
}
