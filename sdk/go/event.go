package sala

import (
	"context"
	"encoding/json"
	"time"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// Kind says what happened.
type Kind string

// The kinds of events. Each has a handler of its own, which [Subscriber] sets.
const (
	KindMessage     Kind = "message"
	KindConnect     Kind = "connect"
	KindDisconnect  Kind = "disconnect"
	KindAway        Kind = "away"
	KindResumed     Kind = "resumed"
	KindJoin        Kind = "join"
	KindLeave       Kind = "leave"
	KindRoomOpened  Kind = "room_opened"
	KindRoomClosed  Kind = "room_closed"
	KindUserOnline  Kind = "user_online"
	KindUserOffline Kind = "user_offline"
	KindUserJoined  Kind = "user_joined"
	KindUserLeft    Kind = "user_left"
)

// protoKinds are the kinds in the API.
var protoKinds = map[Kind]salav1.EventKind{
	KindMessage:     salav1.EventKind_EVENT_KIND_MESSAGE,
	KindConnect:     salav1.EventKind_EVENT_KIND_CONNECT,
	KindDisconnect:  salav1.EventKind_EVENT_KIND_DISCONNECT,
	KindAway:        salav1.EventKind_EVENT_KIND_AWAY,
	KindResumed:     salav1.EventKind_EVENT_KIND_RESUMED,
	KindJoin:        salav1.EventKind_EVENT_KIND_JOIN,
	KindLeave:       salav1.EventKind_EVENT_KIND_LEAVE,
	KindRoomOpened:  salav1.EventKind_EVENT_KIND_ROOM_OPENED,
	KindRoomClosed:  salav1.EventKind_EVENT_KIND_ROOM_CLOSED,
	KindUserOnline:  salav1.EventKind_EVENT_KIND_USER_ONLINE,
	KindUserOffline: salav1.EventKind_EVENT_KIND_USER_OFFLINE,
	KindUserJoined:  salav1.EventKind_EVENT_KIND_USER_JOINED,
	KindUserLeft:    salav1.EventKind_EVENT_KIND_USER_LEFT,
}

// kindOf is the reverse of protoKinds. It returns an empty kind for those of later releases.
func kindOf(kind salav1.EventKind) Kind {
	for name, number := range protoKinds {
		if number == kind {
			return name
		}
	}
	return ""
}

// Event is something that happened to a client or a room. Handlers must not change it.
type Event struct {
	// DeliveryID is the same each time the event is delivered. Store it with what the handler
	// writes, to recognize an event that another program has handled already.
	DeliveryID string
	// Kind says what happened.
	Kind Kind
	// Name is the name of the event that the client has sent. Only for [KindMessage].
	Name string
	// Args are the arguments that the client has sent. Only for [KindMessage].
	Args Args
	// Socket is the socket that the event is about. It is nil for the kinds about rooms and users.
	Socket *EventSocket
	// User is the user of the socket, or whom the kinds about users are about. Empty if anonymous.
	User string
	// Namespace is where it happened.
	Namespace string
	// Room is the room. Only for the kinds about rooms, for [KindJoin], [KindLeave],
	// [KindUserJoined] and [KindUserLeft].
	Room string
	// Reason says why the socket disconnected or is away.
	Reason string
	// NeedsAck says that the client waits for the handler's result.
	NeedsAck bool
	// Redelivered says that another subscriber, which is gone, may have handled the event.
	Redelivered bool
	// Time is when it happened.
	Time time.Time
	// PreviousSocketID is the socket that the client had before and couldn't return to. Only for
	// [KindConnect], and empty if the client hasn't proved that the socket was its own.
	PreviousSocketID string
	// NotRecovered says why the client couldn't return, such as "EXPIRED". Only for [KindConnect].
	NotRecovered string
	// TraceContext is the text of a W3C traceparent header. Empty without traces.
	TraceContext string

	client *Client
}

// EventSocket describes the socket that an event is about, as it was then.
type EventSocket struct {
	// ID is the socket's id, as the client sees it.
	ID string
	// User is the user of the socket's token. Empty if anonymous.
	User string
	// Namespace is the socket's namespace.
	Namespace string
	// Auth is what the client has sent as auth, without its token: a JSON object, or nil.
	Auth json.RawMessage
	// Data is the data of the token, or what has replaced it: a value as encoding/json decodes it.
	Data any
	// Address is the client's address: host and port, or the host if a proxy has reported it.
	Address string
	// Transport is "websocket" or "polling".
	Transport string
	// ConnectTime is when the socket connected.
	ConnectTime time.Time
}

// newEvent returns the event of a delivery.
func newEvent(client *Client, e *salav1.ClientEvent) *Event {
	event := &Event{
		DeliveryID:       e.GetDeliveryId(),
		Kind:             kindOf(e.GetKind()),
		Name:             e.GetEvent(),
		Args:             Args{text: e.GetArgsJson(), attachments: e.GetAttachments()},
		User:             e.GetUser(),
		Namespace:        e.GetNamespace(),
		Room:             e.GetRoom(),
		Reason:           e.GetReason(),
		NeedsAck:         e.GetNeedsAck(),
		Redelivered:      e.GetRedelivered(),
		Time:             e.GetTime().AsTime(),
		PreviousSocketID: e.GetPreviousSocketId(),
		NotRecovered:     e.GetNotRecovered(),
		TraceContext:     e.GetTraceContext(),
		client:           client,
	}
	if s := e.GetSocket(); s != nil {
		event.User = s.GetUser()
		event.Socket = &EventSocket{
			ID:          s.GetId(),
			User:        s.GetUser(),
			Namespace:   s.GetNamespace(),
			Data:        s.GetData().AsInterface(),
			Address:     s.GetAddress(),
			Transport:   s.GetTransport(),
			ConnectTime: s.GetConnectTime().AsTime(),
		}
		if auth := s.GetAuthJson(); auth != "" {
			event.Socket.Auth = json.RawMessage(auth)
		}
	}
	return event
}

// Scan decodes the event's arguments, as [Args.Scan] does.
func (e *Event) Scan(dest ...any) error { return e.Args.Scan(dest...) }

// Emit sends an event to the socket that this event is about, as [Target.Emit] does.
func (e *Event) Emit(ctx context.Context, event string, args ...any) (*EmitResult, error) {
	if e.Socket == nil {
		return nil, invalid("a %s event has no socket to emit to", e.Kind)
	}
	return e.client.Namespace(e.Namespace).ToSockets(e.Socket.ID).Emit(ctx, event, args...)
}

// To returns the sockets in any of the rooms, in the namespace of the event. The socket that the event
// is about is among them if it is in one of the rooms: exclude it with [Target.ExceptSockets].
func (e *Event) To(rooms ...string) Target { return e.client.Namespace(e.Namespace).To(rooms...) }
