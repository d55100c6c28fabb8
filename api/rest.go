package api

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/explain"
	"github.com/salabroker/sala/broker"
)

// restKey is the context key of the *restRequest.
type restKey struct{}

// restRequest is what is known of an HTTP request beside the call that becomes
// of it. Only the goroutine that handles the request uses it.
type restRequest struct {
	writer http.ResponseWriter
	http   *http.Request
	query  url.Values
	bodies *bodies
	call   *call // counts and logs the request if no RPC becomes of it

	admitted bool
	received int64         // bytes of the body that are held
	room     string        // the room that the body names, if it does
	refused  *broker.Error // what is wrong with the body
	refusal  error         // why the body wasn't read
}

// admit returns the status to refuse the request with if the caller may not make
// this call, or not now. It counts the call once.
func (r *restRequest) admit(ctx context.Context, method string) error {
	if r.admitted {
		return nil
	}
	r.call.method = method
	if err := r.call.caller.Admit(method); err != nil {
		return r.call.end(ctx, err, nil)
	}
	r.admitted = true
	return nil
}

// open reads the body of a call that the caller may make, once there is room to
// decode it. An error is the refusal too.
func (r *restRequest) open() ([]byte, error) {
	if r.refusal = r.admit(r.http.Context(), r.call.method); r.refusal != nil {
		return nil, r.refusal
	}
	if !hasBody(r.http) {
		return nil, nil
	}
	text, received, err := r.bodies.read(r.writer, r.http, r.call.caller)
	r.received = received
	if err == nil {
		cost := jsonCost(text)
		if err = r.call.reserve(r.http.Context(), cost); err == nil {
			r.call.held = cost
		}
	}
	if err != nil {
		r.refusal = r.call.end(r.http.Context(), err, nil)
	}
	return text, r.refusal
}

// decoded gives back the room that the body takes.
func (r *restRequest) decoded() {
	if r.received > 0 {
		r.bodies.intake.receiving.give(r.call.caller, r.received)
	}
	r.received = 0
}

// sent gives back all room: a call may last far longer than what was decoded
// matters.
func (r *restRequest) sent() {
	r.decoded()
	r.call.release()
}

// refuse answers at once, and then lets the caller send the rest of the body, of
// which nothing is kept: many read no answer before they have sent all.
func (r *restRequest) refuse(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // errors are of connections that have ended
	refuse(w, statusOf(r.refusal))
	_ = control.Flush()
	_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.http.Body, r.bodies.most))
}

// prepareREST refuses callers without a key, and requests that the gateway would
// accept while ignoring a part of them. The body is read later: see
// [restRequest.open].
func (s *Server) prepareREST(bodies *bodies, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{server: s, method: restMethod, start: time.Now(), peer: r.RemoteAddr}
		var err error
		c.caller, err = s.auth.Authenticate(r.Header.Values("Authorization"), func() string { return r.RemoteAddr })
		if err == nil {
			err = s.showKey(r.Context())
		}
		if err != nil {
			refuse(w, status.Convert(c.end(r.Context(), err, nil)))
			return
		}
		c.account = c.caller
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil || !isUTF8(r.URL.Path, query) {
			refuse(w, apierror.Classify(apierror.BadRequest("the URL can't be read: it has to be UTF-8, with % escapes for what is special")).Status())
			return
		}
		if (r.Method == http.MethodGet || r.Method == http.MethodDelete) && hasBody(r) {
			empty, err := isEmpty(w, r, bodies.most)
			if err != nil {
				refuse(w, statusOf(bodies.explain(err)))
				return
			}
			if !empty {
				refuse(w, apierror.Classify(apierror.BadRequest(r.Method+" takes no body here; /openapi.json says which call does")).Status())
				return
			}
		}
		rest := &restRequest{writer: w, http: r, query: query, bodies: bodies, call: c}
		defer rest.sent()
		known := r.WithContext(context.WithValue(r.Context(), restKey{}, rest))
		known.Body = restBody{rest}
		next.ServeHTTP(w, known)
	})
}

// restMethod stands in the log and the metrics for REST requests that are
// refused before it is known which call they are.
const restMethod = "REST"

// refuse answers a request of which the body may not have been read: the
// connection is closed then, as the rest of the body stands in the way.
func refuse(w http.ResponseWriter, st *status.Status) {
	w.Header().Set("Connection", "close")
	writeStatus(w, st)
}

func isUTF8(path string, query url.Values) bool {
	for name, values := range query {
		if !utf8.ValidString(name) || !utf8.ValidString(strings.Join(values, "")) {
			return false
		}
	}
	return utf8.ValidString(path)
}

// checkRESTCall refuses query parameters that the gateway would ignore, and
// requests that the server would find too large.
func checkRESTCall(maxRequest int) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if rest, ok := ctx.Value(restKey{}).(*restRequest); ok {
			if err := rest.admit(ctx, method); err != nil {
				return err
			}
			if err := rest.check(req, maxRequest); err != nil {
				return apierror.Classify(err).Status().Err()
			}
		}
		return invoke(ctx, method, req, reply, conn, opts...)
	}
}

func (r *restRequest) check(req any, maxRequest int) error {
	message, ok := req.(proto.Message)
	if !ok {
		return nil
	}
	if err := r.checkParameters(message.ProtoReflect()); err != nil {
		return err
	}
	if size := proto.Size(message); size > maxRequest {
		return apierror.TooLarge("the request has %d bytes as a gRPC message, at most %d are allowed; "+
			"argsJson takes less room than args", size, maxRequest)
	}
	return nil
}

func (r *restRequest) checkParameters(request protoreflect.Message) error {
	faults := explain.Parameters(r.http.Method, r.query, request.Descriptor())
	for name, values := range r.query {
		if len(faults) == 0 && differs(request, name, values[0]) {
			faults = append(faults, broker.FieldViolation{Field: name, Description: "the path of the URL says otherwise; give it there alone"})
		}
	}
	if r.room != "" && differs(request, "room", r.room) {
		faults = append(faults, broker.FieldViolation{Field: "room", Description: "the URL names another room than the body; give it in the URL alone"})
	}
	if len(faults) == 0 {
		return nil
	}
	return apierror.Invalid(faults...)
}

// differs reports whether a text field of the request has another value than
// the one given: the gateway lets the path win silently.
func differs(request protoreflect.Message, name, value string) bool {
	field := request.Descriptor().Fields().ByName(protoreflect.Name(name))
	return field != nil && field.Kind() == protoreflect.StringKind && !field.IsList() && request.Get(field).String() != value
}

// handleRESTError writes the status of a call, or of a request that the
// gateway could make no call of.
func handleRESTError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if rest, known := r.Context().Value(restKey{}).(*restRequest); known && rest.refusal != nil {
		rest.refuse(w)
		return
	}
	st, ok := status.FromError(err)
	switch {
	case !ok: // an escape in the path that can't be read
		st = apierror.WithReason(status.New(codes.InvalidArgument, err.Error()), broker.ReasonInvalidArgument)
	case len(st.Details()) > 0: // from our services
	case r.Context().Err() == nil && isCutOff(st):
		st = cutOff()
	default:
		st = explainRefusal(ctx, r, st)
	}
	writeStatus(w, st)
}

// isCutOff reports whether a call whose caller hasn't gone failed since the
// in-memory connection was closed.
func isCutOff(st *status.Status) bool {
	return st.Code() == codes.Canceled || st.Code() == codes.Unavailable
}

func cutOff() *status.Status {
	return apierror.Classify(&broker.Error{
		Code:    broker.CodeUnavailable,
		Reason:  broker.ReasonDraining,
		Message: "the broker is shutting down and did not answer this call",
	}).Status()
}

// handleRoutingError answers requests for which there is no call.
func (known routes) handleRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	if httpStatus == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", known.allowed(r.URL.EscapedPath()))
		MethodNotAllowed(w, r)
		return
	}
	NotFound(w, r)
}

// MethodNotAllowed answers that there is something at the request's path, but not
// for its method, as the REST API answers errors. The caller has set Allow.
func MethodNotAllowed(w http.ResponseWriter, r *http.Request) {
	message := fmt.Sprintf("%s is no method of %s; /openapi.json lists what there is", r.Method, r.URL.EscapedPath())
	writeStatus(w, apierror.WithReason(status.New(codes.Unimplemented, message), apierror.ReasonMethodNotAllowed))
}

// NotFound answers that there is nothing at the request's path, as the REST API
// answers errors.
func NotFound(w http.ResponseWriter, r *http.Request) {
	message := fmt.Sprintf("there is nothing at %s; /openapi.json lists what there is", r.URL.EscapedPath())
	writeStatus(w, apierror.WithReason(status.New(codes.NotFound, message), apierror.ReasonPathNotFound))
}

// statusOf returns the status that an error is, or becomes.
func statusOf(err error) *status.Status {
	if st, ok := status.FromError(err); ok && len(st.Details()) > 0 {
		return st
	}
	return apierror.Classify(err).Status()
}

// writeStatus writes a gRPC status as JSON: {"code", "message", "details"}.
func writeStatus(w http.ResponseWriter, st *status.Status) {
	if st.Code() == codes.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sala"`)
	}
	for _, detail := range st.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.GetRetryDelay().AsDuration().Seconds()))))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus(st))
	// An error here means that the client has gone away.
	_, _ = w.Write(statusJSON(st)) //nolint:gosec // it is JSON, and says so, to a client that must not sniff
}

func statusJSON(st *status.Status) []byte {
	m := &marshaler{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitUnpopulated: true}}}
	body, err := m.Marshal(st.Proto())
	if err != nil { // a detail of a type that isn't linked in
		body, _ = m.Marshal(status.New(st.Code(), apierror.ValidUTF8(st.Message())).Proto())
	}
	return body
}

// httpStatus is gRPC's usual mapping, but for what HTTP has better words for.
func httpStatus(st *status.Status) int {
	for _, detail := range st.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok {
			continue
		}
		switch info.GetReason() {
		case apierror.ReasonRequestTooLarge:
			return http.StatusRequestEntityTooLarge
		case apierror.ReasonMethodNotAllowed:
			return http.StatusMethodNotAllowed
		case apierror.ReasonRequestTimeout:
			return http.StatusRequestTimeout
		}
	}
	return runtime.HTTPStatusFromCode(st.Code())
}

// explainRefusal returns what the gateway says of a request that it could make
// no call of. ctx is that of the call.
func explainRefusal(ctx context.Context, r *http.Request, st *status.Status) *status.Status {
	rest, known := r.Context().Value(restKey{}).(*restRequest)
	if !known || st.Code() != codes.InvalidArgument {
		return apierror.WithReason(st, apierror.CodeName(st.Code()))
	}
	if rest.refused != nil {
		return apierror.Classify(rest.refused).Status()
	}
	if request := requestOf(ctx); request != nil {
		if faults := explain.Parameters(rest.http.Method, rest.query, request); len(faults) > 0 {
			return apierror.Classify(apierror.Invalid(faults...)).Status()
		}
	}
	return apierror.WithReason(st, broker.ReasonInvalidArgument)
}

// requestOf returns which message the call takes that the gateway was about to
// make; nil if there is none.
func requestOf(ctx context.Context) protoreflect.MessageDescriptor {
	name, _ := runtime.RPCMethod(ctx)
	return explain.RequestOf(name)
}
