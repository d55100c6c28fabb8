package sala

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// defaultAckTimeout is how long the broker waits for acks unless the call says otherwise.
const defaultAckTimeout = 10 * time.Second

// ClientAck is one client's answer to an event.
type ClientAck struct {
	// Socket is the id of the socket that answered.
	Socket string
	// User is the socket's user. Empty if anonymous.
	User string
	// Args are the values that the client has passed to its callback.
	Args Args
	// Latency is the time from queuing the event to receiving the ack.
	Latency time.Duration
}

// AckSummary counts what happened to an event that asked for acks. Expected is the sum of Answered,
// TimedOut, Disconnected and Dropped, unless the call stopped early at [Target.MinAcks].
type AckSummary struct {
	// Expected is the number of sockets that the target matched.
	Expected int
	// Answered is the number of sockets that answered.
	Answered int
	// TimedOut is the number of sockets that didn't answer in time.
	TimedOut int
	// Disconnected is the number of sockets that disconnected without an answer.
	Disconnected int
	// Dropped is the number of sockets that the event couldn't be queued for.
	Dropped int
	// Partial says that a node didn't answer, so that the counts leave it out.
	Partial bool
	// MissingNodes are the ids of these nodes.
	MissingNodes []string
}

// AckTimeout is how long [Target.EmitWithAck] waits for acks: at most 60 s. The default is 10 s.
func (t Target) AckTimeout(timeout time.Duration) Target {
	t.ackTimeout = timeout
	return t
}

// MinAcks stops waiting once this many clients have answered.
func (t Target) MinAcks(n int) Target {
	t.minAcks = n
	return t
}

// EmitWithAck sends an event as [Target.Emit] does and asks each client for an ack. It is sent when
// the acks are read: [Acks.All] yields each as it arrives, [Acks.Collect] returns them together.
//
// The call isn't repeated: clients would get the event twice. It can't be volatile and has neither a
// history nor a key.
func (t Target) EmitWithAck(event string, args ...any) *Acks {
	return &Acks{target: t, event: event, args: args}
}

// Acks are the answers of clients to an event. They are read once, by one goroutine.
type Acks struct {
	// Summary is complete when all acks have been read without an error.
	Summary AckSummary

	target Target
	event  string
	args   []any
}

// All sends the event and iterates over the acks as they arrive. An error is the last thing that it
// yields. Ending the iteration early ends the call.
func (a *Acks) All(ctx context.Context) iter.Seq2[ClientAck, error] {
	return func(yield func(ClientAck, error) bool) {
		wait := a.target.ackTimeout
		if wait == 0 {
			wait = defaultAckTimeout
		}
		ctx, cancel := a.target.client.withDeadline(ctx, wait+a.target.client.timeout)
		defer cancel()
		stream, err := a.open(ctx)
		if err != nil {
			yield(ClientAck{}, err)
			return
		}
		for {
			response, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(ClientAck{}, a.target.client.asError(err))
				return
			}
			if summary := response.GetSummary(); summary != nil {
				a.Summary = summaryOf(summary)
				continue
			}
			if !yield(ackOf(response.GetAck()), nil) {
				return
			}
		}
	}
}

// Collect sends the event and returns all acks once the call has ended. There are as many as clients
// have answered: use [Acks.All] if they may be too many to keep.
func (a *Acks) Collect(ctx context.Context) ([]ClientAck, error) {
	var acks []ClientAck
	for ack, err := range a.All(ctx) {
		if err != nil {
			return acks, err
		}
		acks = append(acks, ack)
	}
	return acks, nil
}

// open sends the event.
func (a *Acks) open(ctx context.Context) (salav1.MessageService_EmitWithAckClient, error) {
	t := a.target
	if t.volatile || t.skipHistory || t.conflateKey != "" || t.idempotencyKey != "" {
		return nil, invalid("an event with acks is never volatile, and has neither a history nor a key")
	}
	encoded, err := encodeArgs(a.args)
	if err != nil {
		return nil, invalid("the arguments of %s: %v", a.event, err)
	}
	request := &salav1.EmitWithAckRequest{
		Namespace:     t.namespace,
		Rooms:         t.rooms,
		Users:         t.users,
		Sockets:       t.sockets,
		ExceptRooms:   t.exceptRooms,
		ExceptUsers:   t.exceptUsers,
		ExceptSockets: t.exceptSockets,
		Event:         a.event,
		ArgsJson:      encoded.text,
		Attachments:   encoded.attachments,
		MinAcks:       count(t.minAcks),
		ArgsAsJson:    true,
	}
	if t.ackTimeout != 0 {
		request.Timeout = durationpb.New(t.ackTimeout)
	}
	stream, err := t.client.messages.EmitWithAck(ctx, request)
	return stream, t.client.asError(err)
}

func ackOf(ack *salav1.Ack) ClientAck {
	return ClientAck{
		Socket:  ack.GetSocket(),
		User:    ack.GetUser(),
		Args:    Args{text: ack.GetArgsJson(), attachments: ack.GetAttachments()},
		Latency: ack.GetLatency().AsDuration(),
	}
}

func summaryOf(s *salav1.AckSummary) AckSummary {
	return AckSummary{
		Expected:     int(s.GetExpected()),
		Answered:     int(s.GetAnswered()),
		TimedOut:     int(s.GetTimedOut()),
		Disconnected: int(s.GetDisconnected()),
		Dropped:      int(s.GetDropped()),
		Partial:      s.GetPartial(),
		MissingNodes: s.GetMissingNodes(),
	}
}

// count returns a number of the caller's as the API has it. The broker refuses one that is too large.
func count(n int) uint32 { return uint32(min(max(n, 0), 1<<30)) }
