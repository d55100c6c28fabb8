package broker

import (
	"errors"
	"time"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/outcome"
	"github.com/salabroker/sala/broker/rawjson"
	"github.com/salabroker/sala/broker/socketio"
)

// This file tells the recorder what became of things. On hot paths its callers check first
// whether anybody watches.

// eventResult is what became of a client's event that wasn't refused.
type eventResult struct {
	result     outcome.Result
	report     Report
	otherNodes bool     // it went to other nodes too
	groups     []string // of backends that get it
	delivery   uint64   // with which they get it; 0 for none
}

// noteEvent records what became of a client's event.
func (b *Broker) noteEvent(s *socket, p *socketio.Packet, r eventResult, err *Error) {
	e := outcome.Event{
		Kind: outcome.Message, Namespace: s.ns.name, Socket: s.describe(), Room: b.roomOf(p.Event, p.Payload),
		Name: p.Event, WantsAck: p.HasID, Result: r.result, Groups: r.groups,
		Report: reportOf(&r.report, r.otherNodes), DeliveryID: r.delivery,
	}
	if p.Event != tokenEvent { // whose argument is a secret
		e.Args, e.Attachments = p.Args, p.Attachments
	}
	if err != nil {
		e.Result, e.Code, e.Message = outcome.Denied, err.Reason, err.Message
	}
	b.outcomes.Record(e)
}

// noteAnswer records what a backend answered to a client's event, or why none did.
func (s *socket) noteAnswer(m *eventhub.Event, r *eventhub.Reply) {
	e := outcome.Event{
		Kind: outcome.Answer, Namespace: s.ns.name, Socket: m.Socket, Name: m.Name,
		Room: s.b.roomOf(m.Name, socketio.Payload{Args: m.Args}), Result: outcome.Answered, Took: time.Since(m.Time),
		DeliveryID: m.DeliveryID,
	}
	if r.Error != nil {
		e.Result, e.Code, e.Message = outcome.Denied, r.Error.Code, r.Error.Message
	}
	s.b.outcomes.Record(e)
}

// roomOf returns the room that the arguments of a client's event name; empty if they name
// none.
func (b *Broker) roomOf(event string, p socketio.Payload) string {
	arg := firstArg(p.Args)
	field := "room"
	if rule, ok := b.relay[event]; ok && rule.RoomField != "" {
		field = rule.RoomField
	}
	if len(arg) > 0 && arg[0] == '{' {
		arg = rawjson.Member(arg, field)
	} else if event != b.opts.Rooms.JoinEvent && event != b.opts.Rooms.LeaveEvent {
		return ""
	}
	name, ok := rawjson.Name(arg)
	if !ok || len(name) > maxNameBytes {
		return ""
	}
	return name
}

// noteEmit records a message of a backend.
func (b *Broker) noteEmit(t *Target, m *Message, r *Report, err error) {
	o := outcome.Emitted{
		Namespace: t.Namespace, Name: m.Event, Key: m.Caller, Report: reportOf(r, m.Unreported && b.mesh != nil),
		Target: outcome.Target{Everyone: t.Everyone, Rooms: t.Rooms, Users: t.Users, Sockets: t.Sockets},
	}
	if err != nil {
		var refused *Error
		if !errors.As(err, &refused) {
			return // the caller has given up
		}
		o.Code, o.Message = refused.Reason, refused.Message
		if refused.Code == CodeInvalidArgument { // its names may be of any size
			o.Name, o.Target = "", outcome.Target{}
		}
		if _, known := b.namespaces[t.Namespace]; !known {
			o.Namespace = ""
		}
	}
	b.outcomes.RecordEmit(&o)
}

func reportOf(r *Report, otherNodes bool) outcome.Report {
	return outcome.Report{
		Matched: r.Matched, Queued: r.Queued, Kept: r.Kept, Dropped: r.Dropped,
		Partial: r.Partial, Missing: r.Missing, OtherNodes: otherNodes,
	}
}

// noteRefused records that a client was refused. namespace and user are empty if they are
// unknown.
func (b *Broker) noteRefused(namespace, user, address, code, message string) {
	b.outcomes.Record(outcome.Event{
		Kind: outcome.Refused, Namespace: namespace, User: user, Address: address,
		Result: outcome.Denied, Code: code, Message: message,
	})
}

// noteLimit records that a client has hit a limit.
func (b *Broker) noteLimit(limit, namespace, user, address string, err *Error) {
	b.outcomes.Record(outcome.Event{
		Kind: outcome.Limit, Namespace: namespace, User: user, Address: address,
		Limit: limit, Result: outcome.Denied, Code: err.Reason, Message: err.Message,
	})
}

// noteDropped records that the client doesn't get messages. It may be called with the
// session's mu held.
func (s *socket) noteDropped(reason engineio.DropReason, messages int) {
	if messages > 0 {
		s.b.outcomes.RecordDrop(s.describe(), string(reason), dropMessage(reason), messages)
	}
}

// dropMessage says to people why a message was dropped.
func dropMessage(reason engineio.DropReason) string {
	switch reason {
	case engineio.DropClosed:
		return "the connection was about to close"
	case engineio.DropNotWritable:
		return "the message was volatile, and the client was busy with earlier ones"
	case engineio.DropQueueFull:
		return "the client reads too slowly, and its queue was full"
	case engineio.DropTooLarge:
		return "the message is larger than the queue of a connection"
	case engineio.DropUndelivered:
		return "the connection ended before they were written"
	case dropNotRecovered:
		return "they were kept for the client's return, and it didn't return in time, or there was no room"
	case dropOverloaded:
		return "the node of the client was short of memory"
	}
	return string(reason)
}
