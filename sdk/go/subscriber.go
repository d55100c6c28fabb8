package sala

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// The defaults of a [Subscriber].
const (
	DefaultConcurrency = 64
	DefaultGrace       = 10 * time.Second
)

// MessageHandler handles an event that a client has sent. What it returns is the client's ack, if the
// client has asked for one:
//
//   - nil is an ack without arguments, and an [Ack] is one with several,
//   - any other value is the one argument,
//   - an error made by [Refuse] reaches the client as {error: {code, message}},
//   - any other error is logged, and the client gets the code HANDLER_FAILED.
//
// A value is encoded as by [Target.Emit]. The context ends if the handler still runs when the
// [Subscriber.Grace] of a subscriber that leaves is over.
type MessageHandler func(ctx context.Context, e *Event) (any, error)

// EventHandler handles an event that needs no answer. Its error is logged.
type EventHandler func(ctx context.Context, e *Event) error

// DecideHandler decides whether a client may connect. It returns an [Accept], or nil to accept the
// client as its token says, or an error made by [Refuse]. Any other error is logged, and the client
// is refused with the code HANDLER_FAILED.
type DecideHandler func(ctx context.Context, e *Event) (*Accept, error)

// Ack is an ack with any number of arguments.
type Ack []any

// Accept lets a client connect.
type Accept struct {
	// Rooms are rooms that the socket joins in addition to those of its token, at most 100.
	Rooms []string
	// Data is what backends see with the socket from now on, for encoding/json, at most 4 KiB. With
	// nil, the data of the token remains.
	Data any
}

// Started says that a subscription is active.
type Started struct {
	// Partial says that a node hasn't confirmed it yet. Until it does, which it does by itself as soon as
	// it can be reached, events of its clients are missed.
	Partial bool
	// MissingNodes are the ids of these nodes, as far as they are known.
	MissingNodes []string
}

// Reconnect describes the time without a stream: events went to other members of the group, or
// nowhere if there was none.
type Reconnect struct {
	// Cause is why the stream ended. It is nil if the broker has closed it.
	Cause error
	// Gap is how long there was no stream.
	Gap time.Duration
	// Undelivered is how many answers of handlers had no stream to go to. Their clients get the answer
	// of another member, or an error.
	Undelivered int
}

// Rejected says that an answer had no effect.
type Rejected struct {
	// DeliveryID is the delivery that was answered.
	DeliveryID string
	// Reason says why, such as "DELIVERY_EXPIRED".
	Reason string
	// Message describes the reason to people.
	Message string
}

// Subscriber receives what clients do, and answers. Make one with [Client.NewSubscriber], set its
// handlers, then [Subscriber.Run] it. Fields and handlers must not be changed after that.
//
// It asks the broker only for the kinds and names that have a handler.
//
// Events of one socket are handled one after another, in their order. Events of different sockets are
// handled at the same time. So are events without a socket, which are ordered by room or user.
//
// An event that needs an answer may be delivered again, to another member of the group, if its member
// is lost before it has answered. If it comes back to the same Subscriber, which remembers the last
// 10,000, it isn't handled again: its answer is sent again.
type Subscriber struct {
	// Namespaces are the namespaces to subscribe to. Empty means all that the API key allows.
	Namespaces []string
	// Concurrency is how many handlers may run at the same time. The default is [DefaultConcurrency].
	Concurrency int
	// Credits is how many events may be in this program at the same time, handled or waiting for a
	// handler. The broker keeps further ones. The default is twice the concurrency, the maximum 100,000.
	Credits int
	// Grace is how long Run waits for handlers when it leaves. The default is [DefaultGrace].
	Grace time.Duration
	// Observe receives events without taking them from others: none needs an answer. Either all members
	// of a group observe or none.
	Observe bool

	client *Client
	group  string
	ran    atomic.Bool
	err    error // of the handlers that were set

	messages    map[string]MessageHandler // by the event's name; "" for all others
	kinds       map[Kind]EventHandler
	decide      DecideHandler
	onStarted   func(Started)
	onReconnect func(Reconnect)
	onRejected  func(Rejected)
}

// NewSubscriber returns a subscriber in a group. Programs that subscribe with the same group share the
// work: each event goes to one of them. They should have the same handlers. With an empty group, the
// subscriber is a group of its own and receives every event.
func (c *Client) NewSubscriber(group string) *Subscriber {
	return &Subscriber{
		client:   c,
		group:    group,
		messages: make(map[string]MessageHandler),
		kinds:    make(map[Kind]EventHandler),
	}
}

// On sets the handler of an event that clients send.
func (s *Subscriber) On(event string, handler MessageHandler) {
	if event == "" {
		s.err = errors.New("sala: On needs the name of an event; OnAny handles all")
	}
	s.setMessage(event, handler)
}

// OnAny sets the handler of all events of clients that have no handler of their own. The subscriber
// then receives every event.
func (s *Subscriber) OnAny(handler MessageHandler) { s.setMessage("", handler) }

func (s *Subscriber) setMessage(event string, handler MessageHandler) {
	if _, exists := s.messages[event]; exists {
		s.err = fmt.Errorf("sala: there are two handlers of the event %q", event)
	}
	s.messages[event] = handler
}

// Decide sets the handler that decides which clients may connect. It is called for a client with a
// valid token before it is connected, and again for one that returns to its session.
func (s *Subscriber) Decide(handler DecideHandler) { s.decide = handler }

// OnConnect handles sockets that have connected.
func (s *Subscriber) OnConnect(handler EventHandler) { s.setKind(KindConnect, handler) }

// OnDisconnect handles sockets that have disconnected.
func (s *Subscriber) OnDisconnect(handler EventHandler) { s.setKind(KindDisconnect, handler) }

// OnAway handles sockets whose clients have lost their connection and may return.
func (s *Subscriber) OnAway(handler EventHandler) { s.setKind(KindAway, handler) }

// OnResumed handles sockets whose clients have returned.
func (s *Subscriber) OnResumed(handler EventHandler) { s.setKind(KindResumed, handler) }

// OnJoin handles sockets that have joined a room.
func (s *Subscriber) OnJoin(handler EventHandler) { s.setKind(KindJoin, handler) }

// OnLeave handles sockets that have left a room.
func (s *Subscriber) OnLeave(handler EventHandler) { s.setKind(KindLeave, handler) }

// OnRoomOpened handles rooms that have their first member at a node.
func (s *Subscriber) OnRoomOpened(handler EventHandler) { s.setKind(KindRoomOpened, handler) }

// OnRoomClosed handles rooms that have lost their last member at a node.
func (s *Subscriber) OnRoomClosed(handler EventHandler) { s.setKind(KindRoomClosed, handler) }

// OnUserOnline handles users who have their first socket in a namespace.
func (s *Subscriber) OnUserOnline(handler EventHandler) { s.setKind(KindUserOnline, handler) }

// OnUserOffline handles users who have lost their last socket in a namespace.
func (s *Subscriber) OnUserOffline(handler EventHandler) { s.setKind(KindUserOffline, handler) }

// OnUserJoined handles users who have their first socket in a room with presence.
func (s *Subscriber) OnUserJoined(handler EventHandler) { s.setKind(KindUserJoined, handler) }

// OnUserLeft handles users who have lost their last socket in a room with presence.
func (s *Subscriber) OnUserLeft(handler EventHandler) { s.setKind(KindUserLeft, handler) }

func (s *Subscriber) setKind(kind Kind, handler EventHandler) {
	if _, exists := s.kinds[kind]; exists {
		s.err = fmt.Errorf("sala: there are two handlers of %s", kind)
	}
	s.kinds[kind] = handler
}

// OnStarted sets a function that is called each time a stream has started: no event is missed from
// then on. No event is received until it returns.
func (s *Subscriber) OnStarted(hook func(Started)) { s.onStarted = hook }

// OnReconnect sets a function that is called when a stream has started after another one ended, so
// that nothing is lost unseen. It is also logged. No event is received until it returns.
func (s *Subscriber) OnReconnect(hook func(Reconnect)) { s.onReconnect = hook }

// OnRejected sets a function that is called when the broker has rejected an answer, for example
// because it came too late. It is also logged. No event is received until it returns.
func (s *Subscriber) OnRejected(hook func(Rejected)) { s.onRejected = hook }

// Run subscribes and handles events until ctx ends. It then leaves gracefully and returns nil: it
// takes no more events, lets handlers finish for at most [Subscriber.Grace], and sends their answers.
// What it leaves unanswered goes to another member of the group.
//
// When the stream ends for another reason, Run subscribes again, after a pause that grows from 100 ms
// to 5 s. It returns an [Error] that another attempt can't heal: the API key is unknown
// (codes.Unauthenticated) or lacks a scope (codes.PermissionDenied), or the subscription is invalid
// (codes.InvalidArgument). A Subscriber runs once.
func (s *Subscriber) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return errors.New("sala: a Subscriber runs once; make another one")
	}
	if s.err != nil {
		return s.err
	}
	if len(s.messages) == 0 && len(s.kinds) == 0 && s.decide == nil {
		return errors.New("sala: a Subscriber needs a handler")
	}
	if s.Concurrency <= 0 {
		s.Concurrency = DefaultConcurrency
	}
	if s.Credits <= 0 {
		s.Credits = 2 * s.Concurrency
	}
	if s.Grace <= 0 {
		s.Grace = DefaultGrace
	}
	return newRunner(ctx, s).run(ctx)
}

// start returns the first request of a stream, without its credits.
func (s *Subscriber) start() *salav1.SubscribeStart {
	start := &salav1.SubscribeStart{
		Group:      s.group,
		Namespaces: s.Namespaces,
		Decide:     s.decide != nil,
		Observe:    s.Observe,
	}
	kinds := slices.Collect(maps.Keys(s.kinds))
	if len(s.messages) > 0 {
		kinds = append(kinds, KindMessage)
	}
	if s.decide != nil && s.kinds[KindConnect] == nil {
		kinds = append(kinds, KindConnect)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		start.Kinds = append(start.Kinds, protoKinds[kind])
	}
	if _, all := s.messages[""]; !all {
		start.Events = slices.Sorted(maps.Keys(s.messages))
	}
	return start
}
