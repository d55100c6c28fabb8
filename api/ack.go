package api

import (
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// EmitWithAck implements salav1.MessageServiceServer. A caller that reads slowly
// slows down nothing but this call: the broker keeps the answers, of which there
// is one for each socket at the most.
func (s *messageService) EmitWithAck(req *salav1.EmitWithAckRequest, stream grpc.ServerStreamingServer[salav1.EmitWithAckResponse]) error {
	ctx, target := stream.Context(), selectedTarget(req)
	defer callOf(ctx).release()
	written := auditOf(ctx)
	written.asked(req)
	if err := reachOf(ctx).target(target); err != nil {
		return err
	}
	message, err := eventMessage(req)
	if err != nil {
		return err
	}
	timeout, err := duration("timeout", req.GetTimeout(), "nobody answers in no time; leave timeout out for 10 s")
	if err != nil {
		return err
	}
	options := broker.AckOptions{Timeout: timeout, MinAcks: int(req.GetMinAcks())}
	summary, err := s.broker.EmitWithAck(ctx, target, message, options, func(ack broker.Ack) error {
		return stream.Send(&salav1.EmitWithAckResponse{
			Kind: &salav1.EmitWithAckResponse_Ack{Ack: ackMessage(ack, req.GetArgsAsJson())},
		})
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
	return stream.Send(&salav1.EmitWithAckResponse{Kind: &salav1.EmitWithAckResponse_Summary{Summary: last}})
}

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
