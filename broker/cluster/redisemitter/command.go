package redisemitter

import (
	"encoding/json"
	"errors"
	"strings"
)

// DefaultKey is the default prefix of the emitters' channels: their option "key".
const DefaultKey = "socket.io"

// ErrIgnored is returned for requests that Socket.IO servers send each other on the same channels.
var ErrIgnored = errors.New("emitter: a request between servers")

// Kind is the kind of a [Command]. It says which of its fields are set.
type Kind uint8

// Kinds of commands.
const (
	// KindEmit sends an event.
	KindEmit Kind = iota + 1
	// KindJoin makes sockets join rooms.
	KindJoin
	// KindLeave makes sockets leave rooms.
	KindLeave
	// KindDisconnect disconnects sockets.
	KindDisconnect
	// KindServerSideEmit sends an event to the servers themselves.
	KindServerSideEmit
)

// Command is what an emitter asks for.
type Command struct {
	// Kind is what it asks for.
	Kind Kind
	// Namespace is the namespace of the sockets concerned, such as "/".
	Namespace string
	// Rooms are the rooms of the sockets concerned; none means all sockets. In Socket.IO, every
	// socket is in a room named by its id, so these may be ids. Not with KindServerSideEmit.
	Rooms []string
	// Except are the rooms, or ids, whose sockets are left out.
	Except []string

	// Event is the name of the event, with KindEmit and KindServerSideEmit.
	Event string
	// Args are its arguments, a JSON array, with Socket.IO's placeholders for binary data.
	Args json.RawMessage
	// Attachments are the binary data of the arguments; only with KindEmit.
	Attachments [][]byte
	// Volatile means that the event may be dropped for busy clients; only with KindEmit.
	Volatile bool

	// Change are the rooms to join or leave.
	Change []string
	// Close means to close the whole connection; only with KindDisconnect.
	Close bool
}

// Patterns returns the channel patterns for some namespaces, for PSUBSCRIBE. key is the emitters'
// option of that name, such as [DefaultKey].
func Patterns(key string, namespaces ...string) []string {
	patterns := []string{PythonChannel}
	escape := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
	for _, namespace := range namespaces {
		patterns = append(patterns,
			escape.Replace(key+"#"+namespace+"#")+"*",
			escape.Replace(key+"-request#"+namespace+"#"))
	}
	return patterns
}

// Decode decodes a message that came on a channel. Its error is [ErrIgnored] or says what is wrong.
// Errors never contain parts of the message. The result's attachments share memory with payload.
func Decode(key, channel string, payload []byte) (*Command, error) {
	if len(payload) > maxBytes {
		return nil, errTooLarge
	}
	if channel == PythonChannel {
		return decodePython(payload)
	}
	if name, ok := strings.CutPrefix(channel, key+"-request#"); ok {
		namespace, ok := strings.CutSuffix(name, "#")
		if !ok {
			return nil, errChannel
		}
		return decodeRequest(namespace, payload)
	}
	c, err := decodePacket(payload)
	if err != nil {
		return nil, err
	}
	// A publisher with access to the channel of one namespace must not reach others.
	if !strings.HasPrefix(channel, key+"#"+c.Namespace+"#") {
		return nil, errChannel
	}
	return c, nil
}
