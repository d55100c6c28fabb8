package redisemitter

import (
	"encoding/json"
	"errors"
	"strings"
)

// DefaultKey is what the names of the emitters' channels begin with, unless their
// option "key" says otherwise.
const DefaultKey = "socket.io"

// ErrIgnored is returned for messages that aren't for a server to carry out:
// questions that Socket.IO servers ask each other on the same channels.
var ErrIgnored = errors.New("emitter: a request between servers")

// Kind says what a [Command] is.
type Kind uint8

// The kinds there are.
const (
	// KindEmit: send an event.
	KindEmit Kind = iota + 1
	// KindJoin: sockets are to join rooms.
	KindJoin
	// KindLeave: sockets are to leave rooms.
	KindLeave
	// KindDisconnect: sockets are to be disconnected.
	KindDisconnect
	// KindServerSideEmit: an event for the servers themselves.
	KindServerSideEmit
)

// Command is what an emitter wants done.
type Command struct {
	// Kind says what, and which of the fields below count.
	Kind Kind
	// Namespace is whose sockets it is about, such as "/".
	Namespace string
	// Rooms are the rooms whose sockets it is about; none means all. In
	// Socket.IO every socket is in a room that has its id as name, so these may be
	// ids. Not with KindServerSideEmit.
	Rooms []string
	// Except are the rooms, or ids, whose sockets it isn't about.
	Except []string

	// Event is the event's name; with KindEmit and KindServerSideEmit.
	Event string
	// Args are its arguments, a JSON array. Binary ones stand as Socket.IO's
	// placeholders.
	Args json.RawMessage
	// Attachments are the binary arguments; only with KindEmit.
	Attachments [][]byte
	// Volatile: it needn't reach clients that are busy; only with KindEmit.
	Volatile bool

	// Change are the rooms to join or leave.
	Change []string
	// Close: the whole connection is to be closed; only with KindDisconnect.
	Close bool
}

// Patterns returns the patterns of the channels for some namespaces, as PSUBSCRIBE
// takes them. Key is the emitters' option of that name, [DefaultKey] by default.
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

// Decode reads a message that came by a channel. Its errors, but [ErrIgnored],
// say what is wrong with it and never repeat its contents. The result's
// attachments share memory with the payload.
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
	// Who may publish for one namespace may not for others.
	if !strings.HasPrefix(channel, key+"#"+c.Namespace+"#") {
		return nil, errChannel
	}
	return c, nil
}
