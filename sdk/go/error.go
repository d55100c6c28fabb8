package sala

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is what a call to the broker failed with. Get it with errors.As, or ask [CodeOf] and
// [ReasonOf].
type Error struct {
	// Code is the gRPC code, such as codes.NotFound.
	Code codes.Code
	// Reason is a stable name of what happened, such as "ROOM_NOT_FOUND". Later releases may add
	// reasons. It is empty if the error isn't the broker's, for example because nobody answers.
	Reason string
	// Message describes the error to people. If the broker can't be reached, it says why, and what to
	// do.
	Message string
	// Fields are the fields of the request that are invalid, if the code is codes.InvalidArgument.
	Fields []FieldViolation
	// Metadata has further facts about the error. It may be nil.
	Metadata map[string]string
	// RetryAfter is how long the broker asks to wait before the next attempt. 0 if it doesn't say.
	RetryAfter time.Duration

	cause error
}

// FieldViolation says what is wrong with a field of a request.
type FieldViolation struct {
	// Field is the path of the field in the proto's names, such as "args_json".
	Field string
	// Description says what is wrong with it.
	Description string
}

// Error returns the message, with the reason if there is one.
func (e *Error) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("sala: %s (%s)", e.Message, e.Reason)
	}
	return "sala: " + e.Message
}

// GRPCStatus returns the error as gRPC knows it, so that status.Code and status.Convert work.
func (e *Error) GRPCStatus() *status.Status {
	if st, ok := status.FromError(e.cause); ok && st != nil { // nil for an error that this package has made
		return st
	}
	return status.New(e.Code, e.Message)
}

// Unwrap returns context.DeadlineExceeded or context.Canceled if that is what happened to the call.
func (e *Error) Unwrap() error {
	switch e.Code {
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Canceled:
		return context.Canceled
	}
	return nil
}

// CodeOf returns the code of an error of this package; codes.OK for nil, codes.Unknown for others.
func CodeOf(err error) codes.Code { return status.Code(err) }

// ReasonOf returns the reason of an error of this package, and an empty text for others.
func ReasonOf(err error) string {
	if failed, ok := errors.AsType[*Error](err); ok {
		return failed.Reason
	}
	return ""
}

// asError turns what gRPC returns into an *Error. Other errors stay as they are.
func (c *Client) asError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = status.FromContextError(context.DeadlineExceeded).Err()
	case errors.Is(err, context.Canceled):
		err = status.FromContextError(context.Canceled).Err()
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	failed := &Error{Code: st.Code(), Message: st.Message(), cause: err}
	for _, detail := range st.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			failed.Reason, failed.Metadata = detail.GetReason(), detail.GetMetadata()
		case *errdetails.BadRequest:
			for _, field := range detail.GetFieldViolations() {
				failed.Fields = append(failed.Fields, FieldViolation{Field: field.GetField(), Description: field.GetDescription()})
			}
		case *errdetails.RetryInfo:
			failed.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	if failed.Reason == "" {
		failed.Message = c.address.explain(failed.Code, failed.Message)
	}
	return failed
}

// invalid is the error for a call that can't be made as it is.
func invalid(format string, args ...any) error {
	return &Error{Code: codes.InvalidArgument, Reason: "INVALID_ARGUMENT", Message: fmt.Sprintf(format, args...)}
}

// ClientError is an error that a handler returns for the client to see. A client whose event is
// refused gets it in its ack, as {error: {code, message}}; one that may not connect gets
// connect_error with the message, and with the code in data.code.
type ClientError struct {
	// Code is a stable name for programs, 1 to 255 bytes, such as "NOT_ALLOWED".
	Code string
	// Message describes the error, in at most 1024 bytes.
	Message string
}

// Error returns the message and the code.
func (e *ClientError) Error() string { return fmt.Sprintf("%s (%s)", e.Message, e.Code) }

// Refuse returns a [ClientError]: what a handler returns to refuse an event or a connection.
func Refuse(code, message string) error { return &ClientError{Code: code, Message: message} }
