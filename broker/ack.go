package broker

import (
	"encoding/json"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/socketio"
)

// accepted is what a client gets for an event that the broker has done.
type accepted struct {
	OK bool `json:"ok"`
}

// answerEvent answers an event of a client, if it asked for an ack: with ok, or with
// {error: {code, message}}.
func (s *socket) answerEvent(p *socketio.Packet, ok any, err *Error) {
	switch {
	case !p.HasID:
	case err != nil:
		s.reply(p.ID, map[string]errorBody{"error": {Code: err.Reason, Message: err.Message}})
	default:
		s.reply(p.ID, ok)
	}
}

// reply answers the event with the ack id. The answer is strings and the like,
// which always encode.
func (s *socket) reply(id uint64, answer any) {
	args, _ := json.Marshal([]any{answer})
	s.deliver(engineio.NewFrame(socketio.AppendAck(nil, s.ns.name, id, socketio.Payload{Args: args})), false)
}

// replyFrom answers the event with the ack id with what a backend said.
func (s *socket) replyFrom(id uint64, r eventhub.Reply) {
	if r.Error != nil {
		s.reply(id, map[string]errorBody{"error": {Code: r.Error.Code, Message: r.Error.Message}})
		return
	}
	p := socketio.Payload{Args: r.Args, Attachments: r.Attachments}
	s.deliver(engineio.NewFrame(socketio.AppendAck(nil, s.ns.name, id, p), r.Attachments...), false)
}

// errorBody is what a refused client finds in err.data, or in an ack's error.
type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
