package api

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
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

// registrar registers services on a server so that a unary call enters before
// its request is received. An interceptor of gRPC's would come after that.
type registrar struct {
	server *Server
	grpc   *grpc.Server
}

// RegisterService implements grpc.ServiceRegistrar.
func (r registrar) RegisterService(desc *grpc.ServiceDesc, service any) {
	own := *desc
	own.Methods = slices.Clone(desc.Methods)
	for i, method := range own.Methods {
		own.Methods[i].Handler = r.server.handleUnary("/"+desc.ServiceName+"/"+method.MethodName, method.Handler)
	}
	r.grpc.RegisterService(&own, service)
}

// handleUnary returns a handler that does all that is to be done around handle,
// which receives the request and calls the service.
func (s *Server) handleUnary(method string, handle grpc.MethodHandler) grpc.MethodHandler {
	return func(service any, ctx context.Context, _ func(any) error, _ grpc.UnaryServerInterceptor) (resp any, err error) {
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
		resp, err = handle(service, context.WithValue(ctx, callKey{}, c), func(req any) error {
			err := c.receive(ctx, req)
			if err == nil {
				c.audit.asked(req)
			}
			return err
		}, nil)
		if err == nil {
			c.audit.answered(resp)
			callerConnOf(ctx).answer(sizeOf(resp))
		}
		return resp, err
	}
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

// callOf returns the call that a service carries out; one that counts nothing
// outside a server.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// handOver returns what the last request takes, for free.
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

// release gives back what the last request takes.
func (c *call) release() { c.free(c.handOver()) }

// hold takes what decoding and handling a request costs out of the budget, for
// release to give back.
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

// reserve takes bytes out of the budget for decoding, and waits a while if there
// is no room now.
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

// payer is on whose account memory is taken that the gateway hasn't counted.
func (c *call) payer() *auth.Caller { return cmp.Or(c.account, c.caller) }

// enter counts a call as one in flight, if there may be one more; leave must
// follow then. The tap, or the gateway, has admitted the caller.
func (c *call) enter(ctx context.Context) error {
	s := c.server
	if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok {
		c.caller, c.account = a.caller, a.caller
	} else { // it comes from the gateway, which has counted what it takes
		var err error
		c.caller, err = s.auth.Authenticate(metadata.ValueFromIncomingContext(ctx, "authorization"), func() string { return peerAddress(ctx) })
		if err != nil {
			return err
		}
		if err := c.caller.Authorize(c.method); err != nil {
			return err
		}
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

// enterAsGuest is enter for a call without a key. Those that last are bounded in
// all; short ones only for each connection, so that health checks get through.
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
	return apierror.Exhausted(apierror.ReasonTooManyRequests, "there are too many calls at once; "+bounds+": end some, or try again in a moment", time.Second)
}
