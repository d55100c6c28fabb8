package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// ackGrace is how much longer than its clients the broker may take to answer.
const ackGrace = 5 * time.Second

// emitWithAck sends the event and prints each answer as it arrives.
func (e *Emit) emitWithAck(ctx context.Context, s *Streams, args string) error {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout+ackGrace)
	defer cancel()
	return e.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		stream, err := salav1.NewMessageServiceClient(conn).EmitWithAck(ctx, &salav1.EmitWithAckRequest{
			Namespace:     e.Namespace,
			Rooms:         e.Room,
			Users:         e.User,
			Sockets:       e.Socket,
			ExceptRooms:   e.ExceptRoom,
			ExceptUsers:   e.ExceptUser,
			ExceptSockets: e.ExceptSocket,
			Event:         e.Event.Event,
			ArgsJson:      args,
			Timeout:       durationpb.New(e.Timeout),
			MinAcks:       e.MinAcks,
			ArgsAsJson:    e.Output != "json", // people see exactly what the clients sent
		})
		if err != nil {
			return err
		}
		printer := ackPrinter{Printer: &e.Printer, out: s.Out}
		for {
			res, err := stream.Recv()
			if err != nil {
				return err
			}
			if err := printer.line(res); err != nil {
				return err
			}
			if summary := res.GetSummary(); summary != nil {
				return e.checkAcks(summary)
			}
		}
	})
}

// checkAcks returns an error if fewer clients answered than needed.
func (e *Emit) checkAcks(summary *salav1.AckSummary) error {
	needed := max(e.MinAcks, 1)
	switch answered := summary.GetAnswered(); {
	case answered >= needed:
		return nil
	case answered == 0:
		return errors.New("no client answered")
	default:
		return fmt.Errorf("only %d answered, but --min-acks is %d", answered, needed)
	}
}

// ackPrinter prints answers as they arrive: as a table for people, whose column widths are therefore
// fixed, or as lines of JSON for scripts.
type ackPrinter struct {
	*Printer
	out     io.Writer
	started bool
}

func (p *ackPrinter) line(res *salav1.EmitWithAckResponse) error {
	if p.Output == "json" {
		return printJSONLine(p.out, res)
	}
	if ack := res.GetAck(); ack != nil {
		return p.ack(ack)
	}
	sum := res.GetSummary()
	_, err := fmt.Fprintf(p.out, "%s asked: %d answered, %d timed out, %d disconnected, %d dropped\n",
		sockets(sum.GetExpected()), sum.GetAnswered(), sum.GetTimedOut(), sum.GetDisconnected(), sum.GetDropped())
	return err
}

const ackColumns = "%-9s  %-16s  %-26s  %s\n"

func (p *ackPrinter) ack(ack *salav1.Ack) error {
	if !p.started {
		p.started = true
		if _, err := fmt.Fprintf(p.out, ackColumns, "LATENCY", "USER", "SOCKET", "ANSWER"); err != nil {
			return err
		}
	}
	answer := ack.GetArgsJson()
	for _, data := range ack.GetAttachments() {
		answer += fmt.Sprintf(" +%d bytes", len(data))
	}
	latency := ack.GetLatency().AsDuration()
	_, err := fmt.Fprintf(p.out, ackColumns, latency.Round(latencyUnit(latency)), cell(ack.GetUser()), cell(ack.GetSocket()), cell(answer))
	return err
}

// latencyUnit is the unit that a latency is rounded to.
func latencyUnit(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return 10 * time.Microsecond
	}
	return time.Millisecond
}

// printJSONLine writes what the REST API would answer, on one line.
func printJSONLine(out io.Writer, m proto.Message) error {
	body, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, body); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, line.String())
	return err
}
