package eventhub

import (
	"encoding/json"
	"time"
)

// Kind says what happened.
type Kind uint8

// The kinds of events.
const (
	// Connect: a socket has connected; or, if it needs a decision, wants to.
	Connect Kind = iota + 1
	// Disconnect: a socket has gone, and so from all its rooms. It is the last of a socket,
	// but if its node was lost for a while only: then it begins again with
	// Connect.
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

	numKinds = iota + 1
)

// Kinds returns every kind there is. The slice is the caller's.
func Kinds() []Kind {
	return []Kind{Connect, Disconnect, Join, Leave, Message, RoomOpened, RoomClosed}
}

// String returns the kind's name in lower case, as metrics have it.
func (k Kind) String() string {
	names := [numKinds]string{"unknown", "connect", "disconnect", "join", "leave", "message", "room_opened", "room_closed"}
	if int(k) < len(names) {
		return names[k]
	}
	return names[0]
}

// valid reports whether k is one of the constants.
func (k Kind) valid() bool { return k >= Connect && k <= RoomClosed }

// ofRoom reports whether k happens to a room rather than to a socket.
func (k Kind) ofRoom() bool { return k == RoomOpened || k == RoomClosed }

// Socket describes the socket that something happened to. It never changes, so
// that all events of a socket can share one.
type Socket struct {
	ID, User, Namespace string
	// Address is the client's host and port.
	Address string
	// Transport is "websocket" or "polling".
	Transport   string
	ConnectTime time.Time
	// Data is the JSON that the token's issuer, or a decision, attached; empty
	// if none.
	Data json.RawMessage
	// Auth is the JSON object that the client sent when it connected, less
	// the token; empty if none.
	Auth json.RawMessage
}

// Event is something that happened. It is plain data, and never changes once it
// is published.
type Event struct {
	Kind      Kind
	Namespace string
	// Socket is whom it happened to; nil for RoomOpened and RoomClosed.
	Socket *Socket
	// Name is the event's name as the client sent it; only of a Message.
	Name string
	// Room is the room of Join, Leave, RoomOpened and RoomClosed.
	Room string
	// Reason says why, for a Disconnect.
	Reason string
	// Args is the text of a JSON array; only of a Message.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
	Time        time.Time
}

// overhead is what an event costs in memory beside its payload, in bytes.
const overhead = 256

// size is what the event counts in a queue, in bytes.
func (e *Event) size() int {
	n := overhead + len(e.Args)
	for _, a := range e.Attachments {
		n += len(a)
	}
	return n
}

// Failure is an error that a client gets to see.
type Failure struct {
	// Code is a stable name in UPPER_SNAKE_CASE for programs.
	Code string
	// Message is for people.
	Message string
}

// Reply is the answer to an event whose client asked for an ack.
type Reply struct {
	// Error says that the event could not be handled; nil if it was. Args and
	// Attachments are empty then.
	Error *Failure
	// Args is the text of a JSON array; empty means no arguments.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
}

// Decision says whether a client may connect.
type Decision struct {
	// Refusal says why it may not; nil if it may.
	Refusal *Failure
	// Rooms are joined by the socket beside those of its token.
	Rooms []string
	// Data replaces the data of its token; empty leaves it.
	Data json.RawMessage
}

// Delivery is an event as it is handed to a member of a group.
type Delivery struct {
	// ID names the delivery in answers. It stays the same when the event is
	// handed out again.
	ID    uint64
	Event *Event
	// NeedsAck says that the client waits for a [Subscription.Reply].
	NeedsAck bool
	// NeedsDecision says that the client isn't connected yet and waits for a
	// [Subscription.Decide].
	NeedsDecision bool
	// Redelivered says that a member of the group, which is gone, may have
	// handled the event already.
	Redelivered bool
}
