package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/api/explain"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/panics"
	"github.com/salabroker/sala/broker/tracing"
)

// ourMethods is the prefix of all methods except health checks and reflection.
const ourMethods = "/sala.v1."

// call is one RPC on its way through the server. Only the goroutine that handles the RPC
// uses it; only the one that receives its requests uses held.
type call struct {
	server  *Server
	method  string
	start   time.Time
	caller  *auth.Caller // nil until it is known
	account *auth.Caller // whose share of memory the call uses; nil if the REST request has counted it
	peer    string       // address of a REST request that hasn't become an RPC
	audit   *audit       // nil if the call isn't recorded
	lasting bool         // it is a stream
	conn    *callerConn  // nil for calls over REST
	held    int64        // bytes that the request has of the decoding budget

	from remoteParent  // the caller's span, as far as it is known
	span *tracing.Span // nil without tracing, and until the caller is admitted
}

// callKey is the context key of the *call.
type callKey struct{}

// tap refuses calls without a key, or whose key doesn't allow them, before anything but
// their metadata is read. gRPC runs it on the goroutine that reads the connection.
func (s *Server) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	a := &arrival{caller: s.guests}
	if strings.HasPrefix(info.FullMethodName, ourMethods) {
		c := &call{server: s, method: tapMethod(info.FullMethodName), start: time.Now()}
		if s.tracer != nil {
			c.from = parentIn(info.Header.Get)
		}
		if err := c.admit(ctx, info); err != nil {
			return nil, c.end(ctx, err, nil)
		}
		a.caller = c.caller
	}
	a.Context, a.cancel = context.WithCancelCause(ctx) // the parent ends with the stream
	return a, nil
}

// tapMethod keeps method names that callers make up out of the metrics.
func tapMethod(method string) string {
	if _, ok := auth.ScopeOf(method); !ok {
		return "unknown"
	}
	return method
}

// admit authenticates a call and checks its scope.
func (c *call) admit(ctx context.Context, info *tap.Info) error {
	var err error
	c.caller, err = c.server.auth.Authenticate(info.Header.Get("authorization"), func() string { return peerAddress(ctx) })
	if err != nil {
		return err
	}
	if err := callerConnOf(ctx).showKey(c.caller); err != nil {
		return err
	}
	if _, known := auth.ScopeOf(c.method); !known {
		return nil // gRPC refuses it without reading more
	}
	return c.caller.Admit(c.method)
}

// reachOf returns the reach of the call that a service carries out.
func reachOf(ctx context.Context) auth.Reach {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return auth.Reach{}
	}
	return c.caller.Reach(c.method)
}

// keyName returns the name of the API key; empty until it is known.
func (c *call) keyName() string {
	if c.caller == nil {
		return ""
	}
	return c.caller.Name()
}

// turn waits for the caller's turn to decode or encode so many bytes, unless they are few. What it
// returns ends the turn.
func (c *call) turn(bytes int) (end func()) {
	if bytes <= smallCost {
		return func() {}
	}
	c.server.turns.Take(c.caller)
	return c.server.turns.Give
}

// end turns the outcome of a call into its status, counts it and logs it. A panic fails
// only its own call.
func (c *call) end(ctx context.Context, err error, panicked any) error {
	took := time.Since(c.start)
	var attrs []slog.Attr
	if panicked != nil {
		err = fmt.Errorf("panic: %s", panics.Describe(panicked))
		attrs = append(attrs, slog.String("stack", string(debug.Stack())))
	}
	c.server.record(ctx, c, err)
	if err == nil {
		c.endSpan(ctx, codes.OK, "")
		c.server.metrics.observe(c.method, codes.OK, took, c.traceID(ctx))
		c.log(ctx, slog.LevelDebug, took, codes.OK, attrs)
		return nil
	}
	failed := apierror.Classify(err)
	if directOf(ctx) != nil {
		failed = explain.InJSON(failed, explain.RequestOf(c.method))
	}
	c.endSpan(ctx, failed.Code, failed.ReasonOrCode())
	c.server.metrics.observe(c.method, failed.Code, took, c.traceID(ctx))
	attrs = append(attrs, slog.String("reason", failed.ReasonOrCode()))
	level := slog.LevelInfo
	if failed.Reason == apierror.ReasonRateLimited {
		level = slog.LevelDebug // a line for each would be another flood
	}
	// Errors of requests may quote them, so only their reason is logged. Errors of the
	// broker are logged in full.
	if failed.Code == codes.Internal {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	c.log(ctx, level, took, failed.Code, attrs)
	return failed.Status().Err()
}

// log writes the log line of the call. It assembles the line only if the level is
// enabled, which is usually after failures.
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

// peerAddress returns the address of a call.
func peerAddress(ctx context.Context) string {
	if d := directOf(ctx); d != nil {
		return d.rest.http.RemoteAddr
	}
	from, ok := peer.FromContext(ctx)
	if !ok || from.Addr == nil {
		return ""
	}
	return from.Addr.String()
}

// registrar registers services on a server so that a unary call is checked and counted
// before its request is received. A gRPC interceptor would run after that.
type registrar struct {
	server *Server
	grpc   *grpc.Server
	direct *direct // gets the services too
}

// RegisterService implements grpc.ServiceRegistrar.
func (r registrar) RegisterService(desc *grpc.ServiceDesc, service any) {
	own := *desc
	own.Methods = slices.Clone(desc.Methods)
	for i, method := range own.Methods {
		own.Methods[i].Handler = r.server.handleUnary("/"+desc.ServiceName+"/"+method.MethodName, method.Handler)
	}
	r.grpc.RegisterService(&own, service)
	r.direct.add(&own, service)
}

// handleUnary returns a handler that wraps handle, which receives the request and calls
// the service. The interceptor is that of a direct call; gRPC passes none.
func (s *Server) handleUnary(method string, handle grpc.MethodHandler) grpc.MethodHandler {
	reads := auth.Reads(method)
	return func(service any, ctx context.Context, _ func(any) error, intercept grpc.UnaryServerInterceptor) (resp any, err error) {
		s.calls.Add(1)
		defer s.calls.Add(-1)
		c := &call{server: s, method: method, start: time.Now()}
		defer func() { err = c.end(ctx, err, recover()) }()
		c.audit = s.newAudit(method)
		if err := c.enter(ctx); err != nil {
			return nil, err
		}
		defer c.leave()
		defer c.release()
		if err := c.admitAnswer(ctx); err != nil {
			return nil, err
		}
		ctx = c.startSpan(ctx)
		resp, err = handle(service, context.WithValue(ctx, callKey{}, c), func(req any) error {
			var err error
			if d := directOf(ctx); d != nil {
				req, err = d.request, checkDecoded(d.request)
			} else {
				err = c.receive(ctx, req)
			}
			if err == nil {
				c.audit.asked(req)
				c.asked(req)
			}
			return err
		}, intercept)
		if cause := context.Cause(ctx); err != nil && errors.As(cause, new(*broker.Error)) {
			err = cause // the service doesn't know of shutdowns
		}
		if err != nil {
			return nil, err
		}
		answer, err := c.answer(ctx, resp, reads)
		if err == nil {
			c.audit.answered(resp)
		}
		return answer, err
	}
}

// answer returns the answer of a call as it is handed over, once it counts as unwritten. If there
// is no room for it, a call that reads fails; others have been carried out.
func (c *call) answer(ctx context.Context, resp any, reads bool) (any, error) {
	if d := directOf(ctx); d != nil {
		return resp, d.rest.keep(resp, reads)
	}
	conn := callerConnOf(ctx)
	if conn == nil {
		return resp, nil
	}
	data, err := c.server.codec.Marshal(resp)
	if err != nil || len(data) == 0 {
		return resp, err
	}
	bytes, err := conn.answer(data.Len(), reads)
	if err != nil {
		data.Free()
		return nil, err
	}
	return newQueuedAnswer(data, conn, bytes, nil), nil
}

// admitAnswer prepares the answer of a call. It returns an error if the caller leaves too many
// answers unread over REST.
func (c *call) admitAnswer(ctx context.Context) error {
	if directOf(ctx) != nil {
		if c.server.intake.answers.owes(c.caller) {
			return tooBusy()
		}
		return nil
	}
	return uncompressed(ctx)
}

// uncompressed makes gRPC send the answers of a call as they are, so that they are counted until
// they are written. It would compress those to a compressed request.
func uncompressed(ctx context.Context) error {
	source, ok := grpc.ServerTransportStreamFromContext(ctx).(messageSource)
	if !ok || source.RecvCompress() == "" {
		return nil
	}
	return grpc.SetSendCompressor(ctx, encoding.Identity)
}

// receive receives the only request of a call.
func (c *call) receive(ctx context.Context, request any) error {
	message, ok := request.(proto.Message)
	if !ok {
		return fmt.Errorf("a request can't be a %T", request)
	}
	source, err := sourceOf(ctx)
	if err != nil {
		return err
	}
	in := &incoming{ctx: ctx, call: c, source: source, message: message, only: true}
	return in.receive()
}

// callOf returns the call that a service carries out. Outside a server it returns a call
// that counts nothing.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// handOver returns what the last request holds, to be given back with free.
func (c *call) handOver() int64 {
	held := c.held
	c.held = 0
	return held
}

// free gives back what handOver returned.
func (c *call) free(held int64) {
	if held > 0 {
		c.server.intake.decoding.give(c.payer(), held)
	}
}

// release gives back what the last request holds.
func (c *call) release() { c.free(c.handOver()) }

// hold reserves what decoding and handling a request costs; release gives it back.
func (c *call) hold(ctx context.Context, text []byte, message proto.Message) error {
	switch {
	case c.account == nil:
		return nil
	case c.account == c.server.guests && len(text) > maxGuestRequest:
		return apierror.TooLarge("the request has %d bytes; without an API key at most %d are allowed", len(text), maxGuestRequest)
	case c.account == c.server.guests:
		return nil
	}
	intake := c.server.intake
	cost, err := intake.shapes.wire(text, message.ProtoReflect().Descriptor().FullName())
	if err != nil {
		return err
	}
	if cost <= smallCost {
		return nil
	}
	if err := c.reserve(ctx, cost); err != nil {
		return err
	}
	c.held = cost
	return nil
}

// holdPage reserves what a page of a list or of a history takes until it is answered. How large it is
// isn't known before it is read, and then it is in memory.
func (c *call) holdPage(ctx context.Context) error {
	if c.server == nil {
		return nil
	}
	cost := min(maxPageCost, c.server.intake.decoding.share/minPages)
	if err := c.reserve(ctx, cost); err != nil {
		return err
	}
	c.held += cost
	return nil
}

// reserve takes bytes of the decoding budget. If there is no room now, it waits a while.
func (c *call) reserve(ctx context.Context, cost int64) error {
	decoding := c.server.intake.decoding
	if cost > decoding.share {
		c.server.metrics.refuse(refusedTooLarge)
		return tooMuchWork(cost, decoding.share)
	}
	if cost == 0 {
		return nil
	}
	if err := decoding.take(ctx, c.payer(), cost, c.server.intake.patience); err != nil {
		c.server.metrics.refuse(refusedDecoding)
		return err
	}
	return nil
}

// payer returns whose share of memory the call uses.
func (c *call) payer() *auth.Caller { return cmp.Or(c.account, c.caller) }

// enter counts a call as in flight if the limits allow it; then leave must follow. The
// tap, or the REST request, has admitted the caller.
func (c *call) enter(ctx context.Context) error {
	s := c.server
	if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok {
		c.caller, c.account = a.caller, a.caller
	} else if d := directOf(ctx); d != nil {
		c.caller, c.from = d.rest.call.caller, d.rest.call.from
	} else {
		return errors.New("a call has bypassed the tap")
	}
	if c.caller == s.guests {
		return c.enterAsGuest(ctx)
	}
	most := s.intake.maxCalls
	mine, all := c.caller.Calls.Add(1), s.intake.calls.Add(1)
	if mine > most || all > 2*most {
		c.leave()
		s.metrics.refuse(refusedCalls)
		return tooManyCalls(fmt.Sprintf("an API key may have %d", most))
	}
	return nil
}

// enterAsGuest is enter for a call without a key. Streams are bounded in total; short calls
// only per connection, so that health checks always get through.
func (c *call) enterAsGuest(ctx context.Context) error {
	c.conn = callerConnOf(ctx)
	mine, all := int64(0), int64(0)
	if c.conn != nil {
		mine = c.conn.guestCalls.Add(1)
	}
	if c.lasting {
		all = c.caller.Calls.Add(1)
	}
	if mine > maxGuestCallsOfConn || all > maxGuestStreams {
		c.leave()
		c.server.metrics.refuse(refusedCalls)
		return tooManyCalls(fmt.Sprintf("without an API key a connection may have %d, and all together %d that last", maxGuestCallsOfConn, maxGuestStreams))
	}
	return nil
}

func (c *call) leave() {
	if c.caller != c.server.guests {
		c.caller.Calls.Add(-1)
		c.server.intake.calls.Add(-1)
		return
	}
	if c.conn != nil {
		c.conn.guestCalls.Add(-1)
	}
	if c.lasting {
		c.caller.Calls.Add(-1)
	}
}

func tooManyCalls(bounds string) error {
	return apierror.Exhausted(apierror.ReasonTooManyRequests, "too many calls are in flight; "+bounds+": end some, or try again in a moment", time.Second)
}
