package broker

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/salabroker/sala/broker/socketio"
)

// Limits of what one event may carry.
const (
	maxNameBytes          = 255
	defaultMaxAttachments = 64
)

// Message is one event as it is sent to clients.
type Message struct {
	// Event is the event's name.
	Event string
	// Args is the text of a JSON array, passed on byte for byte. Empty means
	// no arguments.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
	// Volatile drops the event, rather than queue it, for a socket that can't
	// take it right now.
	Volatile bool
	// Unreported leaves what became of it on other nodes out of the report, so
	// that they needn't be waited for.
	Unreported bool
}

// Report counts what became of a [Message].
type Report struct {
	// Matched is how many sockets the target named.
	Matched int
	// Queued is to how many of them the message was queued, which isn't to
	// say that it reached them.
	Queued int
	// Dropped is Matched - Queued.
	Dropped int
	Coverage
}

// size is what counts towards the limit of one message.
func (m *Message) size() (n int64) {
	n = int64(len(m.Args))
	for _, a := range m.Attachments {
		n += int64(len(a))
	}
	return n
}

// MessageLimits is how large a message may be.
type MessageLimits struct {
	// Bytes is how much its arguments and attachments have together.
	Bytes int64
	// Attachments is how many it has.
	Attachments int
}

func (o *Options) messageLimits() MessageLimits {
	return MessageLimits{Bytes: o.MaxMessageBytes, Attachments: o.MaxAttachments}
}

// validate adds to v whatever makes m unfit to be sent.
func (m *Message) validate(v *violations, limits MessageLimits) {
	validateEvent(v, "event", m.Event)
	if n := m.size(); n > limits.Bytes {
		v.add("args", "arguments and attachments have %d bytes; at most %d are allowed (--max-message-bytes)", n, limits.Bytes)
		return
	}
	if len(m.Attachments) > limits.Attachments {
		v.add("attachments", "there are %d; at most %d are allowed (--max-attachments)", len(m.Attachments), limits.Attachments)
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

// brokerEvents begins the names of the events that the broker itself sends to
// clients and takes from them. Nobody else sends one: a client may rely on it.
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
		v.add(field, "%q is a name that Socket.IO keeps for itself; choose another", event)
	case isBrokerEvent(event):
		v.add(field, "%q begins with %q, as only the broker's own events do; choose another name", event, brokerEvents)
	}
}
