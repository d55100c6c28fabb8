package eventhub

import (
	"encoding/json"
	"time"

	"github.com/salabroker/sala/broker/eventhub/internal/rendezvous"
)

// Kind is the kind of an event.
type Kind uint8

// The kinds of events.
const (
	// Connect: a socket has connected, or wants to if the event needs a decision.
	Connect Kind = iota + 1
	// Disconnect: a socket has disconnected, and so left all its rooms. It is the last event of a
	// socket. Only if its node was considered lost and comes back does a Connect follow.
	Disconnect
	// Join: a socket has joined a room.
	Join
	// Leave: a socket has left a room.
	Leave
	// Message: a client has sent an event.
	Message
	// RoomOpened: a room has its first member on this node.
	RoomOpened
	// RoomClosed: a room has lost its last member on this node.
	RoomClosed
	// Away: a socket has lost its connection, and its session waits for the client. The socket keeps
	// its rooms. A Resumed or a Disconnect follows.
	Away
	// Resumed: the client of a socket that was away has returned, as the same socket.
	Resumed
	// UserOnline: a user has the first socket in a namespace, on any node.
	UserOnline
	// UserOffline: a user has lost the last socket in a namespace.
	UserOffline
	// UserJoined: a user has the first socket in a room with presence, on any node.
	UserJoined
	// UserLeft: a user has lost the last socket in a room with presence.
	UserLeft

	numKinds = iota + 1
)

// Kinds returns all kinds. The slice is the caller's.
func Kinds() []Kind {
	return []Kind{Connect, Disconnect, Join, Leave, Message, RoomOpened, RoomClosed, Away, Resumed, UserOnline, UserOffline, UserJoined, UserLeft}
}

// String returns the kind's name in lower case, as metrics show it.
func (k Kind) String() string {
	names := [numKinds]string{
		"unknown", "connect", "disconnect", "join", "leave", "message", "room_opened", "room_closed", "away", "resumed",
		"user_online", "user_offline", "user_joined", "user_left",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return names[0]
}

// valid reports whether k is one of the constants.
func (k Kind) valid() bool { return k >= Connect && k < numKinds }

// ofRoom reports whether events of the kind are about a room, not about a socket.
func (k Kind) ofRoom() bool { return k == RoomOpened || k == RoomClosed }

// ofUser reports whether events of the kind are about a user, not about a socket.
func (k Kind) ofUser() bool { return k >= UserOnline && k <= UserLeft }

// Socket describes the socket of an event. It never changes, so all events of a socket can share
// one.
type Socket struct {
	ID, User, Namespace string
	// Node is the id of the node that has the socket.
	Node string
	// Moves counts how often another node has taken the socket over.
	Moves uint32
	// Away says that the client has lost its connection and may return; only in lists.
	Away bool
	// Rooms are the rooms of the socket, sorted; only in lists.
	Rooms []string
	// Address is the client's host and port.
	Address string
	// Transport is "websocket" or "polling".
	Transport   string
	ConnectTime time.Time
	// TakenOverUnixNs is when this node took the socket over, in nanoseconds since 1970; 0 if it
	// didn't, and in descriptions by other nodes.
	TakenOverUnixNs int64
	// Data is the JSON that the token, or a decision, attached; empty if none.
	Data json.RawMessage
	// Auth is the JSON object that the client sent when it connected, without the token; empty if
	// none. Only in events.
	Auth json.RawMessage
	// Session is what the node keeps for the client; nil for a socket without a session. Only in
	// lists.
	Session *Session
}

// Session is what a node keeps for a client that may lose its connection and return.
type Session struct {
	// Events is how many events the client hasn't confirmed, Bytes their size.
	Events, Bytes int
	// Complete says that the session still has all of them.
	Complete bool
	// AwaySince is when the client lost its connection, and AwayReason why. Expires is until when it
	// may return. Zero unless the client is away.
	AwaySince, Expires time.Time
	AwayReason         string
}

// Since returns when the socket came to this node.
func (s *Socket) Since() time.Time {
	if s.TakenOverUnixNs == 0 {
		return s.ConnectTime
	}
	return time.Unix(0, s.TakenOverUnixNs)
}

// Event is something that happened to a socket or to a room. It is plain data and never changes
// once it is published.
type Event struct {
	Kind      Kind
	Namespace string
	// Socket is the socket of the event; nil for RoomOpened, RoomClosed and the kinds about users.
	Socket *Socket
	// User is the user of a UserOnline, UserOffline, UserJoined or UserLeft.
	User string
	// Name is the event's name as the client sent it; only for a Message.
	Name string
	// Room is the room of a Join, Leave, RoomOpened, RoomClosed, UserJoined or UserLeft.
	Room string
	// Reason says why the socket disconnected, or why its connection ended; only for a Disconnect or
	// an Away.
	Reason string
	// PreviousSocketID is the socket that the client wanted to return to and couldn't; only for a
	// Connect, and empty if the client hasn't proved that the socket was its own.
	PreviousSocketID string
	// NotRecovered is the code that says why the client couldn't return; only for a Connect, and
	// empty if it didn't want to.
	NotRecovered string
	// Args is the text of a JSON array; only for a Message.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
	Time        time.Time
	// TraceParent is the event's span as a W3C traceparent; empty for none.
	TraceParent string
	// DeliveryID is the ID of its deliveries, from [Hub.NewDeliveryID]; 0 has the hub choose one.
	DeliveryID uint64
}

// overhead is the memory that an event takes beside its payload, in bytes.
const overhead = 256

// Size is about how many bytes the event takes in a queue or in a message.
func (e *Event) Size() int {
	n := overhead + len(e.Args) + len(e.User)
	for _, a := range e.Attachments {
		n += len(a)
	}
	return n
}

// Failure is an error that a client gets.
type Failure struct {
	// Code is a stable name for programs, in UPPER_SNAKE_CASE.
	Code string
	// Message is a text for people.
	Message string
}

// Reply is the answer to an event whose client asked for an ack.
type Reply struct {
	// Error says why the event couldn't be handled; nil if it was. With an error, Args and
	// Attachments are empty.
	Error *Failure
	// Args is the text of a JSON array; empty for no arguments.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
}

// Decision is the answer to a client that wants to connect.
type Decision struct {
	// Refusal says why the client is refused; nil if it is accepted.
	Refusal *Failure
	// Rooms are joined by the socket in addition to those of its token.
	Rooms []string
	// Data replaces the data of its token, if it isn't empty.
	Data json.RawMessage
}

// Delivery is an event that is handed to a member of a group.
type Delivery struct {
	// ID names the delivery in answers. It is the same when the event is handed out again, be it by
	// another node. No other event has it, whichever node it comes from.
	ID    uint64
	Event *Event
	// NeedsAck says that the client waits for a [Subscription.Reply].
	NeedsAck bool
	// NeedsDecision says that the client isn't connected yet and waits for a [Subscription.Decide].
	NeedsDecision bool
	// Redelivered says that another member of the group, which is gone, may have handled the event.
	Redelivered bool
}

// lostDeliveryID is the id of the Disconnect of a lost node's socket. Several nodes may publish that
// event, so it depends only on the socket, on the node, and on the node's incarnation when it was
// lost: a socket ends a second time if its node comes back and is lost again, or if another node has
// taken it over meanwhile and is lost. Its highest bit keeps it apart from the ids that hubs count.
func lostDeliveryID(s *Socket, incarnation uint64) uint64 {
	return 1<<63 | rendezvous.Weight(s.ID, s.Node, incarnation)
}
