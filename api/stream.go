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
	ctx, cancel := s.untilShutdown(stream.Context())
	defer cancel()
	c := &call{server: s, method: info.FullMethod, start: time.Now()}
	defer func() { err = c.end(ctx, err, recover()) }()
	c.audit, c.lasting = s.newAudit(c.method), true
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	ctx = context.WithValue(ctx, callKey{}, c)
	source, err := sourceOf(ctx)
	if err != nil {
		return err
	}
	ending := &endingStream{
		ServerStream: stream, ctx: ctx, call: c, conn: callerConnOf(ctx), queue: newSendQueue(),
		next: incoming{ctx: ctx, call: c, source: source, only: !info.IsClientStream},
	}
	if auth.IsOpen(info.FullMethod) {
		err = handler(srv, &waitingStream{ending})
	} else {
		err = handler(srv, ending)
	}
	// A handler that knows nothing of shutdowns says that it was cancelled.
	if cause := context.Cause(ctx); err != nil && errors.As(cause, new(*broker.Error)) {
		return cause
	}
	return err
}

// untilShutdown returns a context that ends with Shutdown too: a stream may
// last for ever, and Shutdown can't wait for that. The error to answer with is
// its cause then. The goroutine ends with the context.
func (s *Server) untilShutdown(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		select {
		case <-ctx.Done():
		case <-s.stopping:
			cancel(&broker.Error{
				Code:    broker.CodeUnavailable,
				Reason:  broker.ReasonDraining,
				Message: "the broker is shutting down; what it has not answered on this stream it has not done",
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
	conn  *callerConn // that it came by; nil if it came in memory
	queue *sendQueue
	next  incoming // the request that is being received; used again for each
}

// Context implements grpc.ServerStream.
func (s *endingStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream. The goroutine that calls it releases what
// the request takes, once it is done with it.
func (s *endingStream) RecvMsg(m any) error {
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("a request can't be a %T", m)
	}
	s.next.message = message
	return s.next.receive()
}

// SendMsg implements grpc.ServerStream. It waits while the stream has as many
// messages in gRPC's queues as it may have.
func (s *endingStream) SendMsg(m any) error {
	if err := s.queue.enter(s.ServerStream.Context()); err != nil {
		return err
	}
	data, err := s.call.server.codec.Marshal(m)
	if err != nil {
		s.queue.leave()
		return err
	}
	s.conn.answer(data.Len())
	return s.ServerStream.SendMsg(newQueuedMessage(data, s.queue))
}

// waitingStream is an endingStream for handlers that aren't ours: reflection
// waits for its caller's next question, and for nothing else.
type waitingStream struct{ *endingStream }

// RecvMsg implements grpc.ServerStream. When the stream ends first, its
// goroutine does as soon as the handler has returned.
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
