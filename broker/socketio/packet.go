package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"

	"github.com/salabroker/sala/broker/rawjson"
)

// Packet is one packet of a client.
type Packet struct {
	// Type is CONNECT, DISCONNECT, EVENT or ACK, with attachments or without.
	Type parser.PacketType
	// Namespace is "/" or "/name".
	Namespace string
	// ID, if HasID, is the number under which an EVENT asks for an ack, or which an ACK answers.
	// An ACK without one answers nothing.
	ID    uint64
	HasID bool
	// Auth is the JSON object of a CONNECT; nil if there is none. Token is its member "token" if
	// that is a string.
	Auth  json.RawMessage
	Token string
	// AuthTooLarge says that a CONNECT carried more than MaxAuthBytes. Auth is nil then.
	AuthTooLarge bool
	// Event is the name of an EVENT. A number counts as its text, since stock clients and servers
	// accept one as a name.
	Event string
	// Refusal, if it isn't empty, says what is wrong with an EVENT that could be read and can't
	// be handled. The packet has neither name nor arguments then. Its sender should be told, and
	// needn't lose its connection over it.
	Refusal string
	// Payload is what an EVENT or an ACK carries.
	Payload
}

// parseHeader reads the type, attachment count, namespace and ack id. It returns what follows
// them.
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

// parseID reads the ack id if there is one. It returns what follows it.
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

// parseAuth keeps what a CONNECT carries, unless it is more than most bytes.
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
	// Null, a number or anything else isn't a token.
	_ = json.Unmarshal(rawjson.Member(p.Auth, "token"), &p.Token)
	return nil
}

// splitEvent splits a valid JSON array into the event's name and an array of what follows. Its
// refusal says what is wrong with the name. It writes the opening bracket over a byte of args.
func splitEvent(args []byte) (name string, rest json.RawMessage, refusal string) {
	body := bytes.TrimLeft(args[1:], " \t\r\n")
	// The array is valid, so a comma or the end follows its first element.
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

// scalarEnd returns the index after the string, number, true, false or null at the start of b; 0
// if b begins with anything else.
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
