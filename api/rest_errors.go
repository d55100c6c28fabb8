package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/explain"
	"github.com/salabroker/sala/broker"
)

// refuse answers a request whose body may not have been read. It closes the connection,
// since an unread body blocks the next request.
func refuse(w http.ResponseWriter, st *status.Status) {
	w.Header().Set("Connection", "close")
	writeStatus(w, st)
}

// handleRESTError writes the status of a call, or of a request that the gateway couldn't
// turn into a call.
func handleRESTError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	rest, known := r.Context().Value(restKey{}).(*restRequest)
	if known && rest.refusal != nil {
		rest.refuse(w)
		return
	}
	st, ok := status.FromError(err)
	switch {
	case !ok: // an invalid escape in the path
		st = apierror.WithReason(status.New(codes.InvalidArgument, err.Error()), broker.ReasonInvalidArgument)
	case len(st.Details()) > 0: // from our services
	default:
		st = explainRefusal(ctx, r, st)
		if known {
			_ = rest.call.end(ctx, st.Err(), nil) // it never became a call that counts itself
		}
	}
	writeStatus(w, st)
}

// explainRefusal returns the status of a request that the gateway couldn't turn into a call.
// ctx is the call's.
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

// requestOf returns the request message of the call that the gateway was about to make; nil
// if there is none.
func requestOf(ctx context.Context) protoreflect.MessageDescriptor {
	name, _ := runtime.RPCMethod(ctx)
	return explain.RequestOf(name)
}

// handleRoutingError answers requests that match no call.
func (known routes) handleRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	if httpStatus == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", known.allowed(r.URL.EscapedPath()))
		MethodNotAllowed(w, r)
		return
	}
	NotFound(w, r)
}

// MethodNotAllowed answers, in the form of the REST API, that the request's path doesn't
// take its method. The caller has set the header Allow.
func MethodNotAllowed(w http.ResponseWriter, r *http.Request) {
	message := fmt.Sprintf("%s is not a method of %s; /openapi.json lists all calls", r.Method, r.URL.EscapedPath())
	writeStatus(w, apierror.WithReason(status.New(codes.Unimplemented, message), apierror.ReasonMethodNotAllowed))
}

// NotFound answers, in the form of the REST API, that the request's path doesn't exist.
func NotFound(w http.ResponseWriter, r *http.Request) {
	message := fmt.Sprintf("there is nothing at %s; /openapi.json lists all calls", r.URL.EscapedPath())
	writeStatus(w, apierror.WithReason(status.New(codes.NotFound, message), apierror.ReasonPathNotFound))
}

// statusOf returns an error as a status.
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
	// An error means that the client is gone.
	_, _ = w.Write(statusJSON(st)) //nolint:gosec // it is JSON, with a content type and nosniff
}

func statusJSON(st *status.Status) []byte {
	m := &marshaler{JSONPb: runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitUnpopulated: true}}}
	body, err := m.Marshal(st.Proto())
	if err != nil { // a detail of a type that isn't linked in
		body, _ = m.Marshal(status.New(st.Code(), apierror.ValidUTF8(st.Message())).Proto())
	}
	return body
}

// httpStatus maps a status as gRPC does, except where HTTP has a better code.
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

// explainStreamError returns the status in the last line of a broken stream.
func explainStreamError(_ context.Context, err error) *status.Status { return statusOf(err) }
