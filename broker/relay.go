package broker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/salabroker/sala/broker/outcome"
	"github.com/salabroker/sala/broker/rawjson"
	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/socketio"
)

// RelayScope says whom a [RelayRule] reaches.
type RelayScope string

// The scopes of a relay rule.
const (
	// RelayToRoom reaches the members of the room that the event's first argument
	// names, including the sender if it is a member.
	RelayToRoom RelayScope = "room"
	// RelayToBroadcast reaches everyone in the namespace except the sender.
	RelayToBroadcast RelayScope = "broadcast"
	// RelayToSender reaches the sender alone. No token needs to allow it.
	RelayToSender RelayScope = "sender"
)

// RelayRule passes an event of a client on to other clients, or answers it.
//
// In the texts of Args and Ack, {user} is the sender's user, and with
// RelayToRoom {room} is the room.
type RelayRule struct {
	// Event is the event that the client sends, Emit the one that the others get;
	// empty means the same.
	Event, Emit string
	// To says which clients get it.
	To RelayScope
	// RoomField is the field of the first argument that names the room; only
	// with RelayToRoom. "room" by default.
	RoomField string
	// IncludeSender says whether the sender gets it as well; nil leaves that to To.
	// With RelayToRoom, the sender gets it only as a member of the room. Not with
	// RelayToSender.
	IncludeSender *bool
	// Conflate says whether an event replaces the one from the same user to the same
	// clients that still waits for a slow client; of a socket without a user, the one
	// from the same socket. Not with RelayToSender.
	Conflate bool
	// SkipHistory leaves the event out of the history of its room; only with RelayToRoom.
	SkipHistory bool
	// Args is the text of a JSON array that replaces the client's arguments; nil
	// passes these on.
	Args json.RawMessage
	// Ack is the text of the JSON value in the sender's ack; nil means {"ok":true}.
	// It doesn't replace the error of an event that is refused.
	Ack json.RawMessage
}

func (r *RelayRule) setDefaults() {
	r.Emit = cmp.Or(r.Emit, r.Event)
	includes := r.To == RelayToRoom
	if includes {
		r.RoomField = cmp.Or(r.RoomField, "room")
	}
	if r.IncludeSender == nil && r.To != RelayToSender {
		r.IncludeSender = &includes
	}
}

func (o *Options) validateRelay(v *violations) {
	seen := map[string]string{o.Rooms.JoinEvent: "rooms.join_event", o.Rooms.LeaveEvent: "rooms.leave_event"}
	for i := range o.Relay {
		rule, field := &o.Relay[i], fmt.Sprintf("relay[%d].", i)
		if other, ok := seen[rule.Event]; ok && rule.Event != "" {
			v.add(field+"event", "%q is already used by %s", rule.Event, other)
		}
		seen[rule.Event] = field + "event"
		rule.validate(v, field, o.messageLimits())
	}
}

// validate adds to v what is wrong with r, whose fields have the prefix field.
func (r *RelayRule) validate(v *violations, field string, limits MessageLimits) {
	validateEvent(v, field+"event", r.Event)
	if r.Emit != r.Event {
		validateEvent(v, field+"emit", r.Emit)
	}
	switch {
	case r.To != RelayToRoom && r.To != RelayToBroadcast && r.To != RelayToSender:
		v.add(field+"to", `%q is not "room", "broadcast" or "sender"`, r.To)
	case r.To != RelayToRoom && r.RoomField != "":
		v.add(field+"room_field", "has no meaning with to: %s", r.To)
	case r.To == RelayToSender && r.IncludeSender != nil:
		v.add(field+"include_sender", "has no meaning with to: sender")
	case r.To == RelayToSender && r.Conflate:
		v.add(field+"conflate", "has no meaning with to: sender")
	case r.To != RelayToRoom && r.SkipHistory:
		v.add(field+"skip_history", "has no meaning with to: %s", r.To)
	}
	if r.Args != nil {
		validateFixed(v, field+"args", r.Args, limits)
	}
	if r.Ack != nil {
		validateFixed(v, field+"ack", asArray(r.Ack), limits)
	}
}

// validateFixed checks arguments in the configuration.
func validateFixed(v *violations, field string, args json.RawMessage, limits MessageLimits) {
	if n := int64(len(args)); n > limits.Bytes {
		v.add(field, "has %d bytes; at most %d are allowed", n, limits.Bytes)
		return
	}
	if err := socketio.CheckArgs(args, 0); err != nil {
		v.add(field, "%s", err)
	}
}

func asArray(value json.RawMessage) json.RawMessage {
	return json.RawMessage("[" + string(value) + "]")
}

// handleRelay carries out a rule and returns the answer, and to how many sockets of this node
// the message went.
func (b *Broker) handleRelay(s *socket, rule RelayRule, p socketio.Payload) (answer any, sent eventResult, err *Error) {
	sent.result = outcome.Relayed
	received := b.metrics.latency.receive()
	if err := b.checkLoad(); err != nil {
		return nil, sent, err
	}
	to, room, err := rule.target(s, p)
	if err != nil {
		return nil, sent, err
	}
	m := &Message{Event: rule.Emit, Args: p.Args, Attachments: p.Attachments, SkipHistory: rule.SkipHistory, received: received}
	if rule.Args != nil {
		m.Args, m.Attachments = fillIn(rule.Args, s.user, room), nil
	}
	if rule.Conflate {
		m.ConflateKey = rule.Emit
		m.conflate(&to, s.conflationSender())
	}
	if rule.To == RelayToSender {
		sent.report = b.deliver(s.ns, []*socket{s}, m)
	} else {
		sent.report, sent.otherNodes = b.emit(s.ns, &to, m)
	}
	if rule.Ack != nil {
		return fillIn(rule.Ack, s.user, room), sent, nil
	}
	return accepted{OK: true}, sent, nil
}

// conflationSender names whose messages replace each other: those of the user, or of this
// socket if it has none.
func (s *socket) conflationSender() string {
	if s.user == "" {
		return "socket " + s.id
	}
	return "user " + s.user
}

// target returns the target of an event, if its sender may reach it, and the room
// that the event names, if any.
func (r *RelayRule) target(s *socket, p socketio.Payload) (to Target, name string, err *Error) {
	to.Namespace = s.ns.name
	switch r.To {
	case RelayToSender:
		return to, "", nil
	case RelayToBroadcast:
		if !s.grant().Broadcast {
			return to, "", denied(ReasonBroadcastDenied, "the token doesn't allow sending to everyone")
		}
		to.Everyone = true
	case RelayToRoom:
		if name, err = roomField(p, r.RoomField); err != nil {
			return to, "", err
		}
		if !room.AnyMatches(s.grant().Publish, name) {
			return to, "", denied(ReasonPublishDenied, "the token doesn't allow sending to the room %q", name)
		}
		to.Rooms = []string{name}
	}
	if !*r.IncludeSender {
		to.ExceptSockets = []string{s.id}
	}
	return to, name, nil
}

// fillIn replaces the placeholders in the strings of valid JSON.
func fillIn(text json.RawMessage, user, room string) json.RawMessage {
	names := []string{"{user}", inText(user)}
	if room != "" {
		names = append(names, "{room}", inText(room))
	}
	return json.RawMessage(strings.NewReplacer(names...).Replace(string(text)))
}

// inText returns a text as it is written between the quotes of a JSON string.
func inText(text string) string {
	quoted, _ := json.Marshal(text) // text always encodes
	return string(quoted[1 : len(quoted)-1])
}

// roomField reads the name of a room from a field of the first argument.
func roomField(p socketio.Payload, field string) (string, *Error) {
	arg := firstArg(p.Args)
	if len(arg) == 0 || arg[0] != '{' {
		return "", invalidEvent(fmt.Sprintf("the first argument must be an object whose field %q names the room", field))
	}
	var v violations
	room := readRoom(&v, field, rawjson.Member(arg, field))
	if len(v) > 0 {
		return "", invalidEvent(fieldsMessage(v))
	}
	return room, nil
}
