package recovery

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// kind is what a publisher's message looks like and for whom it is.
type kind int

const (
	toRoom         kind = iota
	endingInText        // its last argument is a string, as an offset is
	endingInOffset      // its last argument looks like an offset
	withBinary
	toUser
	broadcast
	volatile
	toUserWithBinary
	kinds // how many there are
)

const (
	// messageEvent is the event of publishers' messages.
	messageEvent = "message"
	// relayEvent is the event that clients send, and relayedEvent the one that others get for it.
	relayEvent, relayedEvent = "relay", "relayed"
	// everyone is the room of all sockets.
	everyone = "everyone"
)

// message is a publisher's message. Its publisher and its number decide what it is: the checker
// needs to know nothing else to judge what a client received.
type message struct {
	publisher int
	number    uint64 // of this publisher, from 1
}

func (m message) kind() kind { return kind(m.number % uint64(kinds)) }

// args returns the arguments, with placeholders for attachments or, as a client reports them, with
// the attachments themselves.
func (m message) args(asReported bool) []byte {
	binary := `{"_placeholder":true,"num":0}`
	if asReported {
		binary = reportedBinary(m.attachment())
	}
	switch m.kind() {
	case endingInText:
		return fmt.Appendf(nil, `[%d,%d,"the end"]`, m.publisher, m.number)
	case endingInOffset:
		return fmt.Appendf(nil, `[%d,%d,"AAAAAAAA.%s"]`, m.publisher, m.number, strconv.FormatUint(m.number, 36))
	case withBinary, toUserWithBinary:
		return fmt.Appendf(nil, `[%d,%d,{"data":%s},"the end"]`, m.publisher, m.number, binary)
	default:
		return fmt.Appendf(nil, `[%d,%d]`, m.publisher, m.number)
	}
}

func (m message) attachment() []byte { return []byte{byte(m.publisher), byte(m.number), 0, 0xFF} }

// reportedBinary is how the clients report binary data.
func reportedBinary(data []byte) string {
	return fmt.Sprintf(`{"$bin":%q}`, base64.StdEncoding.EncodeToString(data))
}

// relayedArgs returns what the clients report of a client's relayed event.
func relayedArgs(room string, client int, number uint64) []byte {
	if number%2 == 1 {
		return fmt.Appendf(nil, `[{"room":%q},%d,%d,"relayed"]`, room, client, number)
	}
	return fmt.Appendf(nil, `[{"room":%q},%d,%d,%s,"relayed"]`, room, client, number, reportedBinary([]byte{byte(number)}))
}

// isFor reports whether a socket is to get the message.
func (m message) isFor(s Socket, all []Socket) bool {
	switch m.kind() {
	case toUser, toUserWithBinary:
		return m.user(all) == s.Client
	default:
		return true
	}
}

// user returns the client that a message to a user is for. All are of the message's namespace.
func (m message) user(all []Socket) int { return all[m.number/uint64(kinds)%uint64(len(all))].Client }

// userName returns the user of a client's token.
func userName(client int) string { return "client-" + strconv.Itoa(client) }

// roomName returns the room of a client to which it and some others relay events.
func roomName(client int) string { return "relay-" + strconv.Itoa(client%relayRooms) }

// relayRooms is how many such rooms there are.
const relayRooms = 20

// emit returns the request for a message, nil for a broadcast.
func (m message) emit(namespace string, all []Socket) *salav1.EmitRequest {
	r := &salav1.EmitRequest{Namespace: namespace, Event: messageEvent, ArgsJson: string(m.args(false))}
	switch m.kind() {
	case broadcast:
		return nil
	case toUser:
		r.Users = []string{userName(m.user(all))}
	case toUserWithBinary:
		r.Users, r.Attachments = []string{userName(m.user(all))}, [][]byte{m.attachment()}
	case withBinary:
		r.Rooms, r.Attachments = []string{everyone}, [][]byte{m.attachment()}
	case volatile:
		r.Rooms, r.Volatile = []string{everyone}, true
	default:
		r.Rooms = []string{everyone}
	}
	return r
}

// stream is one sender of numbered messages: a publisher, or a client that relays.
type stream struct {
	relay  bool
	number int
}

// String implements [fmt.Stringer].
func (s stream) String() string {
	if s.relay {
		return fmt.Sprintf("client %d", s.number)
	}
	return fmt.Sprintf("publisher %d", s.number)
}

// parse reads the stream and the number of what a client has received, and returns what the client
// should have reported without an offset.
func parse(event string, args json.RawMessage) (s stream, number uint64, want []byte, err error) {
	var list []json.RawMessage
	if err := json.Unmarshal(args, &list); err != nil {
		return s, 0, nil, err
	}
	if event == relayedEvent && len(list) > 0 {
		s.relay, list = true, list[1:]
	}
	if len(list) < 2 {
		return s, 0, nil, fmt.Errorf("%s has no number: %.200s", event, args)
	}
	if err := json.Unmarshal(list[0], &s.number); err != nil {
		return s, 0, nil, err
	}
	if err := json.Unmarshal(list[1], &number); err != nil {
		return s, 0, nil, err
	}
	if s.relay {
		return s, number, relayedArgs(roomName(s.number), s.number, number), nil
	}
	return s, number, message{s.number, number}.args(true), nil
}
