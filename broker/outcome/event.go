package outcome

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/eventhub"
)

// Kind is what happened: a kind of package eventhub, or one of the constants below.
type Kind uint8

// The kinds that backends can't subscribe to.
const (
	// Refused: a client was refused before it was connected.
	Refused Kind = iota + 64
	// Answer: a backend has answered a client's event, or none has in time.
	Answer
	// Emit: a backend has sent a message.
	Emit
	// Limit: a client has hit a limit.
	Limit
	// Drop: messages to a socket were dropped.
	Drop
)

// Message is the kind of a client's event.
const Message = Kind(eventhub.Message)

// Kinds returns all kinds. The slice is the caller's.
func Kinds() []Kind {
	var all []Kind
	for _, k := range eventhub.Kinds() {
		all = append(all, Kind(k))
	}
	return append(all, Refused, Answer, Emit, Limit, Drop)
}

// String returns the kind's name in lower case, for logs.
func (k Kind) String() string {
	switch k {
	case Refused:
		return "refused"
	case Answer:
		return "answer"
	case Emit:
		return "emit"
	case Limit:
		return "limit"
	case Drop:
		return "drop"
	}
	return eventhub.Kind(k).String()
}

// hasName reports whether events of the kind have a name.
func (k Kind) hasName() bool { return k == Message || k == Answer || k == Emit }

// Result is what became of something.
type Result uint8

// The results. The zero Result means that there is nothing to say, as for a connect.
const (
	// Done: the broker carried it out.
	Done Result = iota + 1
	// Relayed: a rule sent it to other clients.
	Relayed
	// HandedOver: backends get it.
	HandedOver
	// Answered: a backend answered.
	Answered
	// Denied: it was refused, with a code.
	Denied
	// Sent: it was sent.
	Sent
	// Dropped: it was dropped.
	Dropped
)

// String returns the result's name in lower case, for logs.
func (r Result) String() string {
	names := []string{"", "done", "relayed", "handed_over", "answered", "refused", "sent", "dropped"}
	if int(r) < len(names) {
		return names[r]
	}
	return ""
}

// Event is something that happened, and what became of it. It is plain data and never changes
// once it is recorded.
type Event struct {
	Kind      Kind
	Time      time.Time
	Node      string
	Namespace string // empty if a client hasn't named one that exists
	// Socket is the socket that it is about; nil for some kinds.
	Socket *eventhub.Socket
	// User is the user, if there is no socket. A refused client has one only if its token is genuine.
	User string
	// Address is the client's; of Refused and Limit.
	Address string
	// Room is the room; of a Message or Answer the one that the client's event names.
	Room string
	// Name is the name of a client's event or of a backend's message.
	Name string
	// Args is the text of a JSON array and Attachments its binary data; of a Message.
	Args        json.RawMessage
	Attachments [][]byte
	// Reason, PreviousSocketID and NotRecovered are those of [eventhub.Event]. A Drop has a Reason
	// as well.
	Reason, PreviousSocketID, NotRecovered string
	// DeliveryID is the id with which backends get a client's event, or have got what they answer;
	// 0 if none does.
	DeliveryID uint64
	// WantsAck says that the client of a Message waits for an ack.
	WantsAck bool
	// Target says whom an Emit was for.
	Target Target
	// Key is the name of the API key of an Emit.
	Key string
	// Limit is the name of a limit.
	Limit string
	// Result, Code and Message say what became of it. Code and Message are the client's or
	// the caller's error.
	Result        Result
	Code, Message string
	Report        Report
	// Groups are the groups of backends that get a client's event.
	Groups []string
	// Took is how long an answer took.
	Took time.Duration
	// Count is how often the same happened in a row; 0 counts as 1.
	Count int
}

// Target says whom a message was for.
type Target struct {
	Everyone              bool
	Rooms, Users, Sockets []string
	// More is how many further names there were.
	More int
}

// Report counts the sockets of a message. For a Drop, Dropped counts messages.
type Report struct {
	Matched, Queued, Kept, Dropped int
	// Partial says that nodes didn't report; Missing are those that are known.
	Partial bool
	Missing []string
	// OtherNodes says that the message went to other nodes too, whose sockets aren't counted.
	OtherNodes bool
}

// UserName returns the user that the event is about; empty if there is none.
func (e *Event) UserName() string {
	if e.Socket != nil {
		return e.Socket.User
	}
	return e.User
}

// isProblem reports whether something was refused, dropped or incomplete.
func (e *Event) isProblem() bool {
	return e.Result == Denied || e.Kind == Limit || e.Report.Dropped > 0 || e.Report.Partial
}

// size is about how many bytes the event takes in a queue.
func (e *Event) size() int {
	n := 512 + len(e.Args)
	for _, a := range e.Attachments {
		n += len(a)
	}
	if s := e.Socket; s != nil {
		n += len(s.Data) + len(s.Auth)
	}
	return n
}

// FromClient returns what a client did, as backends learn it. Its node is known if it has a
// socket.
func FromClient(d *eventhub.Delivery) Event {
	e, node := d.Event, ""
	if e.Socket != nil {
		node = e.Socket.Node
	}
	return Event{
		Kind: Kind(e.Kind), Time: e.Time, Node: node, Namespace: e.Namespace,
		Socket: e.Socket, User: e.User, Room: e.Room, Name: e.Name, Args: e.Args, Attachments: e.Attachments,
		Reason: e.Reason, PreviousSocketID: e.PreviousSocketID, NotRecovered: e.NotRecovered, DeliveryID: d.ID,
	}
}

// Filter selects events: those that match all fields that are set.
type Filter struct {
	Namespaces, Users, Rooms []string
	Kinds                    []Kind
	// Names are names of messages, answers and emits; other kinds match in any case.
	Names []string
	// Problems selects what was refused, dropped or incomplete, and limits.
	Problems bool
}

// wants reports whether the filter may select events of a kind.
func (f *Filter) wants(k Kind) bool { return len(f.Kinds) == 0 || slices.Contains(f.Kinds, k) }

func (f *Filter) match(e *Event) bool {
	switch {
	case !f.wants(e.Kind),
		f.Problems && !e.isProblem(),
		len(f.Namespaces) > 0 && !slices.Contains(f.Namespaces, e.Namespace),
		len(f.Names) > 0 && e.Kind.hasName() && !slices.Contains(f.Names, e.Name):
		return false
	}
	return matchAny(f.Users, e.UserName(), e.Target.Users) && matchAny(f.Rooms, e.Room, e.Target.Rooms)
}

// matchAny reports whether one of the wanted names is the name or among the others.
func matchAny(wanted []string, name string, others []string) bool {
	return len(wanted) == 0 || name != "" && slices.Contains(wanted, name) ||
		slices.ContainsFunc(others, func(other string) bool { return slices.Contains(wanted, other) })
}
