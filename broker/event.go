package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/rawjson"
	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/socketio"
)

// RoomEvents names the events with which clients join and leave rooms. An
// empty name turns the event off.
type RoomEvents struct {
	JoinEvent, LeaveEvent string
	// Announce tells a room who joined and left; nil doesn't.
	Announce *Announcement
}

// Announcement is what a room hears. In its texts {user} is the token's user,
// {username} what the client called itself in its join (the user, if it said
// nothing), {room} the room.
type Announcement struct {
	// Event is the event's name; the text is its one argument.
	Event string
	// Joined and Left are the texts; an empty one is not sent.
	Joined, Left string
}

// handle does what an event of a client asks for, and replies.
func (b *Broker) handle(s *socket, p *socketio.Packet) {
	var err *Error
	var ok any = accepted{OK: true}
	event := p.Event
	kind := eventUnhandled
	switch rule, relayed := b.relay[event]; {
	case event == tokenEvent:
		b.handleToken(s, p)
		return
	case event == b.opts.Rooms.JoinEvent:
		kind, err = eventJoin, b.handleJoin(s, p.Payload)
	case event == b.opts.Rooms.LeaveEvent:
		kind, err = eventLeave, b.handleLeave(s, p.Payload)
	case relayed:
		kind = eventRelay
		ok, err = b.handleRelay(s, rule, p.Payload)
		if err == nil {
			s.tellRelayed(p)
		}
	case isBrokerEvent(event):
		err = invalidEvent(fmt.Sprintf("the broker has no event %q, and only its own begin with %q; choose another name", event, brokerEvents))
	case s.tellBackend(p):
		b.metrics.received(eventBackend, nil)
		return
	default:
		err = &Error{
			Code:    CodeUnavailable,
			Reason:  ReasonNoHandler,
			Message: fmt.Sprintf("nobody handles the event %q", event),
		}
	}
	b.metrics.received(kind, err)
	s.answerEvent(p, ok, err)
}

// roomRequest is what a client sends to join or leave a room.
type roomRequest struct {
	room     string
	username string // empty if it doesn't say
}

// handleJoin puts the client into the room, if its token allows it, and
// announces it. Joining a room again changes nothing and is not announced.
func (b *Broker) handleJoin(s *socket, p socketio.Payload) *Error {
	if err := s.client.mayJoin(); err != nil {
		return err
	}
	req, err := parseRoomRequest(p)
	if err != nil {
		return err
	}
	if !room.AnyMatches(s.grant().Join, req.room) {
		return denied(ReasonJoinDenied, "the token doesn't allow to join the room %q", req.room)
	}
	joined, err := b.join(s, req.room)
	if err == nil && joined {
		b.announce(s, req, announceJoined)
	}
	return err
}

// handleLeave takes the client out of the room and announces it to those who
// stay.
func (b *Broker) handleLeave(s *socket, p socketio.Payload) *Error {
	if err := s.client.mayJoin(); err != nil {
		return err
	}
	req, err := parseRoomRequest(p)
	if err != nil {
		return err
	}
	if left := s.ns.index.Leave(s, req.room); len(left) > 0 {
		b.announce(s, req, announceLeft)
	}
	return nil
}

// join puts a client into a room at its own wish; joined is false if it was in
// it already.
func (b *Broker) join(s *socket, name string) (joined bool, err *Error) {
	release := b.subscribeTopics(subscribeTimeout, cluster.RoomTopic(s.ns.name, name))
	defer release()
	added, joinErr := s.ns.index.Join(s, name)
	switch {
	case errors.Is(joinErr, room.ErrTooManyRooms):
		return false, tooManyRooms(b.opts.MaxRoomsPerSocket)
	case joinErr != nil:
		return false, errSocketGone()
	}
	return len(added) > 0, nil
}

// tokenEvent is with what a client sends a fresh token before its own ends.
const tokenEvent = "sala:token"

// refreshed is the answer to a token that was accepted.
type refreshed struct {
	OK         bool      `json:"ok"`
	ExpireTime time.Time `json:"expireTime"`
}

// handleToken replaces what the client's token said by what a fresh one of the
// same user says, or answers why not and changes nothing.
func (b *Broker) handleToken(s *socket, p *socketio.Packet) {
	expires, err := b.refresh(s, tokenArg(p.Payload))
	b.metrics.received(eventToken, err)
	s.answerEvent(p, refreshed{OK: true, ExpireTime: expires}, err)
	s.checkRevoked() // it may have been while the token was on its way in
}

// tokenArg reads {token} or just the token; empty if there is none.
func tokenArg(p socketio.Payload) string {
	arg := firstArg(p.Args)
	if len(arg) > 0 && arg[0] == '{' {
		arg = rawjson.Member(arg, "token")
	}
	var raw string
	_ = json.Unmarshal(arg, &raw) // what isn't text is no token
	return raw
}

func (b *Broker) refresh(s *socket, raw string) (expires time.Time, err *Error) {
	claims, err := b.verify(raw)
	if err != nil {
		return time.Time{}, err
	}
	if claims.User != s.user {
		return time.Time{}, denied(ReasonUserMismatch, "the token is another user's; connect anew with it")
	}
	if err := checkNamespace(claims.Grant, s.ns.name); err != nil {
		return time.Time{}, err
	}
	release := b.subscribeTopics(subscribeTimeout, roomTopics(s.ns.name, claims.Rooms)...)
	defer release()
	return claims.ExpiresAt, s.renew(claims)
}

// parseRoomRequest reads {room, username} or just the name of the room.
func parseRoomRequest(p socketio.Payload) (roomRequest, *Error) {
	var v violations
	var req roomRequest
	arg := firstArg(p.Args)
	if len(arg) == 0 || arg[0] != '{' {
		room, ok := rawjson.Name(arg)
		if !ok {
			return req, invalidEvent(`send the room as {"room": "name"} or as "name"; a number counts as its text`)
		}
		req.room = room
		validateRoom(&v, "room", req.room)
	} else {
		req.room = readRoom(&v, "room", rawjson.Member(arg, "room"))
		req.username = readUsername(&v, rawjson.Member(arg, "username"))
	}
	if len(v) > 0 {
		return req, invalidEvent(fieldsMessage(v))
	}
	return req, nil
}

// readRoom reads the field of a client's object that names a room.
func readRoom(v *violations, field string, value json.RawMessage) string {
	room, ok := rawjson.Name(value)
	switch {
	case len(value) == 0:
		v.add(field, "is missing: it names the room, as text or as a number")
	case !ok:
		v.add(field, "names the room as text, or as a number that counts as its text; this is %s", kindOfJSON(value))
	default:
		validateRoom(v, field, room)
	}
	return room
}

// readUsername reads what a client calls itself; null and "" are nothing.
func readUsername(v *violations, value json.RawMessage) string {
	name, ok := rawjson.Name(value)
	switch {
	case len(value) == 0 || string(value) == "null" || ok && name == "":
	case !ok:
		v.add("username", "is text, or a number that counts as its text; this is %s", kindOfJSON(value))
	default:
		validateName(v, "username", "a username", name)
	}
	return name
}

// kindOfJSON says what a value is, for people.
func kindOfJSON(value json.RawMessage) string {
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number that is too large, or has too many digits, to be kept"
}

// announcement picks one of the texts of an [Announcement].
type announcement func(*Announcement) string

func announceJoined(a *Announcement) string { return a.Joined }

func announceLeft(a *Announcement) string { return a.Left }

func (b *Broker) announce(s *socket, req roomRequest, pick announcement) {
	a := b.opts.Rooms.Announce
	if a == nil || pick(a) == "" {
		return
	}
	username := req.username
	if username == "" { // the client didn't say
		username = s.user
	}
	text := strings.NewReplacer(
		"{user}", s.user,
		"{username}", username,
		"{room}", req.room,
	).Replace(pick(a))
	args, _ := json.Marshal([]string{text}) // strings always encode
	b.emit(s.ns, &Target{Namespace: s.ns.name, Rooms: []string{req.room}}, &Message{Event: a.Event, Args: args})
}

// firstArg returns the first element of the JSON array, nil if it has none.
func firstArg(args json.RawMessage) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(args))
	if _, err := dec.Token(); err != nil || !dec.More() {
		return nil
	}
	var arg json.RawMessage
	if err := dec.Decode(&arg); err != nil {
		return nil
	}
	return arg
}
