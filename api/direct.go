package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
)

// direct carries out the calls of the REST gateway: it calls the services as gRPC does for a
// call from the network, with the same checks, limits, log and audit, but hands the messages
// over as they are. It implements [grpc.ClientConnInterface]. A call may have one request.
type direct struct {
	// Static once the services are registered.
	server     *Server
	maxRequest int
	unary      map[string]unaryMethod
	streaming  map[string]streamingMethod

	// Guarded by mu, which is held with no other lock.
	mu     sync.Mutex
	calls  map[*directCall]struct{} // in flight
	closed bool                     // no call begins any more
	idle   chan struct{}            // closed when closed is set and no call is in flight
}

type unaryMethod struct {
	service any
	handle  grpc.MethodHandler
}

type streamingMethod struct {
	service any
	handle  grpc.StreamHandler
}

// directCall is a call of the REST gateway.
type directCall struct {
	rest    *restRequest
	request proto.Message
	cancel  context.CancelCauseFunc
}

// directKey is the context key of the *directCall.
type directKey struct{}

// directOf returns the call of the REST gateway that is carried out; nil for one from the
// network.
func directOf(ctx context.Context) *directCall {
	d, _ := ctx.Value(directKey{}).(*directCall)
	return d
}

func newDirect(s *Server, maxRequest int) *direct {
	return &direct{
		server:     s,
		maxRequest: maxRequest,
		unary:      make(map[string]unaryMethod),
		streaming:  make(map[string]streamingMethod),
		calls:      make(map[*directCall]struct{}),
		idle:       make(chan struct{}),
	}
}

// add makes the methods of a service callable. Its unary methods are those of
// [Server.handleUnary].
func (d *direct) add(desc *grpc.ServiceDesc, service any) {
	for _, m := range desc.Methods {
		d.unary["/"+desc.ServiceName+"/"+m.MethodName] = unaryMethod{service, m.Handler}
	}
	for _, s := range desc.Streams {
		d.streaming["/"+desc.ServiceName+"/"+s.StreamName] = streamingMethod{service, s.Handler}
	}
}

// Invoke implements [grpc.ClientConnInterface]. The error is a status.
func (d *direct) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	m, known := d.unary[method]
	if !known {
		return status.Error(codes.Unimplemented, method)
	}
	ctx, c, err := d.begin(ctx, method, args)
	if err != nil {
		return err
	}
	defer d.end(c)
	answer, err := m.handle(m.service, ctx, nil, c.handOver)
	if err != nil {
		return err
	}
	return fill(reply, answer)
}

// NewStream implements [grpc.ClientConnInterface]. The call begins with its request.
func (d *direct) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	m, known := d.streaming[method]
	if !known {
		return nil, status.Error(codes.Unimplemented, method)
	}
	return &directStream{
		direct: d,
		name:   method,
		method: m,
		ctx:    ctx,
		wanted: make(chan any),
		filled: make(chan error, 1),
		begun:  make(chan struct{}),
		ended:  make(chan struct{}),
	}, nil
}

// begin admits a call and counts it as in flight; then end must follow. The error is a
// status.
func (d *direct) begin(ctx context.Context, method string, request any) (context.Context, *directCall, error) {
	rest, ok := ctx.Value(restKey{}).(*restRequest)
	if !ok {
		return nil, nil, apierror.Classify(errors.New("a request bypassed the REST handler")).Status().Err()
	}
	if err := rest.admit(ctx, method); err != nil {
		return nil, nil, err
	}
	message, ok := request.(proto.Message)
	if !ok {
		return nil, nil, apierror.Classify(fmt.Errorf("a request can't be a %T", request)).Status().Err()
	}
	if err := rest.check(message, d.maxRequest); err != nil {
		return nil, nil, rest.call.end(ctx, err, nil)
	}
	c := &directCall{rest: rest, request: message}
	ctx, c.cancel = context.WithCancelCause(ctx)
	ctx = context.WithValue(ctx, directKey{}, c)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		c.cancel(nil)
		return nil, nil, apierror.Classify(cutOff()).Status().Err()
	}
	d.calls[c] = struct{}{}
	return ctx, c, nil
}

func (d *direct) end(c *directCall) {
	c.cancel(nil)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.calls, c)
	d.settle()
}

// settle notes that the last call has ended. The caller holds mu.
func (d *direct) settle() {
	if !d.closed || len(d.calls) > 0 {
		return
	}
	select {
	case <-d.idle:
	default:
		close(d.idle)
	}
}

// close refuses new calls, and returns a channel that is closed when the calls in flight have
// ended. It may be called again.
func (d *direct) close() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.settle()
	return d.idle
}

// cut ends the calls in flight. They are told that the node shuts down.
func (d *direct) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.calls {
		c.cancel(cutOff())
	}
}

// cutOff is the error of a call that the node doesn't answer any more.
func cutOff() *broker.Error {
	return &broker.Error{
		Code:    broker.CodeUnavailable,
		Reason:  broker.ReasonDraining,
		Message: "the node is shutting down and did not answer this call",
	}
}

// handOver is the interceptor of a unary call. It calls the service with the request that the
// gateway has decoded, instead of with a copy.
func (c *directCall) handOver(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	return handle(ctx, c.request)
}

// fill copies a message into another one of the same type.
func fill(into, from any) error {
	target, ok := into.(proto.Message)
	if !ok {
		return fmt.Errorf("a %T can't be received", into)
	}
	switch m := from.(type) {
	case encoded:
		defer m.Free()
		return proto.Unmarshal(m.Materialize(), target)
	case proto.Message:
		proto.Merge(target, m)
		return nil
	}
	return fmt.Errorf("a %T can't be sent", from)
}

// directStream is a call whose answer is a stream: for the gateway, which sends the request,
// then receives. The service runs on a goroutine of its own, which ends with the context. It
// waits with each message until the gateway asks for one, and fills the gateway's.
type directStream struct {
	direct *direct
	name   string
	method streamingMethod
	ctx    context.Context //nolint:containedctx // of the call
	wanted chan any        // messages to be filled
	filled chan error      // whether that worked
	begun  chan struct{}   // closed when the service has a message
	ended  chan struct{}   // closed when the service has returned
	err    error           // what it returned; may be read after ended
}

// SendMsg implements [grpc.ClientStream]. It gives back what the request holds, since the call
// may last much longer.
func (s *directStream) SendMsg(m any) error {
	ctx, c, err := s.direct.begin(s.ctx, s.name, m)
	if err != nil {
		return err
	}
	c.rest.sent()
	go func() {
		defer close(s.ended)
		defer s.direct.end(c)
		info := &grpc.StreamServerInfo{FullMethod: s.name, IsServerStream: true}
		stream := &serviceStream{directStream: s, ctx: ctx, call: c}
		defer stream.written()
		s.err = s.direct.server.interceptStream(s.method.service, stream, info, s.method.handle) //nolint:contextcheck // it is in stream
	}()
	return nil
}

// RecvMsg implements [grpc.ClientStream].
func (s *directStream) RecvMsg(m any) error {
	select {
	case s.wanted <- m:
	case <-s.ended:
		return s.end()
	}
	select {
	case err := <-s.filled:
		return err
	case <-s.ended:
	}
	select {
	case err := <-s.filled: // the last message
		return err
	default:
		return s.end() // the service has panicked
	}
}

// end returns the error of a stream that has ended.
func (s *directStream) end() error {
	if s.err != nil {
		return s.err
	}
	return io.EOF
}

// Header implements [grpc.ClientStream]. It waits for the first message, and returns the error
// of a call that fails before it, so that the gateway answers with an error status and not with
// a line of a stream.
func (s *directStream) Header() (metadata.MD, error) {
	select {
	case <-s.begun:
		return nil, nil
	case <-s.ended:
		return nil, s.err
	}
}

// Context implements [grpc.ClientStream].
func (s *directStream) Context() context.Context { return s.ctx }

// CloseSend implements [grpc.ClientStream]. There is one request in any case.
func (*directStream) CloseSend() error { return nil }

// Trailer implements [grpc.ClientStream].
func (*directStream) Trailer() metadata.MD { return nil }

// serviceStream is a directStream for the service.
type serviceStream struct {
	*directStream
	ctx      context.Context //nolint:containedctx // with the directCall
	call     *directCall
	received bool
	first    sync.Once
	held     int64 // bytes that the last message has of the answers budget
}

// Context implements [grpc.ServerStream].
func (s *serviceStream) Context() context.Context { return s.ctx }

// RecvMsg implements [grpc.ServerStream].
func (s *serviceStream) RecvMsg(m any) error {
	if s.received {
		return io.EOF
	}
	s.received = true
	return fill(m, s.call.request)
}

// SendMsg implements [grpc.ServerStream].
func (s *serviceStream) SendMsg(m any) error {
	s.first.Do(func() { close(s.begun) })
	select {
	case into := <-s.wanted:
		s.written()
		if err := s.keep(m); err != nil {
			return err // the gateway gets it as that of the call
		}
		err := fill(into, m)
		s.filled <- err
		return err
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// keep takes room for a message until it is written. It waits a while if there is none.
func (s *serviceStream) keep(m any) error {
	intake, caller := s.direct.server.intake, s.call.rest.call.caller
	bytes := min(answerCopies*int64(sizeOf(m)), intake.answers.share)
	if bytes <= smallCost {
		return nil
	}
	if err := intake.answers.take(s.ctx, caller, bytes, intake.patience); err != nil {
		return err
	}
	s.held = bytes
	return nil
}

// written gives back what the last message holds. The gateway asks for the next message when it has
// written the last one.
func (s *serviceStream) written() {
	if s.held > 0 {
		s.direct.server.intake.answers.give(s.call.rest.call.caller, s.held)
	}
	s.held = 0
}

// SetHeader implements [grpc.ServerStream]. REST has no such headers.
func (*serviceStream) SetHeader(metadata.MD) error { return nil }

// SendHeader implements [grpc.ServerStream].
func (*serviceStream) SendHeader(metadata.MD) error { return nil }

// SetTrailer implements [grpc.ServerStream].
func (*serviceStream) SetTrailer(metadata.MD) {}
