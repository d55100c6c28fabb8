// Package apierror makes the errors of the control API and maps every error to the
// gRPC status that its caller sees.
//
// Services return *[broker.Error] values, from the broker or from the constructors
// here. [Classify] is the only place where an error becomes a status.
package apierror

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/salabroker/sala/broker"
)

// BadRequest returns the error of a request that is wrong as a whole.
func BadRequest(message string) *broker.Error {
	return &broker.Error{Code: broker.CodeInvalidArgument, Reason: broker.ReasonInvalidArgument, Message: message}
}

// Undecodable returns the error of a gRPC message that can't be decoded.
func Undecodable() *broker.Error {
	return BadRequest("the request can't be decoded: it is no message of this call, or is nested too deeply")
}

// Invalid returns the error of a request with faulty fields.
func Invalid(fields ...broker.FieldViolation) *broker.Error {
	failed := &broker.Error{
		Code:   broker.CodeInvalidArgument,
		Reason: broker.ReasonInvalidArgument,
		Fields: fields,
	}
	return failed.WithFieldPrefix("") // writes the message
}

// TooLarge returns the error of a request that is too large, however often it is sent.
func TooLarge(format string, args ...any) *broker.Error {
	return &broker.Error{
		Code:    broker.CodeResourceExhausted,
		Reason:  ReasonRequestTooLarge,
		Message: fmt.Sprintf(format, args...),
	}
}

// Unauthenticated returns the error of a call without valid credentials.
func Unauthenticated(reason, message string) error {
	return &broker.Error{Code: broker.CodeUnauthenticated, Reason: reason, Message: message}
}

// ScopeDenied returns the error of a call that its API key doesn't allow.
func ScopeDenied(format string, args ...any) error {
	return &broker.Error{
		Code:    broker.CodePermissionDenied,
		Reason:  ReasonScopeDenied,
		Message: fmt.Sprintf(format, args...),
	}
}

// Exhausted returns the error of a call that exceeds a limit now. The status tells the
// caller to try again after the given time.
func Exhausted(reason, message string, after time.Duration) error {
	return &overLimit{
		failed: &broker.Error{Code: broker.CodeResourceExhausted, Reason: reason, Message: message},
		after:  after,
	}
}

// overLimit is an error that goes away by itself after a time.
type overLimit struct {
	failed *broker.Error
	after  time.Duration
}

// Error implements error.
func (e *overLimit) Error() string { return e.failed.Error() }

// Unwrap lets [errors.As] find the *[broker.Error].
func (e *overLimit) Unwrap() error { return e.failed }

// WithPrefix puts a path, such as "emits[2].", before the names of the fields of an
// error. Other errors, and nil, stay as they are.
func WithPrefix(prefix string, err error) error {
	var failed *broker.Error
	if errors.As(err, &failed) && len(failed.Fields) > 0 {
		return failed.WithFieldPrefix(prefix)
	}
	return err
}

// WithFieldRenamed renames a field in an error. Other errors stay as they are.
func WithFieldRenamed(err error, from, to string) error {
	var failed *broker.Error
	if !errors.As(err, &failed) || len(failed.Fields) == 0 {
		return err
	}
	renamed := *failed
	renamed.Fields = slices.Clone(failed.Fields)
	for i := range renamed.Fields {
		if renamed.Fields[i].Field == from {
			renamed.Fields[i].Field = to
		}
	}
	return renamed.WithFieldPrefix("") // writes the message
}
