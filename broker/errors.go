package broker

import (
	"fmt"
	"strings"

	"github.com/salabroker/sala/broker/token"
)

// Code is the class of an [Error]. Each transport maps it to a status of its own.
type Code uint8

// The classes of errors that the broker's methods return.
const (
	// CodeInternal is a fault of the broker.
	CodeInternal Code = iota
	// CodeInvalidArgument is a request that is wrong in any state of the broker.
	CodeInvalidArgument
	// CodeNotFound is a request that names something that doesn't exist.
	CodeNotFound
	// CodeUnauthenticated is a credential that is missing or invalid.
	CodeUnauthenticated
	// CodePermissionDenied is a valid credential that doesn't allow the request.
	CodePermissionDenied
	// CodeResourceExhausted is a limit that is reached.
	CodeResourceExhausted
	// CodeFailedPrecondition is a request that the broker's configuration doesn't
	// allow.
	CodeFailedPrecondition
	// CodeUnavailable is a request that can succeed later.
	CodeUnavailable
)

// The reasons of an [Error]. They are part of the public contract: callers get them
// as google.rpc.ErrorInfo.reason, clients as data.code in connect_error and as
// error.code in acks.
const (
	ReasonInvalidArgument   = "INVALID_ARGUMENT"
	ReasonNamespaceNotFound = "NAMESPACE_NOT_FOUND"
	ReasonRoomNotFound      = "ROOM_NOT_FOUND"
	ReasonSocketNotFound    = "SOCKET_NOT_FOUND"
	ReasonUnknownParser     = "UNKNOWN_PARSER"
	ReasonTokenRequired     = "TOKEN_REQUIRED"
	ReasonNamespaceDenied   = "NAMESPACE_DENIED"
	ReasonJoinDenied        = "JOIN_DENIED"
	ReasonPublishDenied     = "PUBLISH_DENIED"
	ReasonBroadcastDenied   = "BROADCAST_DENIED"
	ReasonTooManyRooms      = "TOO_MANY_ROOMS"
	ReasonNoHandler         = "NO_HANDLER"
	ReasonDraining          = "DRAINING"
	ReasonOverloaded        = "OVERLOADED"
	ReasonUndecided         = "UNDECIDED"
	ReasonNodeUnavailable   = "NODE_UNAVAILABLE"
	ReasonNodeNotFound      = "NODE_NOT_FOUND"
	ReasonTooManyAcks       = "TOO_MANY_ACKS"
	ReasonSlowCaller        = "SLOW_CALLER"
	ReasonUserMismatch      = "USER_MISMATCH"
	ReasonTooManyRevoked    = "TOO_MANY_REVOCATIONS"
	ReasonNotKept           = "REVOCATION_NOT_KEPT"
	ReasonNoSigningKey      = "NO_SIGNING_KEY"
	ReasonNotConnected      = "NOT_CONNECTED"
	ReasonNodesDiffer       = "NODES_DIFFER"
	ReasonSigningFailed     = "SIGNING_FAILED"
	ReasonVerifyFailed      = "VERIFY_FAILED"
	ReasonMetrics           = "METRICS"
	ReasonHistoryDisabled   = "HISTORY_DISABLED"
	ReasonHistoryDenied     = "HISTORY_DENIED"
	ReasonPresenceDenied    = "PRESENCE_DENIED"
	ReasonHistoryNotReached = "HISTORY_UNAVAILABLE"
	ReasonKeyMismatch       = "IDEMPOTENCY_MISMATCH"
	ReasonKeyInProgress     = "IDEMPOTENCY_IN_PROGRESS"
	ReasonTooManyUsers      = "TOO_MANY_USERS"
	ReasonKeyNotClaimed     = "IDEMPOTENCY_UNAVAILABLE"
	ReasonKeysDisabled      = "IDEMPOTENCY_DISABLED"
	ReasonTooManyKeys       = "TOO_MANY_IDEMPOTENCY_KEYS"
	ReasonPageExpired       = "PAGE_EXPIRED"

	ReasonRateLimited        = "RATE_LIMITED"
	ReasonTooManyConnections = "TOO_MANY_CONNECTIONS"
	ReasonTooManyNamespaces  = "TOO_MANY_NAMESPACES"
)

// FieldViolation says what is wrong with one field of a request.
type FieldViolation struct {
	// Field is the path of the field, such as "rooms[2]".
	Field string
	// Description says what is wrong and what would be right.
	Description string
}

// Error is the one error type of the broker. It knows nothing of transports.
type Error struct {
	// Code is the error's class.
	Code Code
	// Reason is a stable name in UPPER_SNAKE_CASE, for programs.
	Reason string
	// Message says what is wrong and what to do, for people.
	Message string
	// Fields are the fields at fault; only with CodeInvalidArgument.
	Fields []FieldViolation
}

// Error implements the error interface.
func (e *Error) Error() string { return e.Message }

// WithFieldPrefix returns a copy of e whose fields have the prefix, for a request
// that contains the faulty message in one of its fields.
func (e *Error) WithFieldPrefix(prefix string) *Error {
	moved := *e
	moved.Fields = make([]FieldViolation, len(e.Fields))
	for i, f := range e.Fields {
		moved.Fields[i] = FieldViolation{Field: prefix + f.Field, Description: f.Description}
	}
	moved.Message = fieldsMessage(moved.Fields)
	return &moved
}

// violations collects what is wrong with a request, so that a caller learns all of
// it at once.
type violations []FieldViolation

func (v *violations) add(field, format string, args ...any) {
	*v = append(*v, FieldViolation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// addBelow adds the violations of a message inside the field whose path is prefix.
func (v *violations) addBelow(prefix string, below violations) {
	for _, f := range below {
		v.add(prefix+f.Field, "%s", f.Description)
	}
}

// err returns nil if nothing was added.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	return &Error{
		Code:    CodeInvalidArgument,
		Reason:  ReasonInvalidArgument,
		Message: fieldsMessage(v),
		Fields:  v,
	}
}

func fieldsMessage(fields []FieldViolation) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Field + ": " + f.Description
	}
	return strings.Join(parts, "; ")
}

// errSocketGone is the error for a request about a socket that has ended.
func errSocketGone() *Error {
	return &Error{Code: CodeNotFound, Reason: ReasonSocketNotFound, Message: "the socket is disconnected"}
}

// errNotConnected is the result in the metrics of a packet whose socket is gone.
func errNotConnected() *Error {
	return &Error{Code: CodeNotFound, Reason: ReasonNotConnected, Message: "the client isn't connected to this namespace"}
}

func denied(reason, format string, args ...any) *Error {
	return &Error{Code: CodePermissionDenied, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func invalidEvent(message string) *Error {
	return &Error{Code: CodeInvalidArgument, Reason: ReasonInvalidArgument, Message: message}
}

func invalidToken(message string) *Error {
	return &Error{Code: CodeUnauthenticated, Reason: token.ReasonInvalid, Message: message}
}

func tooManyRooms(limit int) *Error {
	return &Error{
		Code:    CodeResourceExhausted,
		Reason:  ReasonTooManyRooms,
		Message: fmt.Sprintf("a socket can be in at most %d rooms", limit),
	}
}

func tooManyConnections(limit int64) *Error {
	return &Error{
		Code:    CodeResourceExhausted,
		Reason:  ReasonTooManyConnections,
		Message: fmt.Sprintf("the user has %d connections already, as many as are allowed; close one first", limit),
	}
}

// historyDisabled is the error for a room without history.
func historyDisabled(namespace, room string) *Error {
	return &Error{
		Code:    CodeFailedPrecondition,
		Reason:  ReasonHistoryDisabled,
		Message: fmt.Sprintf("the room %q of the namespace %q has no history; the operator gives rooms one with a rule under history: in the configuration file", room, namespace),
	}
}

// historyUnavailable is the error when the history of a room can't be read or cleared at the moment.
func historyUnavailable(message string) *Error {
	return &Error{Code: CodeUnavailable, Reason: ReasonHistoryNotReached, Message: message}
}
