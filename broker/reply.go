package broker

import (
	"encoding/json"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/salabroker/sala/broker/packet"
)

// reply answers an event of a client, if it asked for an ack: with {ok: true},
// or with {error: {code, message}}.
type reply func(*Error)

// noReply is for events without an ack.
func noReply(*Error) {}

func replyThrough(ack socket.Ack) reply {
	return func(err *Error) {
		args := json.RawMessage(`[{"ok":true}]`)
		if err != nil {
			body := map[string]any{"error": errorBody{Code: err.Reason, Message: err.Message}}
			args, _ = json.Marshal([]any{body}) // strings always encode
		}
		ack([]any{packet.Payload{Args: args}}, nil)
	}
}
