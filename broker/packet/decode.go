package packet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
)

// Limits of what a client may send.
const (
	defaultAttachments = 64
	maxNamespaceBytes  = 255
	maxEventBytes      = 255
	// maxAuthBytes bounds what a CONNECT packet may carry: a token and a
	// little more.
	maxAuthBytes = 16 << 10
)

var (
	errText       = errors.New("packet: text while attachments are due")
	errBinary     = errors.New("packet: binary data that no packet announced")
	errType       = errors.New("packet: unknown type")
	errHeader     = errors.New("packet: malformed header")
	errPayload    = errors.New("packet: payload doesn't fit the type")
	errEvent      = errors.New("packet: an event needs a name that isn't reserved")
	errAttachment = errors.New("packet: too many attachments")
)

// ErrTooLarge is why a packet is refused that is larger than a message may be.
var ErrTooLarge = errors.New("packet: larger than a message may be")

// Packet is one packet of a client.
type Packet struct {
	// Type is CONNECT, DISCONNECT, EVENT or ACK; with attachments an event
	// is an EVENT too.
	Type parser.PacketType
	// Namespace is "/" or "/name".
	Namespace string
	// ID, if HasID, is the number under which an EVENT asks for an answer.
	// An ACK always has one: the number that it answers.
	ID    uint64
	HasID bool
	// Auth is the JSON object of a CONNECT, nil if there is none, and Token
	// its member "token", if that is a string.
	Auth  json.RawMessage
	Token string
	// AuthTooLarge says that a CONNECT carried more than is read.
	AuthTooLarge bool
	// Event is the name of an EVENT.
	Event string
	// Payload is what an EVENT or an ACK carries.
	Payload
}

// Decoder puts together what one client sends. It is used by one goroutine.
// After an error it must not be used any more: the connection is to be closed.
type Decoder struct {
	// MaxBytes bounds a packet, its attachments included.
	MaxBytes int
	// MaxAttachments bounds how many attachments a packet has; zero means 64.
	MaxAttachments int

	pending *Packet // a packet whose attachments are still to come
	due     int     // attachments
	size    int     // bytes of pending so far
}

// Text takes a text message. ok is false if attachments have to follow before
// the packet is whole. The message may be reused by the caller afterwards.
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
	if err := p.parseData(attachments, rest); err != nil {
		return p, false, err
	}
	if attachments > 0 {
		held := p
		d.pending, d.due, d.size = &held, attachments, len(text)
		return p, false, nil
	}
	return p, true, nil
}

// Binary takes an attachment, which it keeps. ok is true if it was the last
// that the packet had announced.
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

// parseHeader reads type, attachment count, namespace and ack id, and returns
// what stands behind them.
func (p *Packet) parseHeader(text []byte) (attachments int, rest []byte, err error) {
	if len(text) == 0 {
		return 0, nil, errType
	}
	p.Type, p.Namespace = parser.PacketType(text[0])-'0', "/"
	if !p.Type.Valid() || p.Type == parser.CONNECT_ERROR {
		return 0, nil, errType
	}
	rest = text[1:]
	if p.Type == parser.BINARY_EVENT || p.Type == parser.BINARY_ACK {
		p.Type -= parser.BINARY_EVENT - parser.EVENT
		count, after, found := bytes.Cut(rest, []byte{'-'})
		n, err := strconv.ParseUint(string(count), 10, 31)
		if !found || err != nil {
			return 0, nil, errHeader
		}
		attachments, rest = int(n), after
	}
	if len(rest) > 0 && rest[0] == '/' {
		name, after, _ := bytes.Cut(rest, []byte{','})
		if len(name) > maxNamespaceBytes || !utf8.Valid(name) {
			return 0, nil, errHeader
		}
		p.Namespace, rest = string(name), after
	}
	rest, err = p.parseID(rest)
	return attachments, rest, err
}

// parseID reads the ack id, if there is one, and returns what stands behind it.
func (p *Packet) parseID(text []byte) (rest []byte, err error) {
	digits := 0
	for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
		digits++
	}
	if digits == 0 {
		return text, nil
	}
	if p.ID, err = strconv.ParseUint(string(text[:digits]), 10, 64); err != nil {
		return nil, errHeader
	}
	p.HasID = true
	return text[digits:], nil
}

// parseData checks the payload against the packet's type and keeps it.
func (p *Packet) parseData(attachments int, raw []byte) error {
	switch p.Type {
	case parser.CONNECT:
		return p.parseAuth(raw)
	case parser.DISCONNECT:
		if len(raw) > 0 {
			return errPayload
		}
		return nil
	}
	args := bytes.Clone(bytes.TrimSpace(raw))
	if err := checkArray(args); err != nil {
		return errPayload
	}
	if attachments > 0 {
		if _, err := placeholders(args, attachments); err != nil {
			return err
		}
	}
	if p.Type == parser.ACK {
		if !p.HasID {
			return errHeader
		}
		p.Args = args
		return nil
	}
	var err error
	p.Event, p.Args, err = splitEvent(args)
	return err
}

func (p *Packet) parseAuth(raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	if len(raw) > maxAuthBytes {
		p.AuthTooLarge = true
		return nil
	}
	var auth struct {
		Token any `json:"token"`
	}
	if err := json.Unmarshal(raw, &auth); err != nil {
		return errPayload
	}
	p.Token, _ = auth.Token.(string)
	if raw = bytes.TrimSpace(raw); raw[0] == '{' { // or else it is null
		p.Auth = bytes.Clone(raw)
	}
	return nil
}

// splitEvent takes the event's name off a valid JSON array and returns the
// array of what follows. It writes the opening bracket over a byte of args.
func splitEvent(args []byte) (name string, rest json.RawMessage, err error) {
	body := bytes.TrimLeft(args[1:], " \t\r\n")
	end := stringEnd(body)
	if end < 0 || json.Unmarshal(body[:end], &name) != nil {
		return "", nil, errEvent
	}
	if name == "" || len(name) > maxEventBytes || Reserved(name) {
		return "", nil, errEvent
	}
	body = bytes.TrimLeft(body[end:], " \t\r\n")
	// The array is valid, so here stands either a comma or the end.
	if body[0] == ']' {
		return name, json.RawMessage("[]"), nil
	}
	body[0] = '['
	return name, body, nil
}

// stringEnd returns the index behind the JSON string that b begins with, or -1
// if it begins with something else.
func stringEnd(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return -1
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}
