package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
)

func (s *Server) interceptStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	s.streams.Add(1)
	defer s.streams.Add(-1)
	ctx := stream.Context()
	c := &call{server: s, method: info.FullMethod, start: time.Now()}
	defer func() { err = c.end(ctx, err, recover()) }()
	c.audit, c.lasting = s.newAudit(c.method), true
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	ctx, cancel := s.untilEnd(ctx, c.caller)
	defer cancel()
	ctx = c.startSpan(ctx)
	ctx = context.WithValue(ctx, callKey{}, c)
	receiving, err := c.streamOf(ctx, stream, info)
	if err != nil {
		return err
	}
	err = handler(srv, receiving)
	// A handler that doesn't know of shutdowns and keys reports that it was cancelled.
	if cause := context.Cause(ctx); err != nil && errors.As(cause, new(*broker.Error)) {
		return cause
	}
	return err
}

// streamOf returns the stream of a call for its service. ctx is the call's.
func (c *call) streamOf(ctx context.Context, stream grpc.ServerStream, info *grpc.StreamServerInfo) (grpc.ServerStream, error) {
	if directOf(ctx) != nil {
		return &checkedStream{stream, ctx, c}, nil
	}
	source, err := sourceOf(ctx)
	if err == nil {
		err = uncompressed(ctx)
	}
	if err != nil {
		return nil, err
	}
	ending := &endingStream{
		ServerStream: stream, ctx: ctx, call: c, conn: callerConnOf(ctx), queue: newSendQueue(),
		next: incoming{ctx: ctx, call: c, source: source, only: !info.IsClientStream},
	}
	if auth.IsOpen(info.FullMethod) {
		return &waitingStream{ending}, nil
	}
	return ending, nil
}

// checkedStream is the stream of a direct call, whose request has been decoded.
type checkedStream struct {
	grpc.ServerStream
	ctx  context.Context //nolint:containedctx // of the call
	call *call
}

// Context implements grpc.ServerStream.
func (s *checkedStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *checkedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	s.call.asked(m)
	return checkDecoded(directOf(s.ctx).request)
}

// untilEnd returns a context that Shutdown ends too, since it can't wait for streams that
// last, and the end of the caller's key. The cause of the context is then the error for the
// caller. The goroutine ends with the context.
func (s *Server) untilEnd(parent context.Context, caller *auth.Caller) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		select {
		case <-ctx.Done():
		case <-caller.Ended():
			cancel(caller.Cause())
		case <-s.stopping:
			cancel(&broker.Error{
				Code:    broker.CodeUnavailable,
				Reason:  broker.ReasonDraining,
				Message: "the node is shutting down; requests that it has not answered on this stream were not carried out",
			})
		}
	}()
	return ctx, func() { cancel(nil) }
}

// endingStream is a stream that ends with ctx.
type endingStream struct {
	grpc.ServerStream
	ctx   context.Context
	call  *call
	conn  *callerConn
	queue *sendQueue
	next  incoming // reused for each request
}

// Context implements grpc.ServerStream.
func (s *endingStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream. The goroutine that calls it releases what the
// request holds when it is done with the request.
func (s *endingStream) RecvMsg(m any) error {
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("a request can't be a %T", m)
	}
	s.next.message = message
	err := s.next.receive()
	if err == nil && s.next.only {
		s.call.asked(m)
	}
	return err
}

// SendMsg implements grpc.ServerStream. It waits while the stream's queue in gRPC is full.
func (s *endingStream) SendMsg(m any) error {
	if err := s.queue.enter(s.ServerStream.Context()); err != nil {
		return err
	}
	data, err := s.call.server.codec.Marshal(m)
	if err != nil {
		s.queue.leave()
		return err
	}
	bytes, _ := s.conn.answer(data.Len(), false)
	return s.ServerStream.SendMsg(newQueuedAnswer(data, s.conn, bytes, s.queue))
}

// waitingStream is an endingStream for gRPC's own handlers: reflection waits for the next
// request only, and wouldn't notice the end of the context.
type waitingStream struct{ *endingStream }

// RecvMsg implements grpc.ServerStream. If the context ends first, the goroutine ends when
// the handler has returned.
func (s *waitingStream) RecvMsg(m any) error {
	received := make(chan error, 1)
	go func() { received <- s.endingStream.RecvMsg(m) }()
	select {
	case err := <-received:
		return err
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}
