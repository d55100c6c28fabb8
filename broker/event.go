package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/outcome"
	"github.com/salabroker/sala/broker/rawjson"
	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/socketio"
)

// RoomEvents names the events with which clients join and leave rooms. An empty
// name turns the event off.
type RoomEvents struct {
	JoinEvent, LeaveEvent string
	// Announce tells the members of a room who joined or left; nil doesn't.
	Announce *Announcement
	// PresenceRooms are patterns of the rooms that offer presence: in which members whose
	// tokens permit it see who is there, and whose users backends learn about. Namespaces
	// don't matter.
	PresenceRooms []string
	// PresenceEvent is the event that the members of these rooms get when a user comes or
	// leaves, with {room, user, state} where state is "joined" or "left"; empty for none.
	PresenceEvent string
}

// Announcement is what the members of a room get when somebody joins or leaves. In
// its texts {user} is the token's user, {username} the name that the client gave in
// its join (the user if it gave none), and {room} the room.
type Announcement struct {
	// Event is the event's name; the text is its only argument.
	Event string
	// Joined and Left are the texts; an empty one is not sent.
	Joined, Left string
}

// handleEvent carries out an event of a client and answers it.
func (b *Broker) handleEvent(s *socket, p *socketio.Packet) {
	rule, relayed := b.relay[p.Event]
	switch {
	case p.Refusal != "":
		b.finishEvent(s, p, eventUnhandled, nil, invalidEvent(p.Refusal))
	case p.Event == tokenEvent:
		answer, err := b.handleToken(s, p.Payload)
		b.finishEvent(s, p, eventToken, answer, err)
		s.checkRevoked() // the token may have been revoked while it was on its way
	case p.Event == b.opts.Rooms.JoinEvent:
		b.handleJoin(s, p)
	case p.Event == b.opts.Rooms.LeaveEvent:
		b.finishEvent(s, p, eventLeave, accepted{OK: true}, b.handleLeave(s, p.Payload))
	case relayed:
		answer, sent, err := b.handleRelay(s, rule, p.Payload)
		if err == nil {
			sent.delivery = s.publishRelayed(p)
		}
		b.finishEventAs(s, p, eventRelay, sent, answer, err)
	case isBrokerEvent(p.Event):
		b.finishEvent(s, p, eventUnhandled, nil, invalidEvent(
			fmt.Sprintf("the broker has no event %q, and names that begin with %q are reserved for it; choose another name", p.Event, brokerEvents)))
	default:
		b.handleByBackend(s, p)
	}
}

// finishEvent counts an event that has been carried out or refused, and answers it.
func (b *Broker) finishEvent(s *socket, p *socketio.Packet, kind string, answer any, err *Error) {
	b.finishEventAs(s, p, kind, eventResult{result: outcome.Done}, answer, err)
}

// finishEventAs is finishEvent for an event with another result.
func (b *Broker) finishEventAs(s *socket, p *socketio.Packet, kind string, r eventResult, answer any, err *Error) {
	b.metrics.received(kind, err)
	if err != nil || b.outcomes.Active() {
		b.noteEvent(s, p, r, err)
	}
	s.answerEvent(p, answer, err)
}

// handleByBackend hands an event to the backends that subscribe to it. They answer
// it.
func (b *Broker) handleByBackend(s *socket, p *socketio.Packet) {
	var delivery uint64
	if b.outcomes.Active() {
		if groups := b.events.Handlers(s.ns.name, p.Event); len(groups) > 0 {
			delivery = b.events.NewDeliveryID()
			b.noteEvent(s, p, eventResult{result: outcome.HandedOver, groups: groups, delivery: delivery}, nil)
		}
	}
	if handled := s.publishMessage(p, delivery); handled {
		b.metrics.received(eventBackend, nil)
		return
	}
	b.finishEvent(s, p, eventUnhandled, nil, &Error{
		Code:    CodeUnavailable,
		Reason:  ReasonNoHandler,
		Message: fmt.Sprintf("nobody handles the event %q", p.Event),
	})
}

// roomRequest is a client's request to join or leave a room.
type roomRequest struct {
	room     string
	username string          // empty if the client gave none
	history  *historyRequest // nil if the client doesn't ask for the room's history
	presence bool            // whether the client asks who is there
}

// handleJoin adds the client to the room, if its token allows it, answers it and
// announces that. Joining a room again changes nothing and is not announced.
func (b *Broker) handleJoin(s *socket, p *socketio.Packet) {
	req, err := b.checkJoin(s, p.Payload)
	if err != nil {
		b.finishEvent(s, p, eventJoin, nil, err)
		return
	}
	if req.history != nil && p.HasID {
		b.joinWithHistory(s, p, req)
		return
	}
	release, _ := b.subscribeTopics(subscribeTimeout, cluster.RoomTopic(s.ns.name, req.room))
	defer release()
	added, err := s.join(req.room)
	if added {
		b.announce(s, req, announceJoined)
	}
	if err == nil && req.presence && p.HasID {
		b.finishEvent(s, p, eventJoin, acceptedWithUsers{OK: true, roomUsers: b.usersForMember(s, req.room)}, nil)
		return
	}
	b.finishEvent(s, p, eventJoin, accepted{OK: true}, err)
}

// checkJoin returns what a client asks for that wants to join a room, if it may.
func (b *Broker) checkJoin(s *socket, p socketio.Payload) (roomRequest, *Error) {
	if err := s.exceedJoins(); err != nil {
		return roomRequest{}, err
	}
	req, err := parseRoomRequest(p)
	if err != nil {
		return req, err
	}
	if !room.AnyMatches(s.grant().Join, req.room) {
		return req, denied(ReasonJoinDenied, "the token doesn't allow joining the room %q", req.room)
	}
	if req.presence {
		if err := b.checkPresenceIn(s, req.room); err != nil {
			return req, err
		}
	}
	if req.history != nil {
		return req, checkHistory(s.grant(), req.room)
	}
	return req, nil
}

// join puts the socket into a room. It returns false if it was there before.
func (s *socket) join(name string) (added bool, err *Error) {
	joined, failed := s.ns.index.Join(s, name)
	switch {
	case errors.Is(failed, room.ErrTooManyRooms):
		return false, tooManyRooms(s.b.opts.MaxRoomsPerSocket)
	case failed != nil:
		return false, errSocketGone()
	}
	return len(joined) > 0, nil
}

// handleLeave removes the client from the room and announces that to the remaining
// members.
func (b *Broker) handleLeave(s *socket, p socketio.Payload) *Error {
	if err := s.exceedJoins(); err != nil {
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

// refreshed is the answer to a token that was accepted.
type refreshed struct {
	OK         bool      `json:"ok"`
	ExpireTime time.Time `json:"expireTime"`
}

// handleToken replaces the client's token by a new one of the same user. If that
// isn't possible, nothing changes.
func (b *Broker) handleToken(s *socket, p socketio.Payload) (answer any, err *Error) {
	claims, err := b.verify(tokenArg(p))
	if err != nil {
		return nil, err
	}
	if claims.User != s.user {
		return nil, denied(ReasonUserMismatch, "the token belongs to another user; reconnect with it")
	}
	if err := checkNamespace(claims.Grant, s.ns.name); err != nil {
		return nil, err
	}
	release, _ := b.subscribeTopics(subscribeTimeout, roomTopics(s.ns.name, claims.Rooms)...)
	defer release()
	return refreshed{OK: true, ExpireTime: claims.ExpiresAt}, s.renew(claims, claims.Rooms)
}

// tokenArg reads {token} or just the token. It returns "" if there is none.
func tokenArg(p socketio.Payload) string {
	arg := firstArg(p.Args)
	if len(arg) > 0 && arg[0] == '{' {
		arg = rawjson.Member(arg, "token")
	}
	var raw string
	_ = json.Unmarshal(arg, &raw) // anything but text is no token
	return raw
}

// parseRoomRequest reads {room, username, last, since, presence} or just the name of the room.
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
		req.history = readHistory(&v, rawjson.Member(arg, "last"), rawjson.Member(arg, "since"))
		req.presence = readPresence(&v, rawjson.Member(arg, "presence"))
	}
	if len(v) > 0 {
		return req, invalidEvent(fieldsMessage(v))
	}
	return req, nil
}

// readRoom reads a field that names a room.
func readRoom(v *violations, field string, value json.RawMessage) string {
	room, ok := rawjson.Name(value)
	switch {
	case len(value) == 0:
		v.add(field, "is missing; send the room's name as text or as a number")
	case !ok:
		v.add(field, "must be the room's name as text or as a number; it is %s", kindOfJSON(value))
	default:
		validateRoom(v, field, room)
	}
	return room
}

// readUsername reads the name that a client gives itself; null and "" are none.
func readUsername(v *violations, value json.RawMessage) string {
	name, ok := rawjson.Name(value)
	switch {
	case len(value) == 0 || string(value) == "null" || ok && name == "":
	case !ok:
		v.add("username", "must be text or a number; it is %s", kindOfJSON(value))
	default:
		validateName(v, "username", "a username", name)
	}
	return name
}

// readPresence reads whether a client asks who is in the room.
func readPresence(v *violations, value json.RawMessage) bool {
	switch {
	case !isThere(value) || string(value) == "false":
		return false
	case string(value) != "true":
		v.add("presence", "must be true or false")
	}
	return true
}

// kindOfJSON describes a value in a message.
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
	return "a number that is too large or has too many digits"
}

// announcement selects one of the texts of an [Announcement].
type announcement func(*Announcement) string

func announceJoined(a *Announcement) string { return a.Joined }

func announceLeft(a *Announcement) string { return a.Left }

// announce tells the members of a room that somebody has joined or left.
func (b *Broker) announce(s *socket, req roomRequest, pick announcement) {
	a := b.opts.Rooms.Announce
	if a == nil || pick(a) == "" {
		return
	}
	username := req.username
	if username == "" {
		username = s.user
	}
	text := strings.NewReplacer(
		"{user}", s.user,
		"{username}", username,
		"{room}", req.room,
	).Replace(pick(a))
	args, _ := json.Marshal([]string{text}) // strings always encode
	b.emit(s.ns, &Target{Namespace: s.ns.name, Rooms: []string{req.room}}, &Message{Event: a.Event, Args: args, SkipHistory: true})
}
