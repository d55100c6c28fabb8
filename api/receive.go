package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
)

// What requests may take together, as shares of the memory limit.
const (
	// receivingShare is for requests that arrive and aren't decoded yet, and
	// decodingShare for those that are decoded and handled.
	receivingShare = 12
	decodingShare  = 8
	// assumedMemory stands for the limit where there is none.
	assumedMemory = 2 << 30
	// minDecoding is how many times the largest request each key may decode
	// however little memory there is.
	minDecoding = 4
	// smallCost is up to what a request is decoded without being counted: each call
	// decodes one or two at a time.
	smallCost = 16 << 10
	// streamWindow is how much of a request a caller may send before the call
	// asks for it, and connectionWindow how much may be under way on a connection.
	streamWindow     = 64 << 10
	connectionWindow = 1 << 20
	// minCalls and maxCalls bound how many calls are in flight, so that their
	// windows take another such share. Each key has half of them.
	windowShare = 8
	minCalls    = 512
	maxCalls    = 4096
	// maxGuestStreams and maxGuestRequest bound the calls that need no key: health
	// checks that are watched, reflection.
	maxGuestStreams = 256
	maxGuestRequest = 16 << 10
)

// intake is what bounds the requests of all callers before they are decoded.
type intake struct {
	// Static.
	maxRequest int64
	// maxReceived is from how many bytes on a message ends its stream. It is larger
	// than maxRequest, since a backend that returns what a client has sent must not
	// lose its stream by that.
	maxReceived int64
	maxCalls    int64         // of each key; twice as many in all
	maxUnread   int64         // bytes of answers that their callers don't read
	patience    time.Duration // of requests that wait for room
	arriving    time.Duration // how long a request, or a piece of a large message, may take to arrive
	receiving   *budget
	decoding    *budget
	shapes      shapes

	calls atomic.Int64 // in flight, those of guests left out
}

// newIntake fits the bounds into a memory limit, 0 for none.
func newIntake(memory, maxRequest int64) (*intake, error) {
	known, err := newShapes()
	if err != nil {
		return nil, err
	}
	if memory <= 0 {
		memory = assumedMemory
	}
	return &intake{
		maxRequest:  maxRequest,
		maxReceived: maxListing*(maxRequest-maxOverhead) + maxOverhead,
		maxCalls:    min(max(memory/windowShare/streamWindow, minCalls), maxCalls) / 2,
		maxUnread:   memory / unreadShare,
		patience:    bodyTimeout,
		arriving:    bodyTimeout,
		receiving:   newBudget(memory/receivingShare, 2*maxRequest),
		decoding:    newBudget(memory/decodingShare, minDecoding*maxRequest),
		shapes:      known,
	}, nil
}

// arrival is the context of a call from the network. It ends with the stream, or
// when the request is too long in coming.
type arrival struct {
	context.Context
	cancel context.CancelCauseFunc
	caller *auth.Caller
	late   atomic.Bool
}

// arrivalKey is the context key of the *arrival.
type arrivalKey struct{}

// Value implements context.Context.
func (a *arrival) Value(key any) any {
	if key == (arrivalKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// Err implements context.Context.
func (a *arrival) Err() error {
	if a.late.Load() {
		return context.DeadlineExceeded
	}
	return a.Context.Err()
}

// expire ends the call.
func (a *arrival) expire() {
	a.late.Store(true)
	a.cancel(context.DeadlineExceeded)
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

// sizeOf is how many bytes a message has.
func sizeOf(m any) int {
	switch m := m.(type) {
	case encoded:
		return m.Len()
	case proto.Message:
		return proto.Size(m)
	}
	return 0
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

// callOf returns the call that a service carries out; one that counts nothing
// outside a server.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}
