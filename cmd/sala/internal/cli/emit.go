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
	Ack     bool   `help:"Ask each client for an answer and print the answers as they come; --timeout is how long they may take, up to 60s."`
	MinAcks uint32 `placeholder:"N" help:"With --ack, wait no longer once so many have answered."`
	Target
	Printer
	Client
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
		return &UsageError{Message: "--ack waits for everyone, --volatile leaves some out; give one of them"}
	case e.Ack:
		return e.askForAcks(ctx, s, args)
	case e.MinAcks > 0:
		return &UsageError{Message: "--min-acks belongs to --ack, which is missing"}
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
		return printReport(&e.Printer, s.Out, res)
	})
}

// Broadcast sends an event to everyone.
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
		return printReport(&b.Printer, s.Out, res)
	})
}

// report is what both responses have.
type report interface {
	proto.Message
	GetMatched() uint32
	GetQueued() uint32
	GetDropped() uint32
}

func printReport(p *Printer, out io.Writer, r report) error {
	return p.print(out, r, func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "%s matched, %d queued, %d dropped\n", sockets(r.GetMatched()), r.GetQueued(), r.GetDropped())
		return err
	})
}
