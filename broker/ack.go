package broker

import (
	"encoding/json"

	"github.com/salabroker/sala/broker/engine"
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
		args := json.RawMessage(`[{"ok":true}]`)
		if err != nil {
			body := map[string]any{"error": errorBody{Code: err.Reason, Message: err.Message}}
			args, _ = json.Marshal([]any{body}) // strings always encode
		}
		ack := packet.AppendAck(nil, s.ns.name, id, packet.Payload{Args: args})
		s.deliver(engine.NewFrame(ack), false)
	}
}

// errorBody is what a refused client finds in err.data, or in an ack's error.
type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
