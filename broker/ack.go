package broker

import (
	"encoding/json"

	"github.com/salabroker/sala/broker/engine"
	"github.com/salabroker/sala/broker/events"
	"github.com/salabroker/sala/broker/packet"
)

// reply answers an event of a client, if it asked for an ack: with {ok: true},
// or with {error: {code, message}}.
type reply func(*Error)

// noReply is for events without an ack.
func noReply(*Error) {}

// replyTo returns the way to answer an event.
func (s *socket) replyTo(p *packet.Packet) reply {
	if !p.HasID {
		return noReply
	}
	id := p.ID
	return func(err *Error) {
		if err != nil {
			s.reply(id, map[string]errorBody{"error": {Code: err.Reason, Message: err.Message}})
			return
		}
		s.reply(id, map[string]bool{"ok": true})
	}
}

// reply answers the event with the ack id. The answer is strings and the like,
// which always encode.
func (s *socket) reply(id uint64, answer any) {
	args, _ := json.Marshal([]any{answer})
	s.deliver(engine.NewFrame(packet.AppendAck(nil, s.ns.name, id, packet.Payload{Args: args})), false)
}

// replyFrom answers the event with the ack id with what a backend said.
func (s *socket) replyFrom(id uint64, r events.Reply) {
	if r.Error != nil {
		s.reply(id, map[string]errorBody{"error": {Code: r.Error.Code, Message: r.Error.Message}})
		return
	}
	p := packet.Payload{Args: r.Args, Attachments: r.Attachments}
	s.deliver(engine.NewFrame(packet.AppendAck(nil, s.ns.name, id, p), r.Attachments...), false)
}

// errorBody is what a refused client finds in err.data, or in an ack's error.
type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
