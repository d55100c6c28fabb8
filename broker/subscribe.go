package broker

import (
	"context"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/grace"
)

// Limits of the answers of backends.
const (
	maxDecisionRooms     = 100
	maxFailureTextLength = 1024
)

// lastEventsGrace is how long subscribers have to take the last events once the
// clients are gone.
const lastEventsGrace = 2 * time.Second

// backlogShare is the part of the memory limit, as a divisor, that the events take at most which
// wait for the subscriptions of one API key.
const backlogShare = 16

// maxOwnerBytes returns what may wait for the subscriptions of one API key; 0 for the default.
func (o *Options) maxOwnerBytes() int64 {
	if o.MemoryLimit <= 0 {
		return 0
	}
	return max(o.MemoryLimit/backlogShare, 4*o.MaxMessageBytes)
}

// SubscribeOptions says what a [Subscription] is for.
type SubscribeOptions struct {
	// Group is the consumer group to join; empty for one of its own.
	Group string
	// Namespaces, Events and Kinds select the events; an empty one means all. Events
	// are the names of messages and don't affect other kinds.
	Namespaces, Events []string
	Kinds              []eventhub.Kind
	// Credits is how many events may be delivered at first.
	Credits int
	// Decide makes the subscriber decide who may connect.
	Decide bool
	// Observe makes it an observer: it is never asked for anything, and clients are
	// answered as if it weren't there.
	Observe bool
	// Owner is the name of the API key that subscribes, for people and for its share of the
	// memory for events that wait; may be empty.
	Owner string
}

// Subscribe subscribes a backend to what clients of this node do from now on, and to
// those of other nodes from a moment later, for which [Broker.AwaitSubscribed] waits.
// It may be called concurrently. The error is a *[Error] that names the fields at fault.
func (b *Broker) Subscribe(o SubscribeOptions) (*Subscription, error) {
	if err := o.validate(b.namespaceNames); err != nil {
		return nil, err
	}
	sub, err := b.events.Subscribe(eventhub.SubscribeOptions{
		Group:   o.Group,
		Filter:  eventhub.Filter{Kinds: o.Kinds, Namespaces: o.Namespaces, Names: o.Events},
		Decide:  o.Decide,
		Observe: o.Observe,
		Credits: o.Credits,
		Owner:   o.Owner,
	})
	if err != nil {
		return nil, eventsError(err)
	}
	return NewSubscription(sub, b.messageLimits), nil
}

func (o *SubscribeOptions) validate(namespaces []string) error {
	var v violations
	if o.Group != "" {
		validateName(&v, "group", "a group's name", o.Group)
	}
	validateNames(&v, "namespaces", o.Namespaces, func(v *violations, field, name string) {
		if !slices.Contains(namespaces, name) {
			v.add(field, "%q is not one of this broker's namespaces: %v", name, namespaces)
		}
	})
	validateNames(&v, "events", o.Events, func(v *violations, field, name string) {
		validateName(v, field, "an event's name", name)
	})
	if len(o.Kinds) > 0 && len(o.Events) > 0 && !slices.Contains(o.Kinds, eventhub.Message) {
		v.add("events", "events selects messages, but kinds doesn't include them; add MESSAGE to kinds or leave events empty")
	}
	return v.err()
}

// endGrace is how long backends may take the last events, and goroutines may take to end,
// when the time for Shutdown is over.
const endGrace = 250 * time.Millisecond

// endSubscriptions ends the subscriptions once the subscribers have taken the last
// events. They get a moment for that even if ctx has ended: clients that took all its time
// are cut at its end, so backends are told only then that these, and those that are away,
// are gone.
func (b *Broker) endSubscriptions(ctx context.Context) {
	extended, release := grace.Extend(ctx, endGrace)
	defer release()
	limited, cancel := context.WithTimeout(extended, lastEventsGrace)
	defer cancel()
	if err := b.events.Close(limited); err != nil {
		b.log.Warn("subscribers have not taken and answered all events", "error", err)
	}
}

// Subscription delivers events to a backend and takes its answers. Its methods may
// be called concurrently, except that only one goroutine at a time may call Take.
// Their errors are *[Error].
type Subscription struct {
	sub    *eventhub.Subscription
	limits MessageLimits
}

// NewSubscription wraps the subscription of a hub, and checks its answers as the
// broker checks messages.
func NewSubscription(sub *eventhub.Subscription, limits MessageLimits) *Subscription {
	return &Subscription{sub: sub, limits: limits}
}

// Take takes events as [eventhub.Subscription.Take] does. The error says why the
// subscription has ended.
func (s *Subscription) Take(into []eventhub.Delivery) (int, error) {
	n, err := s.sub.Take(into)
	return n, eventsError(err)
}

// Ready returns a channel that receives a value when there may be events again
// after Take has returned 0.
func (s *Subscription) Ready() <-chan struct{} { return s.sub.Ready() }

// Done returns a channel that is closed when the subscription has ended.
func (s *Subscription) Done() <-chan struct{} { return s.sub.Done() }

// Err returns why the subscription has ended; nil if it hasn't.
func (s *Subscription) Err() error { return eventsError(s.sub.Err()) }

// Credit allows n more events to be delivered.
func (s *Subscription) Credit(n int) error { return eventsError(s.sub.Credit(n)) }

// Reply answers a delivery whose client waits for an ack. After an error of
// CodeInvalidArgument it can still be answered.
func (s *Subscription) Reply(id uint64, r eventhub.Reply) error {
	var v violations
	if r.Error != nil {
		validateFailure(&v, "error", r.Error)
		if len(r.Args)+len(r.Attachments) > 0 {
			v.add("error", "can't be combined with arguments; a client gets one or the other")
		}
	} else {
		m := Message{Event: "ack", Args: r.Args, Attachments: r.Attachments}
		m.validate(&v, s.limits)
	}
	if err := v.err(); err != nil {
		return err
	}
	return eventsError(s.sub.Reply(id, r))
}

// Decide answers a delivery whose client waits to be let in. After an error of
// CodeInvalidArgument it can still be answered.
func (s *Subscription) Decide(id uint64, d eventhub.Decision) error {
	var v violations
	if d.Refusal != nil {
		validateFailure(&v, "refuse", d.Refusal)
	}
	if len(d.Rooms) > maxDecisionRooms {
		v.add("accept.rooms", "there are %d; at most %d are allowed", len(d.Rooms), maxDecisionRooms)
	} else {
		validateNames(&v, "accept.rooms", d.Rooms, validateRoom)
	}
	validateData(&v, "accept.data", d.Data)
	if err := v.err(); err != nil {
		return err
	}
	return eventsError(s.sub.Decide(id, d))
}

func validateFailure(v *violations, field string, f *eventhub.Failure) {
	validateName(v, field+".code", "a code", f.Code)
	switch {
	case len(f.Message) > maxFailureTextLength:
		v.add(field+".message", "has %d bytes; at most %d are allowed", len(f.Message), maxFailureTextLength)
	case !utf8.ValidString(f.Message):
		v.add(field+".message", "isn't UTF-8")
	}
}

// Close ends the subscription. Deliveries that it hasn't answered go to other members
// of its group.
func (s *Subscription) Close() { s.sub.Close() }

// eventsError turns an error of the hub into one of the broker.
func eventsError(err error) error {
	if err == nil {
		return nil
	}
	var failed *eventhub.Error
	if !errors.As(err, &failed) {
		return err
	}
	if failed.Reason == eventhub.ReasonInvalid {
		var v violations
		v.add(failed.Field, "%s", failed.Message)
		return v.err()
	}
	return &Error{Code: eventsCode(failed.Reason), Reason: failed.Reason, Message: failed.Message}
}

// eventsCode returns the class of a reason of the hub.
func eventsCode(reason string) Code {
	switch reason {
	case eventhub.ReasonTooManySubscriptions, eventhub.ReasonSlowSubscriber, eventhub.ReasonHandlerOverloaded:
		return CodeResourceExhausted
	case eventhub.ReasonDeliveryNotFound:
		return CodeNotFound
	case eventhub.ReasonDeliveryExpired, eventhub.ReasonDeliveryAnswered, eventhub.ReasonDeliveryMismatch:
		return CodeFailedPrecondition
	case eventhub.ReasonDraining, eventhub.ReasonNoHandler, eventhub.ReasonHandlerTimeout, eventhub.ReasonHandlerLost, eventhub.ReasonClosed:
		return CodeUnavailable
	}
	return CodeInternal
}
