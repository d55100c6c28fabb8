package socketio

import (
	"cmp"
	"errors"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
)

// Limits of what a client may send.
const (
	defaultAttachments = 64
	maxNamespaceBytes  = 255
	maxEventBytes      = 255
	defaultAuthBytes   = 16 << 10
)

var (
	errText       = errors.New("socketio: text while attachments are due")
	errBinary     = errors.New("socketio: binary data that no packet announced")
	errType       = errors.New("socketio: unknown type")
	errHeader     = errors.New("socketio: malformed header")
	errPayload    = errors.New("socketio: payload doesn't fit the type")
	errAttachment = errors.New("socketio: too many attachments")
)

// ErrTooLarge is the error of a packet with more than [Decoder.MaxBytes].
var ErrTooLarge = errors.New("socketio: larger than a message may be")

// Decoder reads the packets of one client. One goroutine uses it. After an error it must not be
// used again; the caller closes the connection.
type Decoder struct {
	// MaxBytes is how many bytes a packet may have, including its attachments.
	MaxBytes int
	// MaxAuthBytes is how many bytes a CONNECT packet may carry: a token and a little more. Zero
	// means 16 KiB.
	MaxAuthBytes int
	// MaxAttachments is how many attachments a packet may have. Zero means 64.
	MaxAttachments int

	pending *Packet // a packet whose attachments are still to come
	due     int     // attachments
	size    int     // of pending so far, in bytes
}

// Text takes a text message. ok is false if attachments have to follow before the packet is
// complete. The caller may reuse the message afterwards. Every error is the client's fault.
func (d *Decoder) Text(text []byte) (p Packet, ok bool, err error) {
	if d.pending != nil {
		return p, false, errText
	}
	attachments, rest, err := p.parseHeader(text)
	if err != nil {
		return p, false, err
	}
	if attachments > cmp.Or(d.MaxAttachments, defaultAttachments) {
		return p, false, errAttachment
	}
	// A CONNECT that is too large has a limit and an answer of its own.
	if len(text) > d.MaxBytes && p.Type != parser.CONNECT {
		return p, false, ErrTooLarge
	}
	if err := p.parseData(attachments, rest, cmp.Or(d.MaxAuthBytes, defaultAuthBytes)); err != nil {
		return p, false, err
	}
	if attachments > 0 {
		held := p
		d.pending, d.due, d.size = &held, attachments, len(text)
		return p, false, nil
	}
	return p, true, nil
}

// Binary takes an attachment and keeps it. ok is true if it was the last one of its packet. Every
// error is the client's fault.
func (d *Decoder) Binary(data []byte) (p Packet, ok bool, err error) {
	if d.pending == nil {
		return p, false, errBinary
	}
	if d.size += len(data); d.size > d.MaxBytes {
		return p, false, ErrTooLarge
	}
	d.pending.Attachments = append(d.pending.Attachments, data)
	if d.due--; d.due > 0 {
		return p, false, nil
	}
	p, d.pending = *d.pending, nil
	return p, true, nil
}
