package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/explain"
	"github.com/salabroker/sala/broker"
)

// restKey is the context key of the *restRequest.
type restKey struct{}

// restRequest is the state of an HTTP request that becomes a call. Only the goroutine that
// handles the request uses it.
type restRequest struct {
	writer http.ResponseWriter
	http   *http.Request
	query  url.Values
	bodies *bodies
	call   *call // counts and logs the request if it doesn't become an RPC

	admitted bool
	received int64         // bytes that the body has of the receiving budget
	answer   int64         // bytes that the answer has of the answers budget
	room     string        // the room in the body; may be empty
	refused  *broker.Error // what is wrong with the body, if anything
	refusal  error         // why the body wasn't read, if it wasn't
}

// admit counts the call and checks that the caller may make it, once. The error is a
// status.
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

// open admits the call and reads its body once there is room to decode it. It keeps an
// error as the refusal.
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

// decoded gives back what the body has of the receiving budget.
func (r *restRequest) decoded() {
	if r.received > 0 {
		r.bodies.intake.receiving.give(r.call.caller, r.received)
	}
	r.received = 0
}

// sent gives back everything that the request holds, since the call may last much longer
// than its request matters.
func (r *restRequest) sent() {
	r.decoded()
	r.call.release()
}

// keep takes room for the answer of a call until it is written. It doesn't wait, as the answer is in
// memory meanwhile. Only calls that read are refused. Others have been carried out: their answers
// may take more than a share, and while they do, the caller can make no further call.
func (r *restRequest) keep(answer any, reads bool) error {
	intake := r.bodies.intake
	bytes := answerCopies * int64(sizeOf(answer))
	if bytes <= smallCost {
		return nil
	}
	if reads {
		bytes = min(bytes, intake.answers.share)
		if !intake.answers.try(r.call.caller, bytes) {
			r.call.server.metrics.refuse(refusedAnswers)
			return tooBusy()
		}
	} else {
		intake.answers.owe(r.call.caller, bytes)
	}
	r.answer = bytes
	return nil
}

// written gives back what the answer holds.
func (r *restRequest) written() {
	if r.answer > 0 {
		r.bodies.intake.answers.give(r.call.caller, r.answer)
	}
}

// refuse answers immediately, then reads and discards the rest of the body: many clients
// read no answer before they have sent everything.
func (r *restRequest) refuse(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // fails only if the connection has ended
	refuse(w, statusOf(r.refusal))
	_ = control.Flush()
	_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.http.Body, r.bodies.most))
}

// prepareREST refuses callers without a key, and requests if the gateway would ignore
// a part. The body is read later: see [restRequest.open].
func (s *Server) prepareREST(bodies *bodies, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{server: s, method: restMethod, start: time.Now(), peer: r.RemoteAddr, from: s.parentOf(r.Header)}
		var err error
		c.caller, err = s.auth.Authenticate(r.Header.Values("Authorization"), func() string { return r.RemoteAddr })
		if err == nil {
			err = s.showKey(r.Context(), c.caller)
		}
		if err != nil {
			refuse(w, status.Convert(c.end(r.Context(), err, nil)))
			return
		}
		c.account = c.caller
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil || !isUTF8(r.URL.Path, query) {
			refuse(w, apierror.Classify(apierror.BadRequest("the URL can't be read: it must be UTF-8, with special characters escaped with %")).Status())
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
		defer rest.written()
		defer rest.sent()
		known := r.WithContext(context.WithValue(r.Context(), restKey{}, rest))
		known.Body = restBody{rest}
		next.ServeHTTP(w, known)
	})
}

// restMethod is the method, in logs and metrics, of REST requests that are refused before
// their call is known.
const restMethod = "REST"

func isUTF8(path string, query url.Values) bool {
	for name, values := range query {
		if !utf8.ValidString(name) || !utf8.ValidString(strings.Join(values, "")) {
			return false
		}
	}
	return utf8.ValidString(path)
}

// check refuses query parameters that the gateway would ignore, and requests that are too
// large for the server.
func (r *restRequest) check(message proto.Message, maxRequest int) error {
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
			faults = append(faults, broker.FieldViolation{Field: name, Description: "differs from the path of the URL; give it there only"})
		}
	}
	if r.room != "" && differs(request, "room", r.room) {
		faults = append(faults, broker.FieldViolation{Field: "room", Description: "differs from the URL; give it there only"})
	}
	if len(faults) == 0 {
		return nil
	}
	return apierror.Invalid(faults...)
}

// differs reports whether a text field of the request has another value than the given
// one. The gateway silently prefers the path.
func differs(request protoreflect.Message, name, value string) bool {
	field := request.Descriptor().Fields().ByName(protoreflect.Name(name))
	return field != nil && field.Kind() == protoreflect.StringKind && !field.IsList() && request.Get(field).String() != value
}
