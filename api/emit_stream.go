package api

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker/tracing"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

type (
	emitStream = grpc.BidiStreamingServer[salav1.EmitStreamRequest, salav1.EmitStreamResponse]

	// received is the result of one Recv.
	received struct {
		req  *salav1.EmitStreamRequest
		held int64 // bytes that the request has of the decoding budget
		err  error
	}
)

// EmitStream implements salav1.MessageServiceServer.
//
// It sends one event after the other. At most two are in memory besides those in the
// stream's window, so a caller that doesn't read results soon can't write either. Every
// event that was emitted is answered, also when the server shuts down: an event without an
// answer was not emitted.
func (s *messageService) EmitStream(stream emitStream) error {
	ctx := stream.Context()
	incoming := receive(stream)
	within, written, call := reachOf(ctx), auditOf(ctx), callOf(ctx)
	ctx = tracing.Apart(ctx) // a trace for each event; the stream may last for days
	events, failed := 0, 0
	defer func() { written.events(events, failed) }()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case in := <-incoming:
			if errors.Is(in.err, io.EOF) {
				return nil
			}
			if in.err != nil {
				return in.err
			}
			refused := refusalOf(in.req)
			report, err := s.emitOne(ctx, within, in.req.GetEmit(), refused, salav1.Report_REPORT_NONE)
			if err != nil && refused == nil { // a refusal has the full names of fields
				err = apierror.WithPrefix("emit.", err)
			}
			result := s.result(ctx, report, err)
			sequence := in.req.GetSequence()
			call.free(in.held)
			events++
			if result.GetError() != nil {
				failed++
			}
			if err := stream.Send(&salav1.EmitStreamResponse{Sequence: sequence, Result: result}); err != nil {
				return err
			}
		}
	}
}

// receive reads the stream in a goroutine, so that the method needn't wait for the next
// request. The goroutine ends with the stream or when the method has returned. The last
// value has an error.
func receive(stream emitStream) <-chan received {
	incoming := make(chan received)
	call := callOf(stream.Context())
	go func() {
		for {
			req, err := stream.Recv()
			in := received{req, call.handOver(), err}
			select {
			case incoming <- in:
			case <-stream.Context().Done():
				call.free(in.held)
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return incoming
}
