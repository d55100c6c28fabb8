package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/api/explain"
	"github.com/salabroker/sala/broker"
)

// ourMethods is how the names of all methods but those of health checks and
// reflection begin.
const ourMethods = "/sala.v1."

// call is one RPC on its way through the server. Only the goroutine that
// handles the RPC uses it, and held only the one that receives its requests.
type call struct {
	server  *Server
	method  string
	start   time.Time
	caller  *auth.Caller // nil until it is known
	account *auth.Caller // on whose account the call takes memory; nil if it isn't counted here
	peer    string       // where a REST request comes from that is no RPC yet
	audit   *audit       // nil if nothing is to be written down
	lasting bool         // it is a stream
	conn    *callerConn  // that it came by; nil if it came in memory
	held    int64        // what the request takes of the budget for decoding
}

// callKey is the context key of the *call.
type callKey struct{}

// tap refuses calls that their key doesn't allow, or that have none, before
// anything of theirs but the metadata has been read. gRPC runs it on the
// connection's own goroutine.
func (s *Server) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if isInMemory(ctx) { // the gateway has looked at it
		return ctx, nil
	}
	a := &arrival{caller: s.guests}
	if strings.HasPrefix(info.FullMethodName, ourMethods) {
		c := &call{server: s, method: tapMethod(info.FullMethodName), start: time.Now()}
		if err := c.admit(ctx, info); err != nil {
			return nil, c.end(ctx, err, nil)
		}
		a.caller = c.caller
	}
	a.Context, a.cancel = context.WithCancelCause(ctx) // which ends with the stream
	return a, nil
}

// tapMethod keeps names that callers have made up out of the metrics.
func tapMethod(method string) string {
	if _, ok := auth.ScopeOf(method); !ok {
		return "unknown"
	}
	return method
}

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

// admit finds out who calls, and returns nil if the caller may go on.
func (c *call) admit(ctx context.Context, info *tap.Info) error {
	var err error
	c.caller, err = c.server.auth.Authenticate(info.Header.Get("authorization"), func() string { return peerAddress(ctx) })
	if err != nil {
		return err
	}
	if err := callerConnOf(ctx).showKey(); err != nil {
		return err
	}
	if _, known := auth.ScopeOf(c.method); !known {
		return nil // gRPC says so, and reads nothing either
	}
	return c.caller.Admit(c.method)
}

// reachOf returns the reach of a call, which the interceptor has admitted.
func reachOf(ctx context.Context) auth.Reach {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return auth.Reach{}
	}
	return c.caller.Reach(c.method)
}

// keyName is the name of the API key; empty until it is known.
func (c *call) keyName() string {
	if c.caller == nil {
		return ""
	}
	return c.caller.Name()
}

// end turns the outcome of a call into its status, counts it and logs it. A
// panic costs its own call alone.
func (c *call) end(ctx context.Context, err error, panicked any) error {
	took := time.Since(c.start)
	var attrs []slog.Attr
	if panicked != nil {
		err = fmt.Errorf("panic: %s", describePanic(panicked))
		attrs = append(attrs, slog.String("stack", string(debug.Stack())))
	}
	c.server.record(ctx, c, err)
	if err == nil {
		c.server.metrics.observe(c.method, codes.OK, took)
		c.log(ctx, slog.LevelDebug, took, codes.OK, attrs)
		return nil
	}
	failed := apierror.Classify(err)
	if isInMemory(ctx) {
		failed = explain.InJSON(failed, explain.RequestOf(c.method))
	}
	c.server.metrics.observe(c.method, failed.Code, took)
	attrs = append(attrs, slog.String("reason", failed.ReasonOrCode()))
	level := slog.LevelInfo
	if failed.Reason == apierror.ReasonRateLimited {
		level = slog.LevelDebug // a line for each would be a flood of its own
	}
	// What is wrong with a request can quote it, so that only the reason is
	// logged; what is wrong with the broker has to be.
	if failed.Code == codes.Internal {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	c.log(ctx, level, took, failed.Code, attrs)
	return failed.Status().Err()
}

// log writes the line of the call. What it says is only put together if
// somebody reads it: at the usual level that is after a failure.
func (c *call) log(ctx context.Context, level slog.Level, took time.Duration, code codes.Code, more []slog.Attr) {
	if !c.server.log.Enabled(ctx, level) {
		return
	}
	c.server.log.LogAttrs(ctx, level, "rpc", append([]slog.Attr{
		slog.String("method", c.method),
		slog.Duration("duration", took),
		slog.String("key", c.keyName()),
		slog.String("peer", cmp.Or(c.peer, peerAddress(ctx))),
		slog.String("code", apierror.CodeName(code)),
	}, more...)...)
}

// describePanic tells what the Go runtime has to say, such as "index out of
// range". The value of another panic might hold a payload: its type and the
// stack have to do.
func describePanic(panicked any) string {
	if err, ok := panicked.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", panicked)
}

// peerAddress returns where a call comes from. One from the gateway comes over
// the in-memory connection, and only there the gateway's word for it counts.
func peerAddress(ctx context.Context) string {
	from, ok := peer.FromContext(ctx)
	if !ok || from.Addr == nil {
		return ""
	}
	if !isInMemory(ctx) {
		return from.Addr.String()
	}
	return strings.Join(metadata.ValueFromIncomingContext(ctx, restPeerMetadata), "")
}

// isInMemory reports whether a call comes from the gateway.
func isInMemory(ctx context.Context) bool {
	from, ok := peer.FromContext(ctx)
	return ok && from.Addr != nil && from.Addr.Network() == inMemoryNetwork
}
