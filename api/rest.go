package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/salabroker/sala/broker"
)

// Reasons that a REST request is refused before it becomes a call.
const (
	ReasonPathNotFound     = "PATH_NOT_FOUND"
	ReasonMethodNotAllowed = "METHOD_NOT_ALLOWED"
	ReasonRequestTooLarge  = "REQUEST_TOO_LARGE"
)

// restKey is the context key of the *restRequest.
type restKey struct{}

// restRequest is what checkRESTCall needs to know of the HTTP request.
type restRequest struct {
	method string
	query  url.Values
}

// prepareREST refuses requests that the gateway would accept while ignoring a
// part of them, reads the body up to a limit, and hands the rest to next.
func prepareREST(maxBody int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil || !validUTF8(r.URL.Path, query) {
			writeError(w, &broker.Error{
				Code:    broker.CodeInvalidArgument,
				Reason:  broker.ReasonInvalidArgument,
				Message: "the URL can't be read: it has to be UTF-8, with % escapes for what is special",
			})
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			writeError(w, requestTooLarge("the body has more than %d bytes", maxBody))
			return
		case err != nil:
			writeError(w, &broker.Error{
				Code:    broker.CodeInvalidArgument,
				Reason:  broker.ReasonInvalidArgument,
				Message: "the body broke off before its end",
			})
			return
		case r.Method != http.MethodPost && len(bytes.TrimSpace(body)) > 0:
			writeError(w, &broker.Error{
				Code:    broker.CodeInvalidArgument,
				Reason:  broker.ReasonInvalidArgument,
				Message: r.Method + " takes no body here; /openapi.json says which call does",
			})
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), restKey{}, &restRequest{method: r.Method, query: query}))
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func validUTF8(path string, query url.Values) bool {
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
		message, ok := req.(proto.Message)
		rest, known := ctx.Value(restKey{}).(*restRequest)
		if ok && known {
			if err := rest.checkQuery(message.ProtoReflect().Descriptor()); err != nil {
				return classify(err).status().Err()
			}
			if size := proto.Size(message); size > maxRequest {
				return classify(requestTooLarge("the request has %d bytes as a gRPC message, at most %d are allowed; "+
					"argsJson takes less room than args", size, maxRequest)).status().Err()
			}
		}
		return invoke(ctx, method, req, reply, conn, opts...)
	}
}

func (r *restRequest) checkQuery(request protoreflect.MessageDescriptor) error {
	var faults []broker.FieldViolation
	for name := range r.query {
		switch {
		case r.method == http.MethodPost:
			faults = append(faults, broker.FieldViolation{Field: name, Description: "is in the URL; POST takes it in the body"})
		case !hasField(request, name):
			faults = append(faults, broker.FieldViolation{Field: name, Description: "there is no such parameter; /openapi.json lists those there are"})
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return invalid(faults...)
}

// hasField reports whether path, such as "pageSize", "page_size" or
// "notice.event", names a field.
func hasField(message protoreflect.MessageDescriptor, path string) bool {
	name, rest, nested := strings.Cut(path, ".")
	field := message.Fields().ByName(protoreflect.Name(name))
	if field == nil {
		field = message.Fields().ByJSONName(name)
	}
	if field == nil || !nested {
		return field != nil
	}
	return field.Message() != nil && hasField(field.Message(), rest)
}

func requestTooLarge(format string, args ...any) error {
	return &broker.Error{
		Code:    broker.CodeResourceExhausted,
		Reason:  ReasonRequestTooLarge,
		Message: fmt.Sprintf(format, args...),
	}
}

// handleRESTError writes the status of a call, or of a request that the
// gateway could make no call of.
func handleRESTError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	st, ok := status.FromError(err)
	switch {
	case !ok: // an escape in the path that can't be read
		st = withDetails(status.New(codes.InvalidArgument, err.Error()), broker.ReasonInvalidArgument, nil)
	case len(st.Details()) > 0: // from our services
	case r.Context().Err() == nil && (st.Code() == codes.Canceled || st.Code() == codes.Unavailable):
		// Not the caller has gone: the in-memory connection is closed.
		st = classify(&broker.Error{
			Code:    broker.CodeUnavailable,
			Reason:  broker.ReasonDraining,
			Message: "the broker is shutting down and did not answer this call",
		}).status()
	default:
		st = withDetails(st, codeName(st.Code()), nil)
	}
	writeStatus(w, st)
}

func handleRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	if httpStatus == http.StatusMethodNotAllowed {
		writeMethodNotAllowed(w, r)
		return
	}
	writeNotFound(w, r)
}

func writeMethodNotAllowed(w http.ResponseWriter, r *http.Request) {
	message := fmt.Sprintf("%s is no method of %s; /openapi.json lists what there is", r.Method, r.URL.EscapedPath())
	writeStatus(w, withDetails(status.New(codes.Unimplemented, message), ReasonMethodNotAllowed, nil))
}

func writeNotFound(w http.ResponseWriter, r *http.Request) {
	message := fmt.Sprintf("there is nothing at %s; /openapi.json lists what there is", r.URL.EscapedPath())
	writeStatus(w, withDetails(status.New(codes.NotFound, message), ReasonPathNotFound, nil))
}

func writeError(w http.ResponseWriter, err error) { writeStatus(w, classify(err).status()) }

// writeStatus writes a gRPC status as JSON: {"code", "message", "details"}.
func writeStatus(w http.ResponseWriter, st *status.Status) {
	m := &marshaler{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitUnpopulated: true}}}
	body, err := m.Marshal(st.Proto())
	if err != nil { // a detail of a type that isn't linked in
		body, _ = m.Marshal(status.New(st.Code(), st.Message()).Proto())
	}
	if st.Code() == codes.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sala"`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus(st))
	// An error here means that the client has gone away.
	_, _ = w.Write(body) //nolint:gosec // it is JSON, and says so, to a client that must not sniff
}

// httpStatus is gRPC's usual mapping, but for what HTTP has better words for.
func httpStatus(st *status.Status) int {
	for _, detail := range st.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok {
			continue
		}
		switch info.GetReason() {
		case ReasonRequestTooLarge:
			return http.StatusRequestEntityTooLarge
		case ReasonMethodNotAllowed:
			return http.StatusMethodNotAllowed
		}
	}
	return runtime.HTTPStatusFromCode(st.Code())
}
