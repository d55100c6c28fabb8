package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/salabroker/sala/broker"
)

// errorDomain stands in google.rpc.ErrorInfo beside the reasons that are ours.
const errorDomain = "sala"

// failure is an error as a caller gets to see it.
type failure struct {
	code    codes.Code
	reason  string
	message string
	fields  []broker.FieldViolation
	retry   time.Duration // after what time to try again, if that is known
}

// classify is the one place where errors become statuses. What isn't meant for
// callers becomes INTERNAL without a word of why: whoever calls classify logs
// err then.
func classify(err error) failure {
	var failed *broker.Error
	if errors.As(err, &failed) {
		if c := codeOf(failed.Code); c != codes.Internal {
			return failure{code: c, reason: failed.Reason, message: failed.Message, fields: failed.Fields, retry: retryAfter(err)}
		}
		return internal()
	}
	if errors.Is(err, context.Canceled) {
		return failure{code: codes.Canceled, message: "the call was cancelled"}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return failure{code: codes.DeadlineExceeded, message: "the call's deadline passed before it was done"}
	}
	// gRPC's own errors, such as those of a stream that broke off, and statuses
	// that have a reason already.
	if st, ok := status.FromError(err); ok {
		failed := failure{code: st.Code(), message: st.Message()}
		for _, detail := range st.Details() {
			if info, ok := detail.(*errdetails.ErrorInfo); ok {
				failed.reason = info.GetReason()
			}
		}
		return failed
	}
	return internal()
}

func internal() failure {
	return failure{code: codes.Internal, message: "the broker failed; its log says why"}
}

// codeOf maps the classes of the broker's errors to gRPC's codes.
func codeOf(c broker.Code) codes.Code {
	switch c {
	case broker.CodeInvalidArgument:
		return codes.InvalidArgument
	case broker.CodeNotFound:
		return codes.NotFound
	case broker.CodeUnauthenticated:
		return codes.Unauthenticated
	case broker.CodePermissionDenied:
		return codes.PermissionDenied
	case broker.CodeResourceExhausted:
		return codes.ResourceExhausted
	case broker.CodeFailedPrecondition:
		return codes.FailedPrecondition
	case broker.CodeUnavailable:
		return codes.Unavailable
	case broker.CodeInternal:
		return codes.Internal
	}
	return codes.Internal
}

// codeName returns a code as it stands in documentation: "NOT_FOUND".
func codeName(c codes.Code) string {
	return code.Code(c).String() //nolint:gosec // gRPC's codes are 0 to 16
}

// status returns f with an ErrorInfo, a BadRequest if fields are at fault, and a
// RetryInfo if it passes by itself.
func (f failure) status() *status.Status {
	st := withDetails(status.New(f.code, f.message), f.errorReason(), f.fields)
	if f.retry <= 0 {
		return st
	}
	detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(f.retry)})
	if err != nil { // only OK can't have details
		return st
	}
	return detailed
}

// errorReason returns the code's name for errors without a reason of their own.
func (f failure) errorReason() string {
	if f.reason == "" {
		return codeName(f.code)
	}
	return f.reason
}

func withDetails(st *status.Status, reason string, fields []broker.FieldViolation) *status.Status {
	st = status.New(st.Code(), validUTF8(st.Message()))
	detailed, err := st.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: errorDomain})
	if err == nil && len(fields) > 0 {
		badRequest := &errdetails.BadRequest{}
		for _, field := range fields {
			badRequest.FieldViolations = append(badRequest.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field:       validUTF8(field.Field),
				Description: validUTF8(field.Description),
			})
		}
		detailed, err = detailed.WithDetails(badRequest)
	}
	if err != nil { // only OK can't have details
		return st
	}
	return detailed
}

// validUTF8 returns text that protobuf and JSON can carry. What an error quotes
// may be anything.
func validUTF8(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// invalid returns the error of a request with faulty fields.
func invalid(fields ...broker.FieldViolation) *broker.Error {
	failed := &broker.Error{
		Code:   broker.CodeInvalidArgument,
		Reason: broker.ReasonInvalidArgument,
		Fields: fields,
	}
	return failed.WithFieldPrefix("") // which writes the message
}
