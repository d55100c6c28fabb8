package eventhub

import "fmt"

// Reasons of an [Error], and codes of the [Failure] that a client gets when no backend answers. They
// are part of the public contract.
const (
	// ReasonInvalid: an argument is invalid, whatever the hub's state.
	ReasonInvalid = "INVALID_ARGUMENT"
	// ReasonTooManySubscriptions: there are as many as the hub allows.
	ReasonTooManySubscriptions = "TOO_MANY_SUBSCRIPTIONS"
	// ReasonSlowSubscriber: the member's queue was full.
	ReasonSlowSubscriber = "SLOW_SUBSCRIBER"
	// ReasonClosed: the subscription was closed by its own side.
	ReasonClosed = "SUBSCRIPTION_CLOSED"
	// ReasonDraining: the hub is closing.
	ReasonDraining = "DRAINING"

	// ReasonDeliveryNotFound: the subscription has no such delivery that waits for an answer, or it
	// was so long ago that the hub no longer knows.
	ReasonDeliveryNotFound = "DELIVERY_NOT_FOUND"
	// ReasonDeliveryExpired: the deadline has passed.
	ReasonDeliveryExpired = "DELIVERY_EXPIRED"
	// ReasonDeliveryAnswered: the delivery was answered before, here or by another group.
	ReasonDeliveryAnswered = "DELIVERY_ANSWERED"
	// ReasonDeliveryMismatch: a reply where a decision is needed, or the reverse.
	ReasonDeliveryMismatch = "DELIVERY_MISMATCH"

	// ReasonNoHandler: no backend subscribes to the event.
	ReasonNoHandler = "NO_HANDLER"
	// ReasonHandlerTimeout: no backend answered before the deadline.
	ReasonHandlerTimeout = "HANDLER_TIMEOUT"
	// ReasonHandlerLost: every backend that had the event went away.
	ReasonHandlerLost = "HANDLER_LOST"
	// ReasonHandlerOverloaded: the backends that could take the event have no room for it.
	ReasonHandlerOverloaded = "HANDLER_OVERLOADED"
)

// Error is the only error type of the package.
type Error struct {
	// Reason is one of the Reason constants.
	Reason string
	// Field is the argument at fault; only with ReasonInvalid.
	Field string
	// Message says what is wrong and what to do, for people.
	Message string
}

// Error implements the error interface.
func (e *Error) Error() string { return e.Message }

// newError returns the error of a reason that needs no details.
func newError(reason string) *Error {
	messages := map[string]string{
		ReasonTooManySubscriptions: "there are as many subscriptions as the broker allows; close one, or use one for several filters",
		ReasonSlowSubscriber:       "the subscriber is too slow and its queue is full; grant credits and read faster, or add members to the group",
		ReasonClosed:               "the subscription is closed",
		ReasonDraining:             "the node is shutting down; subscribe again in a moment",
		ReasonNoHandler:            "no backend handles this event",
		ReasonHandlerTimeout:       "the backend didn't answer in time",
		ReasonHandlerLost:          "the backend went away before it answered",
		ReasonHandlerOverloaded:    "the backend has no room for more events",
	}
	return &Error{Reason: reason, Message: messages[reason]}
}

// rejection is the error of an answer to a delivery that takes none.
func rejection(id uint64, reason string) *Error {
	format := map[string]string{
		ReasonDeliveryNotFound: "this subscription has no delivery %d that waits for an answer",
		ReasonDeliveryExpired:  "the deadline of delivery %d has passed, and the client was told so",
		ReasonDeliveryAnswered: "delivery %d was answered before",
		ReasonDeliveryMismatch: "delivery %d needs the other kind of answer: a decision if it has needs_decision, a reply if it has needs_ack",
	}[reason]
	return &Error{Reason: reason, Message: fmt.Sprintf(format, id)}
}

// failure is the error as a client gets it.
func (e *Error) failure() *Failure { return &Failure{Code: e.Reason, Message: e.Message} }
