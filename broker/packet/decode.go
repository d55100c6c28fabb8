package packet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// Limits of what a client may send.
const (
	maxAttachments    = 64
	maxNamespaceBytes = 255
	maxEventBytes     = 255
	// maxAuthBytes bounds what a CONNECT packet may carry: a token and a
	// little more. The library keeps it as long as the socket lives.
	maxAuthBytes = 16 << 10
)

// AuthTooLarge is the key under which the auth data of a CONNECT packet says
// that it was over the limit and not read.
const AuthTooLarge = "\x00too large"

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

// Parser is the library's parser interface over this package.
type Parser struct {
	// MaxBytes bounds a packet, its attachments included.
	MaxBytes int
}

// NewEncoder implements [parser.Parser].
func (Parser) NewEncoder() parser.Encoder { return encoder{} }

// NewDecoder implements [parser.Parser].
func (p Parser) NewDecoder() parser.Decoder {
	return &decoder{EventEmitter: types.NewEventEmitter(), maxBytes: p.MaxBytes}
}

// decoder puts together what one client sends. It is used by one goroutine.
//
// A decoded EVENT has []any{name string, Payload} as data, an ACK has
// []any{Payload}, a CONNECT has map[string]any or nil.
type decoder struct {
	types.EventEmitter
	maxBytes int

	// pending is a binary packet whose attachments are still to come.
	pending *parser.Packet
	payload Payload
	due     int // attachments
	size    int // bytes of pending so far
}

// Add implements [parser.Decoder]: it takes a text or binary message and emits
// "decoded" once a packet is whole. An error means that the connection must be
// closed.
func (d *decoder) Add(data any) error {
	switch data := data.(type) {
	case string:
		return d.addText([]byte(data))
	case *types.StringBuffer:
		return d.addText(data.Bytes())
	case []byte:
		return d.addBinary(data)
	case io.Reader:
		raw, err := io.ReadAll(data)
		if err != nil {
			return err
		}
		return d.addBinary(raw)
	default:
		return fmt.Errorf("packet: can't read a %T", data)
	}
}

// Destroy implements [parser.Decoder].
func (d *decoder) Destroy() {
	d.pending, d.payload, d.due, d.size = nil, Payload{}, 0, 0
}

func (d *decoder) addText(text []byte) error {
	if d.pending != nil {
		return errText
	}
	p, attachments, rest, err := parseHeader(text)
	if err != nil {
		return err
	}
	// A CONNECT that is too large has a limit and an answer of its own.
	if d.size = len(text); d.size > d.maxBytes && p.Type != parser.CONNECT {
		return ErrTooLarge
	}
	if err := d.parseData(p, attachments, rest); err != nil {
		return err
	}
	if attachments > 0 {
		d.pending, d.due = p, attachments
		return nil
	}
	d.finish(p)
	return nil
}

func (d *decoder) addBinary(data []byte) error {
	if d.pending == nil {
		return errBinary
	}
	if d.size += len(data); d.size > d.maxBytes {
		return ErrTooLarge
	}
	d.payload.Attachments = append(d.payload.Attachments, data)
	if d.due--; d.due > 0 {
		return nil
	}
	d.finish(d.pending)
	return nil
}

// finish hands out a whole packet.
func (d *decoder) finish(p *parser.Packet) {
	switch p.Type {
	case parser.EVENT, parser.BINARY_EVENT:
		p.Type = parser.EVENT
		p.Data = append(p.Data.([]any), d.payload)
	case parser.ACK, parser.BINARY_ACK:
		p.Type = parser.ACK
		p.Data = []any{d.payload}
	}
	d.Destroy()
	d.Emit("decoded", p)
}

// parseHeader reads type, attachment count, namespace and ack id, and returns
// what stands behind them.
func parseHeader(text []byte) (p *parser.Packet, attachments int, rest []byte, err error) {
	if len(text) == 0 {
		return nil, 0, nil, errType
	}
	p = &parser.Packet{Type: parser.PacketType(text[0]) - '0', Nsp: "/"}
	if !p.Type.Valid() || p.Type == parser.CONNECT_ERROR {
		return nil, 0, nil, errType
	}
	rest = text[1:]
	if p.Type == parser.BINARY_EVENT || p.Type == parser.BINARY_ACK {
		count, after, found := bytes.Cut(rest, []byte{'-'})
		n, err := strconv.ParseUint(string(count), 10, 31)
		if !found || err != nil {
			return nil, 0, nil, errHeader
		}
		if n > maxAttachments {
			return nil, 0, nil, errAttachment
		}
		attachments, rest = int(n), after
	}
	if len(rest) > 0 && rest[0] == '/' {
		name, after, _ := bytes.Cut(rest, []byte{','})
		if len(name) > maxNamespaceBytes || !utf8.Valid(name) {
			return nil, 0, nil, errHeader
		}
		p.Nsp, rest = string(name), after
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	if digits > 0 {
		id, err := strconv.ParseUint(string(rest[:digits]), 10, 64)
		if err != nil {
			return nil, 0, nil, errHeader
		}
		p.Id, rest = &id, rest[digits:]
	}
	return p, attachments, rest, nil
}

// parseData checks the payload against the packet's type and keeps it.
func (d *decoder) parseData(p *parser.Packet, attachments int, raw []byte) error {
	switch p.Type {
	case parser.CONNECT:
		return parseAuth(p, raw)
	case parser.DISCONNECT:
		if len(raw) > 0 {
			return errPayload
		}
		return nil
	}
	// The transport may reuse its buffer: what is kept must be a copy.
	args := bytes.Clone(bytes.TrimSpace(raw))
	if err := checkArray(args); err != nil {
		return errPayload
	}
	if attachments > 0 {
		if _, err := placeholders(args, attachments); err != nil {
			return err
		}
	}
	if p.Type == parser.EVENT || p.Type == parser.BINARY_EVENT {
		name, rest, err := splitEvent(args)
		if err != nil {
			return err
		}
		p.Data, args = []any{name}, rest
	} else if p.Id == nil {
		return errHeader
	}
	d.payload.Args = args
	return nil
}

func parseAuth(p *parser.Packet, raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	if len(raw) > maxAuthBytes {
		p.Data = map[string]any{AuthTooLarge: true}
		return nil
	}
	var auth map[string]any
	if err := json.Unmarshal(raw, &auth); err != nil {
		return errPayload
	}
	if auth != nil {
		p.Data = auth
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
