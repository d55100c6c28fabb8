package apierror

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

// domain is the domain of google.rpc.ErrorInfo.
const domain = "sala"

// Failure is an error as its caller sees it.
type Failure struct {
	Code    codes.Code
	Reason  string // empty for errors that have no reason beside the code
	Message string
	Fields  []broker.FieldViolation
	Retry   time.Duration // when to try again; 0 if that is unknown
}

// Classify maps an error to what its caller sees. An error that isn't meant for
// callers becomes INTERNAL without its text, so the code that calls Classify logs it.
func Classify(err error) Failure {
	var failed *broker.Error
	if errors.As(err, &failed) {
		return classifyBrokerError(err, failed)
	}
	if errors.Is(err, context.Canceled) {
		return Failure{Code: codes.Canceled, Message: "the call was cancelled"}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Failure{Code: codes.DeadlineExceeded, Message: "the call's deadline passed before it was done"}
	}
	// gRPC's own errors, such as a broken stream, and statuses that have a reason already.
	if st, ok := status.FromError(err); ok {
		return Failure{Code: st.Code(), Reason: reasonOf(st), Message: st.Message()}
	}
	return Internal()
}

func classifyBrokerError(err error, failed *broker.Error) Failure {
	c := codeOf(failed.Code)
	if c == codes.Internal {
		return Internal()
	}
	f := Failure{Code: c, Reason: failed.Reason, Message: failed.Message, Fields: failed.Fields}
	var over *overLimit
	if errors.As(err, &over) {
		f.Retry = over.after
	}
	return f
}

// reasonOf returns the reason in a status; empty if it has none.
func reasonOf(st *status.Status) string {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// Internal returns the failure of a call that failed through no fault of its caller.
func Internal() Failure {
	return Failure{Code: codes.Internal, Message: "the broker failed; its log says why"}
}

// codeOf maps the broker's codes to gRPC's.
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

// CodeName returns the name of a code in the style of the documentation: "NOT_FOUND".
func CodeName(c codes.Code) string {
	return code.Code(c).String() //nolint:gosec // gRPC's codes are 0 to 16
}

// ReasonOrCode returns the reason, or the name of the code for failures without one.
func (f Failure) ReasonOrCode() string {
	if f.Reason == "" {
		return CodeName(f.Code)
	}
	return f.Reason
}

// Status returns the failure as a status with an ErrorInfo, a BadRequest if it names
// fields, and a RetryInfo if it says when to try again.
func (f Failure) Status() *status.Status {
	st := WithReason(status.New(f.Code, f.Message), f.ReasonOrCode())
	if len(f.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, field := range f.Fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field:       ValidUTF8(field.Field),
				Description: ValidUTF8(field.Description),
			})
		}
		if detailed, err := st.WithDetails(bad); err == nil {
			st = detailed
		}
	}
	if f.Retry > 0 {
		if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(f.Retry)}); err == nil {
			st = detailed
		}
	}
	return st
}

// WithReason adds an ErrorInfo to the status of an error.
func WithReason(st *status.Status, reason string) *status.Status {
	st = status.New(st.Code(), ValidUTF8(st.Message()))
	detailed, err := st.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: domain})
	if err != nil { // only OK can't have details
		return st
	}
	return detailed
}

// ValidUTF8 replaces what isn't UTF-8, which neither protobuf nor JSON can carry. An
// error may quote anything.
func ValidUTF8(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
