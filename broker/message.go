package broker

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/salabroker/sala/broker/backlog"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/latency"
	"github.com/salabroker/sala/broker/recording"
	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/socketio"
)

// Message is an event for clients.
type Message struct {
	// Event is the event's name.
	Event string
	// Args is the text of a JSON array, which is passed on byte for byte. Empty means
	// no arguments.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
	// Volatile drops the event, instead of queueing it, for a socket that can't take
	// it right now.
	Volatile bool
	// Unreported leaves other nodes out of the report, so that the call doesn't wait
	// for them.
	Unreported bool
	// IdempotencyKey makes the message safe to send again: within the idempotency
	// window a key is carried out once in its namespace. Empty for none.
	IdempotencyKey string
	// ConflateKey makes the message replace older ones with the same key and the same
	// rooms that still wait for a client. Empty for none. It is for emits to rooms alone,
	// without users and sockets, that request no acks.
	ConflateKey string
	// SkipHistory leaves the message out of the history of its rooms.
	SkipHistory bool
	// Caller names the API key of the caller, for those who watch; empty for none.
	Caller string

	received   latency.Time           // zero unless it is measured
	identity   identity               // zero until it is needed
	part       uint64                 // see wire.Event; zero without an idempotency key
	conflation engineio.ConflationKey // of ConflateKey and the target
	record     *recording.Record      // nil unless it is for rooms with history

	traceID     string // of the trace that it is part of, for exemplars; empty for none
	traceParent string // the span that other nodes continue; empty for none
}

// validateConflation adds to v what is wrong with the key for the target.
func validateConflation(v *violations, t *Target, m *Message) {
	if m.ConflateKey != "" && (len(t.Rooms) == 0 || len(t.Users)+len(t.Sockets) > 0) {
		v.add("conflate_key", "is for messages to rooms: name rooms, and no users or sockets")
	}
}

// refuseConflation adds to v that a message which is for each client by itself has a key.
func refuseConflation(v *violations, m *Message) {
	if m.ConflateKey != "" {
		v.add("conflate_key", "is for emits that request no acks, and not for notices")
	}
}

// conflate makes a message with a ConflateKey replace older ones with the same key from
// the same sender to the same rooms. The sender is empty for backends, who all share
// their keys.
func (m *Message) conflate(t *Target, sender string) {
	if m.ConflateKey == "" {
		return
	}
	h := sha256.New()
	for _, part := range append([]string{t.Namespace, sender, m.ConflateKey}, slices.Sorted(slices.Values(t.Rooms))...) {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // never fails
	}
	copy(m.conflation[:], h.Sum(nil))
}

// identity tells a message from all others of a cluster. Clients that take part in
// recovery get it as the offset of the message.
type identity struct {
	node   string // that the message was sent at, by its id
	number uint64 // from 1
}

// partWhole is the part of a message with an idempotency key that is for its whole
// target; see wire.Event.
const partWhole = 1

// offsetNode is how many characters of a node's id are in an offset: 40 random bits.
const offsetNode = 8

// offset returns the identity as clients get it.
func (i identity) offset() string {
	text := make([]byte, 0, offsetNode+1+13) // 13 digits are enough
	text = append(text, i.node[:min(len(i.node), offsetNode)]...)
	text = append(text, '.')
	return string(strconv.AppendUint(text, i.number, 36))
}

// identify gives a message that is sent at this node its identity, unless it has one.
func (b *Broker) identify(m *Message) {
	if m.identity.number == 0 {
		m.identity = identity{b.id, b.lastMessage.Add(1)}
	}
}

// isSentBefore reports whether a message with the offset a is known to be sent before that
// with the offset b: by the same node, with a lower number.
func isSentBefore(a, b string) bool {
	node, number, _ := strings.Cut(a, ".")
	otherNode, otherNumber, _ := strings.Cut(b, ".")
	return node == otherNode && (len(number) < len(otherNumber) || len(number) == len(otherNumber) && number < otherNumber)
}

// senderOf returns by which node a message with this offset was sent, as the offset names it.
func senderOf(offset string) string {
	node, _, _ := strings.Cut(offset, ".")
	return node
}

// mayBeOffset reports whether a text is the offset of a message that may have been
// sent; empty for none.
func (b *Broker) mayBeOffset(text string) bool {
	if text == "" {
		return true
	}
	node, digits, _ := strings.Cut(text, ".")
	number, err := strconv.ParseUint(digits, 36, 64)
	return len(node) == offsetNode && err == nil && (node != b.id[:offsetNode] || number <= b.lastMessage.Load())
}

// MessageLimits bounds a message.
type MessageLimits struct {
	// Bytes bounds the arguments and attachments together.
	Bytes int64
	// Attachments bounds the number of attachments.
	Attachments int
}

func (o *Options) messageLimits() MessageLimits {
	return MessageLimits{Bytes: o.MaxMessageBytes, Attachments: o.MaxAttachments}
}

// size is what counts towards the limit of one message.
func (m *Message) size() (n int64) {
	n = int64(len(m.Args))
	for _, a := range m.Attachments {
		n += int64(len(a))
	}
	return n
}

// validate adds to v what is wrong with m.
func (m *Message) validate(v *violations, limits MessageLimits) {
	validateEvent(v, "event", m.Event)
	validateKey(v, "idempotency_key", m.IdempotencyKey)
	validateKey(v, "conflate_key", m.ConflateKey)
	if n := m.size(); n > limits.Bytes {
		v.add("args", "arguments and attachments have %d bytes; at most %d are allowed", n, limits.Bytes)
		return
	}
	if len(m.Attachments) > limits.Attachments {
		v.add("attachments", "there are %d; at most %d are allowed", len(m.Attachments), limits.Attachments)
		return
	}
	if len(m.Args) > 0 {
		if err := socketio.CheckArgs(m.Args, len(m.Attachments)); err != nil {
			v.add("args", "%s", err)
		}
	} else if len(m.Attachments) > 0 {
		v.add("attachments", "the arguments don't refer to them; put {\"_placeholder\":true,\"num\":0} where the first belongs")
	}
}

// Limits of what one event may carry.
const (
	maxNameBytes          = 255
	defaultMaxAttachments = 64
)

// brokerEvents is the prefix of the events that the broker itself sends to clients
// and takes from them. Nobody else can send one, so clients can rely on them.
const brokerEvents = "sala:"

func isBrokerEvent(event string) bool { return strings.HasPrefix(event, brokerEvents) }

func validateEvent(v *violations, field, event string) {
	switch {
	case event == "":
		v.add(field, "an event needs a name")
	case len(event) > maxNameBytes:
		v.add(field, "the name has %d bytes; at most %d are allowed", len(event), maxNameBytes)
	case !utf8.ValidString(event):
		v.add(field, "the name isn't UTF-8")
	case socketio.Reserved(event):
		v.add(field, "%q is reserved by Socket.IO; choose another name", event)
	case isBrokerEvent(event):
		v.add(field, "%q begins with %q, which is reserved for the broker's own events; choose another name", event, brokerEvents)
	}
}

// Target says which sockets of a namespace a call is for. Somebody must be named:
// a call without a target is refused.
type Target = room.Target

// maxTargets bounds the rooms, users or sockets that one request names.
const maxTargets = 1000

// validateTarget adds to v what is wrong with t.
func validateTarget(v *violations, t *Target) {
	if !t.Everyone && len(t.Rooms)+len(t.Users)+len(t.Sockets) == 0 {
		v.add("rooms", "no target is given: name at least one room, user or socket")
	}
	validateNames(v, "rooms", t.Rooms, validateRoom)
	validateNames(v, "users", t.Users, validateUser)
	validateNames(v, "sockets", t.Sockets, validateID)
	validateNames(v, "except_rooms", t.ExceptRooms, validateRoom)
	validateNames(v, "except_users", t.ExceptUsers, validateUser)
	validateNames(v, "except_sockets", t.ExceptSockets, validateID)
}

func validateNames(v *violations, field string, names []string, check func(*violations, string, string)) {
	if len(names) > maxTargets {
		v.add(field, "there are %d; at most %d are allowed", len(names), maxTargets)
		return
	}
	for i, name := range names {
		known := len(*v)
		check(v, field, name)
		for j := known; j < len(*v); j++ { // written only when there is something to say
			(*v)[j].Field = fmt.Sprintf("%s[%d]", field, i)
		}
	}
}

func validateRoom(v *violations, field, room string) { validateName(v, field, "a room's name", room) }

// validateKey accepts a key that a caller chose, or none.
func validateKey(v *violations, field, key string) {
	if key != "" {
		validateName(v, field, "a key", key)
	}
}

func validateUser(v *violations, field, user string) { validateName(v, field, "a user's name", user) }

func validateID(v *violations, field, id string) { validateName(v, field, "a socket's id", id) }

// validateName accepts 1 to 255 bytes of UTF-8 without control characters.
func validateName(v *violations, field, what, name string) {
	switch {
	case name == "":
		v.add(field, "%s can't be empty", what)
	case len(name) > maxNameBytes:
		v.add(field, "%s has at most %d bytes, this one has %d", what, maxNameBytes, len(name))
	case !utf8.ValidString(name):
		v.add(field, "%s is UTF-8, this one isn't", what)
	default:
		for _, r := range name {
			if unicode.IsControl(r) {
				v.add(field, "%s has no control characters, this one has %U", what, r)
				return
			}
		}
	}
}

// newFrame encodes a message once for all sockets that get it. ackID, if not nil,
// requests an ack.
func newFrame(namespace string, ackID *uint64, m *Message) *engineio.Frame {
	var room [256]byte // on the stack; enough for most messages
	p := socketio.Payload{Args: m.Args, Attachments: m.Attachments}
	return engineio.NewFrame(socketio.AppendEvent(room[:0], namespace, ackID, m.Event, p), m.Attachments...)
}

// outgoing is a message on its way to the sockets of this node. Each of its forms
// is encoded at most once.
type outgoing struct {
	b         *Broker
	namespace string
	m         *Message
	batch     engineio.Batch // of the connections that it has been queued for

	plain *engineio.Frame // for sockets without a session
	timed bool            // the delivery that comes next is measured

	// For sockets with one.
	frame *engineio.Frame
	event *backlog.Event
	held  int // backlogs that hold event
}

// plainFrame returns the message for sockets without a session.
func (o *outgoing) plainFrame() *engineio.Frame {
	if o.plain == nil {
		o.plain = newFrame(o.namespace, nil, o.m).Conflate(o.m.conflation)
	}
	return o.plain
}

// recoverable returns the message for sockets with a session. A volatile one isn't
// sent again, but clients may name its offset as the last that they have.
func (o *outgoing) recoverable() (*backlog.Event, *engineio.Frame) {
	if o.event != nil {
		return o.event, o.frame
	}
	o.b.identify(o.m)
	offset := o.m.identity.offset()
	p := socketio.Payload{Args: o.m.Args, Attachments: o.m.Attachments}
	text := socketio.AppendRecoverable(nil, o.namespace, o.m.Event, p, offset)
	if o.m.Volatile {
		o.frame = engineio.NewFrame(text, o.m.Attachments...).Conflate(o.m.conflation)
		o.event = o.b.recovery.budget.NewEvent(offset, nil)
	} else {
		o.frame = engineio.NewKeptFrame(text, o.m.Attachments...).Conflate(o.m.conflation)
		o.event = o.b.recovery.budget.NewEvent(offset, o.frame)
	}
	return o.event, o.frame
}

// toQueue returns the frame to queue: f, unless the delivery is measured.
func (o *outgoing) toQueue(f *engineio.Frame) *engineio.Frame {
	if !o.timed {
		return f
	}
	latency, received, traceID := o.b.metrics.latency, o.m.received, o.m.traceID
	return f.Timed(func() { latency.delivered(received, traceID) })
}

// done is called when all sockets have the message.
func (o *outgoing) done() {
	if o.event != nil {
		o.event.Held(o.held)
	}
}

// tokenEvent is the event with which a client sends a new token before its token
// expires.
const tokenEvent = "sala:token"

// firstArg returns the first element of a JSON array; nil if it has none.
func firstArg(args json.RawMessage) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(args))
	if _, err := dec.Token(); err != nil || !dec.More() {
		return nil
	}
	var arg json.RawMessage
	if err := dec.Decode(&arg); err != nil {
		return nil
	}
	return arg
}
