package engineio

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
)

// Frame is a message, or an engine packet, that is encoded once for any number of connections: as
// WebSocket frames, and with what long-polling needs. It is immutable, so connections and
// goroutines may share it.
type Frame struct {
	wire        []byte // the WebSocket frames, back to back
	textLen     int    // of the text packet, which the first of them carries; 0 if there is none
	written     func() // called when f has been written; usually nil
	key         ConflationKey
	attachments [][]byte // the binary payloads within wire
	control     bool     // not a message: it doesn't count as one when it is dropped
	kept        bool     // a message that the layer above keeps, and counts
	last        bool     // the end of the connection
}

// ConflationKey names a value that messages carry. A later message with the same key replaces one that
// still waits. The zero key is that of a message which replaces none. Keys are compared as they are, so their first bytes should differ.
type ConflationKey [16]byte

// mark is the part of a key that is compared first.
func (k ConflationKey) mark() uint64 { return binary.NativeEndian.Uint64(k[:]) }

// NewFrame encodes a message: a text, and the binary attachments that belong to it, which follow
// the text. For Socket.IO, text is an encoded packet. NewFrame copies its arguments.
func NewFrame(text []byte, attachments ...[]byte) *Frame {
	size := maxHeaderSize + 1 + len(text)
	for _, a := range attachments {
		size += maxHeaderSize + len(a)
	}
	f := &Frame{wire: make([]byte, 0, size)}
	f.appendText(packetMessage, text)
	if len(attachments) > 0 {
		f.attachments = make([][]byte, 0, len(attachments))
		for _, a := range attachments {
			f.appendBinary(a)
		}
	}
	return f
}

// NewKeptFrame is [NewFrame] for a message that the caller keeps until the client confirms it. The
// server doesn't count it when it is dropped.
func NewKeptFrame(text []byte, attachments ...[]byte) *Frame {
	f := NewFrame(text, attachments...)
	f.kept = true
	return f
}

// Conflate makes f replace a frame with the same key that waits in a connection's queue. It must be
// called before f is sent. It returns f.
func (f *Frame) Conflate(key ConflationKey) *Frame {
	f.key = key
	return f
}

// Timed returns a copy of f, which shares its bytes, for one connection. written is called when that
// connection's socket has taken the whole message, or when it is put into the answer to a poll. It
// isn't called for a message that is dropped or replaced. It must be quick and must not call the
// connection.
func (f *Frame) Timed(written func()) *Frame {
	timed := new(*f)
	timed.written = written
	return timed
}

// ConflationKey returns the key that was given to Conflate, or the zero key.
func (f *Frame) ConflationKey() ConflationKey { return f.key }

// conflates reports whether f may replace a frame.
func (f *Frame) conflates() bool { return f.key != ConflationKey{} }

// NewBinaryFrame encodes a binary message without a text. It copies data.
func NewBinaryFrame(data []byte) *Frame {
	f := &Frame{wire: make([]byte, 0, maxHeaderSize+len(data))}
	f.appendBinary(data)
	return f
}

// inBase64 returns f for a client that can't read binary WebSocket frames, with the attachments
// as text frames.
func (f *Frame) inBase64() *Frame {
	if len(f.attachments) == 0 {
		return f
	}
	encoded := new(*f)
	encoded.wire = slices.Clip(f.wire[:f.textEnd()]) // appending copies it
	for _, a := range f.attachments {
		encoded.wire = appendHeader(encoded.wire, opText, 1+base64.StdEncoding.EncodedLen(len(a)))
		encoded.wire = base64.StdEncoding.AppendEncode(append(encoded.wire, packetBinary), a)
	}
	return encoded
}

// newPacketFrame encodes an engine packet that isn't a message.
func newPacketFrame(kind byte, text []byte) *Frame {
	f := &Frame{wire: make([]byte, 0, maxHeaderSize+1+len(text)), control: true}
	f.appendText(kind, text)
	return f
}

// newControlFrame encodes a WebSocket control frame. Long-polling has no such thing and sends
// nothing.
func newControlFrame(opcode byte, payload []byte) *Frame {
	wire := appendHeader(make([]byte, 0, maxHeaderSize+len(payload)), opcode, len(payload))
	return &Frame{wire: append(wire, payload...), control: true}
}

// newCloseFrame encodes the end of a connection: the WebSocket close frame. The server doesn't
// send the engine's own close packet. Neither does the JavaScript server over WebSocket:
// python-engineio takes it for a deliberate end and doesn't reconnect. Over long-polling, where
// the JavaScript server sends it, the session is simply unknown, and every client understands
// that.
func newCloseFrame(reason Reason) *Frame {
	f := &Frame{wire: make([]byte, 0, maxHeaderSize+2+len(reason)), control: true, last: true}
	f.wire = appendHeader(f.wire, opClose, 2+len(reason))
	f.wire = binary.BigEndian.AppendUint16(f.wire, reason.closeCode())
	f.wire = append(f.wire, reason...)
	return f
}

func (f *Frame) appendText(kind byte, text []byte) {
	f.textLen = 1 + len(text)
	f.wire = appendHeader(f.wire, opText, f.textLen)
	f.wire = append(append(f.wire, kind), text...)
}

// text returns the text packet; it is empty if there is none.
func (f *Frame) text() []byte {
	end := f.textEnd()
	return f.wire[end-f.textLen : end : end]
}

// textEnd returns where in wire the text packet ends; 0 if there is none.
func (f *Frame) textEnd() int {
	if f.textLen == 0 {
		return 0
	}
	return headerSize(f.textLen) + f.textLen
}

// appendBinary must not make wire grow beyond its capacity, as attachments are slices of it.
func (f *Frame) appendBinary(data []byte) {
	f.wire = appendHeader(f.wire, opBinary, len(data))
	start := len(f.wire)
	f.wire = append(f.wire, data...)
	f.attachments = append(f.attachments, f.wire[start:len(f.wire):len(f.wire)])
}

// frameOverhead is roughly what a queued message costs besides its bytes. It bounds a flood of
// tiny messages.
const frameOverhead = 64

// cost is what f counts towards MaxQueuedBytes.
func (f *Frame) cost() int { return len(f.wire) + frameOverhead }

// Message returns the message that f was made of: its text, and its attachments. The caller must not
// change them.
func (f *Frame) Message() (text []byte, attachments [][]byte) { return f.text()[1:], f.attachments }

// Size returns how many bytes f takes in memory, roughly.
func (f *Frame) Size() int { return f.cost() }

// payloadSize is at least the number of bytes that appendPayload appends.
func (f *Frame) payloadSize() int {
	n := 1 + f.textLen
	for _, a := range f.attachments {
		n += 2 + base64.StdEncoding.EncodedLen(len(a))
	}
	return n
}

// appendPayload appends f in the form of long-polling, with a separator after what dst holds
// already.
func (f *Frame) appendPayload(dst []byte) []byte {
	if f.textLen > 0 {
		dst = append(appendSeparator(dst), f.text()...)
	}
	for _, a := range f.attachments {
		dst = append(appendSeparator(dst), packetBinary)
		dst = base64.StdEncoding.AppendEncode(dst, a)
	}
	return dst
}

func appendSeparator(dst []byte) []byte {
	if len(dst) == 0 {
		return dst
	}
	return append(dst, recordSeparator)
}
