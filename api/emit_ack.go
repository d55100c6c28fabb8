package api

import (
	"cmp"
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// EmitWithAck implements salav1.MessageServiceServer. A caller that reads slowly delays only
// its own call: the broker keeps the answers, at most one for each socket. The call fails if
// the caller hasn't read them slowCallerGrace after the timeout of the clients.
func (s *messageService) EmitWithAck(req *salav1.EmitWithAckRequest, stream grpc.ServerStreamingServer[salav1.EmitWithAckResponse]) error {
	call, target := callOf(stream.Context()), selectedTarget(req)
	defer call.release()
	written := auditOf(stream.Context())
	written.asked(req)
	within := reachOf(stream.Context())
	if err := within.Target(target); err != nil {
		return err
	}
	message, err := eventMessage(req)
	if err != nil {
		return err
	}
	timeout, err := duration("timeout", req.GetTimeout(), "must be above zero; leave timeout out for 10 s")
	if err != nil {
		return err
	}
	call.release() // the rest may take long, and needs only the text of the arguments
	ctx, cancel := context.WithTimeout(stream.Context(), cmp.Or(timeout, broker.DefaultAckTimeout)+slowCallerGrace)
	defer cancel()
	answers := sendAnswers(ctx, stream)
	defer answers.close()
	argsAsJSON := req.GetArgsAsJson()
	message.Caller = within.Owner()
	options := broker.AckOptions{Timeout: timeout, MinAcks: int(req.GetMinAcks()), Owner: within.Owner()}
	summary, err := s.broker.EmitWithAck(stream.Context(), target, message, options, func(ack broker.Ack) error {
		encoded, err := call.encodeAck(ctx, ack, argsAsJSON)
		if err != nil {
			return err
		}
		return answers.send(encoded)
	})
	if err != nil {
		return eventError(req, err)
	}
	last := &salav1.AckSummary{
		Expected:     count(summary.Expected),
		Answered:     count(summary.Answered),
		TimedOut:     count(summary.TimedOut),
		Disconnected: count(summary.Disconnected),
		Dropped:      count(summary.Dropped),
		Partial:      summary.Partial,
		MissingNodes: summary.Missing,
	}
	written.answered(last)
	return answers.send(&salav1.EmitWithAckResponse{Kind: &salav1.EmitWithAckResponse_Summary{Summary: last}})
}

// slowCallerGrace is how long an EmitWithAck may last after the timeout of the clients: for
// other nodes to finish, and for the caller to read.
const slowCallerGrace = 2 * time.Second

// answerSender sends answers from a goroutine of its own, which ends with the stream at the
// latest. Without it, a send to a caller that doesn't read couldn't be given up. Only one
// goroutine uses it.
type answerSender struct {
	ctx    context.Context //nolint:containedctx // ends when a send is given up
	parent context.Context //nolint:containedctx // of the call
	next   chan any
	sent   chan error
}

func sendAnswers(ctx context.Context, stream grpc.ServerStreamingServer[salav1.EmitWithAckResponse]) *answerSender {
	s := &answerSender{
		ctx:    ctx,
		parent: stream.Context(),
		next:   make(chan any),
		sent:   make(chan error, 1),
	}
	go func() {
		for answer := range s.next {
			s.sent <- stream.SendMsg(answer)
		}
	}()
	return s
}

// send sends an answer, or returns an error when there is no time left. It must not be
// called again after an error.
func (s *answerSender) send(answer any) error {
	select { // the goroutine is waiting, since the previous answer has been sent
	case s.next <- answer:
	case <-s.ctx.Done():
		return s.gaveUp()
	}
	select {
	case err := <-s.sent:
		return err
	case <-s.ctx.Done():
		return s.gaveUp()
	}
}

// gaveUp returns why a send was given up.
func (s *answerSender) gaveUp() error {
	if s.parent.Err() != nil {
		return context.Cause(s.parent)
	}
	return &broker.Error{
		Code:    broker.CodeResourceExhausted,
		Reason:  broker.ReasonSlowCaller,
		Message: "the clients' answers were not read in time; read them as they come",
	}
}

// close lets the goroutine end.
func (s *answerSender) close() { close(s.next) }

// encodeAck encodes an answer when there is room for it, so that only its bytes wait for the
// caller to read.
func (c *call) encodeAck(ctx context.Context, ack broker.Ack, argsAsJSON bool) (encoded, error) {
	cost := jsonCost(ack.Args)
	if argsAsJSON || cost > maxAckArgsCost {
		argsAsJSON, cost = true, 0
	}
	if err := c.reserve(ctx, cost); err != nil {
		return encoded{}, err
	}
	defer c.free(cost)
	defer c.turn(len(ack.Args))()
	data, err := c.server.codec.Marshal(&salav1.EmitWithAckResponse{
		Kind: &salav1.EmitWithAckResponse_Ack{Ack: ackMessage(ack, argsAsJSON)},
	})
	return encoded{data}, err
}

// maxAckArgsCost bounds the memory that the args of an answer take as a list. Larger ones
// are returned as text.
const maxAckArgsCost = 8 << 20

func ackMessage(ack broker.Ack, argsAsJSON bool) *salav1.Ack {
	m := &salav1.Ack{
		Socket:      ack.Socket,
		User:        ack.User,
		Attachments: ack.Attachments,
		Latency:     durationpb.New(ack.Latency),
	}
	if !argsAsJSON {
		m.Args = jsonList(ack.Args)
	}
	if m.Args == nil {
		m.ArgsJson = string(ack.Args)
	}
	return m
}
