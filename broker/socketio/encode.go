package socketio

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
)

// AppendEvent appends the text of an EVENT packet, or of a BINARY_EVENT header if there are
// attachments, and returns the longer slice. The namespace is "/" or "/name". A non-nil ackID
// asks the receiver for an ack. The payload must have passed [CheckArgs]; empty Args mean no
// arguments.
func AppendEvent(dst []byte, namespace string, ackID *uint64, event string, p Payload) []byte {
	typ := parser.EVENT
	if len(p.Attachments) > 0 {
		typ = parser.BINARY_EVENT
	}
	dst = appendHeader(dst, typ, len(p.Attachments), namespace, ackID)
	return append(appendEvent(dst, event, p), ']')
}

// AppendRecoverable is [AppendEvent] without an ack id, for a client that takes part in recovery:
// the offset is one more argument, the last. The client keeps it, and says it when it returns.
func AppendRecoverable(dst []byte, namespace, event string, p Payload, offset string) []byte {
	typ := parser.EVENT
	if len(p.Attachments) > 0 {
		typ = parser.BINARY_EVENT
	}
	dst = appendHeader(dst, typ, len(p.Attachments), namespace, nil)
	dst = append(appendEvent(dst, event, p), ',')
	return append(AppendString(dst, offset), ']')
}

// appendEvent appends the array of an event without its closing bracket.
func appendEvent(dst []byte, event string, p Payload) []byte {
	dst = append(dst, '[')
	dst = AppendString(dst, event)
	if inner := elements(p.Args); len(inner) > 0 {
		dst = append(dst, ',')
		dst = append(dst, inner...)
	}
	return dst
}

// AppendAck appends the text of an ACK packet, or of a BINARY_ACK header, that answers the event
// with the number ackID. The payload must have passed [CheckArgs]; empty Args mean no arguments.
func AppendAck(dst []byte, namespace string, ackID uint64, p Payload) []byte {
	dst = AppendAckStart(dst, namespace, ackID, len(p.Attachments))
	dst = append(dst, elements(p.Args)...)
	return append(dst, ']')
}

// AppendAckStart appends what comes before the arguments in the text of a packet as of [AppendAck],
// which has so many attachments. The caller appends the arguments, with commas in between, and the
// closing bracket of the array that they are in.
func AppendAckStart(dst []byte, namespace string, ackID uint64, attachments int) []byte {
	typ := parser.ACK
	if attachments > 0 {
		typ = parser.BINARY_ACK
	}
	return append(appendHeader(dst, typ, attachments, namespace, &ackID), '[')
}

// AppendConnect appends the CONNECT packet that lets a client into a namespace. id is the
// socket's; pid, if it isn't empty, is what the client shows to recover the socket after its
// connection is lost.
func AppendConnect(dst []byte, namespace, id, pid string) []byte {
	dst = appendHeader(dst, parser.CONNECT, 0, namespace, nil)
	dst = append(dst, `{"sid":`...)
	dst = AppendString(dst, id)
	if pid != "" {
		dst = append(dst, `,"pid":`...)
		dst = AppendString(dst, pid)
	}
	return append(dst, '}')
}

// AppendConnectError appends the packet that refuses a client. The JSON object becomes the
// client's error.
func AppendConnectError(dst []byte, namespace string, object json.RawMessage) []byte {
	return append(appendHeader(dst, parser.CONNECT_ERROR, 0, namespace, nil), object...)
}

// AppendDisconnect appends the packet that ends a client's socket.
func AppendDisconnect(dst []byte, namespace string) []byte {
	return appendHeader(dst, parser.DISCONNECT, 0, namespace, nil)
}

func appendHeader(dst []byte, typ parser.PacketType, attachments int, namespace string, id *uint64) []byte {
	dst = append(dst, "0123456"[typ])
	if typ == parser.BINARY_EVENT || typ == parser.BINARY_ACK {
		dst = strconv.AppendInt(dst, int64(attachments), 10)
		dst = append(dst, '-')
	}
	if namespace != "" && namespace != "/" {
		dst = append(dst, namespace...)
		dst = append(dst, ',')
	}
	if id != nil {
		dst = strconv.AppendUint(dst, *id, 10)
	}
	return dst
}

// elements returns what is between the brackets of a JSON array.
func elements(array []byte) []byte {
	array = bytes.TrimSpace(array)
	if len(array) < 2 {
		return nil
	}
	return bytes.TrimSpace(array[1 : len(array)-1])
}

// AppendString appends s as a JSON string, and returns the longer slice.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	if plain(s) {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(string(s)) // every string has an encoding
	return append(dst, bytes.TrimRight(buf.Bytes(), "\n")...)
}

// plain reports whether s is its own JSON text, as most names are.
func plain[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
