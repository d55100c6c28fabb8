package packet

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// AppendEvent appends the text of an EVENT packet, or of a BINARY_EVENT header
// if there are attachments, and returns the longer slice. The namespace is "/"
// or "/name"; ackID, if not nil, asks the receiver for an ack. The payload must
// have passed [CheckArgs]; empty Args mean no arguments.
func AppendEvent(dst []byte, namespace string, ackID *uint64, event string, p Payload) []byte {
	typ := parser.EVENT
	if len(p.Attachments) > 0 {
		typ = parser.BINARY_EVENT
	}
	dst = appendHeader(dst, typ, len(p.Attachments), namespace, ackID)
	dst = append(dst, '[')
	dst = appendString(dst, event)
	if inner := elements(p.Args); len(inner) > 0 {
		dst = append(dst, ',')
		dst = append(dst, inner...)
	}
	return append(dst, ']')
}

// appendAck appends the text of an ACK packet, or of a BINARY_ACK header.
func appendAck(dst []byte, namespace string, ackID uint64, p Payload) []byte {
	typ := parser.ACK
	if len(p.Attachments) > 0 {
		typ = parser.BINARY_ACK
	}
	dst = appendHeader(dst, typ, len(p.Attachments), namespace, &ackID)
	dst = append(dst, '[')
	dst = append(dst, elements(p.Args)...)
	return append(dst, ']')
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

// elements returns what stands between the brackets of a JSON array.
func elements(array []byte) []byte {
	array = bytes.TrimSpace(array)
	if len(array) < 2 {
		return nil
	}
	return bytes.TrimSpace(array[1 : len(array)-1])
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always has an encoding
	return append(dst, bytes.TrimRight(buf.Bytes(), "\n")...)
}

// encoder writes the packets that the library itself sends: CONNECT,
// CONNECT_ERROR, DISCONNECT, and acks whose data is a [Payload].
type encoder struct{}

// Encode implements [parser.Encoder].
func (encoder) Encode(p *parser.Packet) []types.BufferInterface {
	if args, ok := p.Data.([]any); ok && p.Type == parser.ACK && p.Id != nil {
		var payload Payload
		if len(args) == 1 {
			payload, _ = args[0].(Payload)
		}
		out := []types.BufferInterface{types.NewStringBuffer(appendAck(nil, p.Nsp, *p.Id, payload))}
		for _, a := range payload.Attachments {
			out = append(out, types.NewBytesBuffer(a))
		}
		return out
	}
	text := appendHeader(nil, p.Type, 0, p.Nsp, p.Id)
	if p.Data != nil {
		// What the library sends here is made of strings and our own error
		// data, which always encode.
		data, _ := json.Marshal(p.Data)
		text = append(text, data...)
	}
	return []types.BufferInterface{types.NewStringBuffer(text)}
}
