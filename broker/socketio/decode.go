package socketio

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"

	"github.com/salabroker/sala/broker/rawjson"
)

// Limits of what a client may send.
const (
	defaultAttachments = 64
	maxNamespaceBytes  = 255
	maxEventBytes      = 255
	defaultAuthBytes   = 16 << 10
)

var (
	errText       = errors.New("packet: text while attachments are due")
	errBinary     = errors.New("packet: binary data that no packet announced")
	errType       = errors.New("packet: unknown type")
	errHeader     = errors.New("packet: malformed header")
	errPayload    = errors.New("packet: payload doesn't fit the type")
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
	// ID, if HasID, is the number under which an EVENT asks for an answer, or
	// that an ACK answers. An ACK without one answers nothing.
	ID    uint64
	HasID bool
	// Auth is the JSON object of a CONNECT, nil if there is none, and Token
	// its member "token", if that is a string.
	Auth  json.RawMessage
	Token string
	// AuthTooLarge says that a CONNECT carried more than is read.
	AuthTooLarge bool
	// Event is the name of an EVENT. A number counts as its text: stock clients
	// and servers take one for a name.
	Event string
	// Refusal, if it isn't empty, says what is wrong with an EVENT that could be
	// read and can't be handled. It has neither name nor arguments then: its
	// sender should hear why, and needn't lose its connection over it.
	Refusal string
	// Payload is what an EVENT or an ACK carries.
	Payload
}

// Decoder puts together what one client sends. It is used by one goroutine.
// After an error it must not be used any more: the connection is to be closed.
type Decoder struct {
	// MaxBytes bounds a packet, its attachments included.
	MaxBytes int
	// MaxAuthBytes bounds what a CONNECT packet may carry, a token and a little
	// more; zero means 16 KiB.
	MaxAuthBytes int
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
func (p *Packet) parseData(attachments int, raw []byte, maxAuth int) error {
	switch p.Type {
	case parser.CONNECT:
		return p.parseAuth(raw, maxAuth)
	case parser.DISCONNECT:
		if len(raw) > 0 {
			return errPayload
		}
		return nil
	}
	args := bytes.Clone(bytes.TrimSpace(raw))
	switch err := checkArray(args); {
	case errors.Is(err, errDepth) && p.Type == parser.EVENT:
		p.Refusal = err.Error()
		return nil
	case err != nil:
		return errPayload
	}
	if attachments > 0 {
		if _, err := placeholders(args, attachments); err != nil {
			return err
		}
	}
	if p.Type == parser.ACK {
		p.Args = args
		return nil
	}
	p.Event, p.Args, p.Refusal = splitEvent(args)
	return nil
}

func (p *Packet) parseAuth(raw []byte, most int) error {
	if len(raw) == 0 {
		return nil
	}
	if len(raw) > most {
		p.AuthTooLarge = true
		return nil
	}
	raw = bytes.TrimSpace(raw)
	if !json.Valid(raw) || raw[0] != '{' && string(raw) != "null" {
		return errPayload
	}
	if raw[0] != '{' {
		return nil
	}
	p.Auth = bytes.Clone(raw)
	// Null, a number and the like are no token.
	_ = json.Unmarshal(rawjson.Member(p.Auth, "token"), &p.Token)
	return nil
}

// splitEvent takes the event's name off a valid JSON array and returns the
// array of what follows, or what is wrong with the name. It writes the opening
// bracket over a byte of args.
func splitEvent(args []byte) (name string, rest json.RawMessage, refusal string) {
	body := bytes.TrimLeft(args[1:], " \t\r\n")
	// The array is valid: behind its first element stands a comma or the end.
	end := scalarEnd(body)
	name, ok := rawjson.Name(body[:end])
	switch {
	case !ok:
		return "", nil, "an event's name is text, or a number that counts as its text"
	case name == "":
		return "", nil, "an event's name can't be empty"
	case len(name) > maxEventBytes:
		return "", nil, fmt.Sprintf("an event's name has at most %d bytes, this one has %d", maxEventBytes, len(name))
	case Reserved(name):
		return "", nil, fmt.Sprintf("%q is a name that Socket.IO keeps for itself; choose another", name)
	}
	body = bytes.TrimLeft(body[end:], " \t\r\n")
	if body[0] == ']' {
		return name, json.RawMessage("[]"), ""
	}
	body[0] = '['
	return name, body, ""
}

// scalarEnd returns the index behind the string, number, true, false or null
// that b begins with; 0 if it begins with anything else.
func scalarEnd(b []byte) int {
	if b[0] != '"' {
		end := bytes.IndexAny(b, "[]{},: \t\r\n")
		return max(end, 0)
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}
