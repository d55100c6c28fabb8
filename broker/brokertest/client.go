package brokertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience is how long a client waits for what must come.
const patience = time.Minute

// Client is a Socket.IO client over WebSocket that speaks the protocol by hand,
// so that tests see each packet. It is used by one goroutine.
type Client struct {
	// ID is the socket's id, set by Connect.
	ID string
	// Mute leaves the broker's pings unanswered. Pings counts those.
	Mute  bool
	Pings int

	t        testing.TB
	ws       *websocket.Conn
	acks     uint64
	events   []Event             // read while waiting for something else
	sessions map[string]*Session // by namespace; see Recover
}

// Event is an event that a client received.
type Event struct {
	Namespace, Name string
	// Args is the JSON array of the packet without the name.
	Args        string
	Attachments [][]byte
	// AckID is the number under which the event asks for an answer; empty if
	// it doesn't.
	AckID string
	// Offset is the argument after those of Args that clients with a session get.
	Offset string
}

// Dial opens a connection and reads the handshake. The connection is closed
// when the test ends.
func (n *Node) Dial(header http.Header) *Client {
	n.t.Helper()
	c, err := n.TryDial(header)
	if err != nil {
		n.t.Fatalf("dial: %v", err)
	}
	return c
}

// TryDial is Dial for a connection that may be refused.
func (n *Node) TryDial(header http.Header) (*Client, error) {
	return n.DialPath("/socket.io/?EIO=4&transport=websocket", header)
}

// DialPath is TryDial to a path and query of the caller's choice.
func (n *Node) DialPath(path string, header http.Header) (*Client, error) {
	url := "ws" + strings.TrimPrefix(n.URL, "http") + path
	dialer := websocket.Dialer{NetDialContext: n.dial, HandshakeTimeout: patience}
	ws, resp, err := dialer.DialContext(n.t.Context(), url, header)
	if resp != nil {
		_ = resp.Body.Close()
	}
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%w: %s", err, resp.Status)
		}
		return nil, err
	}
	c := &Client{t: n.t, ws: ws}
	n.t.Cleanup(c.Close)
	if open := c.read(); !strings.HasPrefix(open, "0{") {
		n.t.Fatalf("the first packet is %q, want the handshake", open)
	}
	return c, nil
}

// Join connects a client to "/" with a token for the user, who may do anything.
func (n *Node) Join(user string) *Client {
	n.t.Helper()
	return n.JoinAs(n.Token(user, Everything))
}

// JoinAs connects a client to "/" with the token.
func (n *Node) JoinAs(token string) *Client {
	n.t.Helper()
	c := n.Dial(nil)
	if answer := c.Connect("/", map[string]string{"token": token}); !strings.HasPrefix(answer, "40{") {
		n.t.Fatalf("connect was answered with %s", answer)
	}
	return c
}

// Connect asks for a namespace and returns the packet that answers: 40… or
// 44….
func (c *Client) Connect(namespace string, auth any) string {
	c.t.Helper()
	packet := "40" + prefix(namespace)
	if auth != nil {
		packet += c.encode(auth)
	}
	c.Send(packet)
	answer := c.read()
	var body struct{ Sid string }
	if _, data, ok := strings.Cut(answer, "{"); ok && json.Unmarshal([]byte("{"+data), &body) == nil {
		c.ID = body.Sid
	}
	return answer
}

func prefix(namespace string) string {
	if namespace == "/" {
		return ""
	}
	return namespace + ","
}

func (c *Client) encode(v any) string {
	c.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		c.t.Fatalf("encode: %v", err)
	}
	return string(raw)
}

// Send sends a text packet as it is.
func (c *Client) Send(packet string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// SendBinary sends an attachment.
func (c *Client) SendBinary(data []byte) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.BinaryMessage, data); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// Emit sends an event to "/".
func (c *Client) Emit(event string, args ...any) {
	c.t.Helper()
	c.Send("42" + c.encode(append([]any{event}, args...)))
}

// Call sends an event to "/" and returns the JSON array that acknowledges it.
// Events that come first are kept for Next.
func (c *Client) Call(event string, args ...any) string {
	c.t.Helper()
	c.acks++
	id := strconv.FormatUint(c.acks, 10)
	c.Send("42" + id + c.encode(append([]any{event}, args...)))
	for {
		packet := c.read()
		if strings.HasPrefix(packet, "43"+id) {
			return packet[2+len(id):]
		}
		c.events = append(c.events, c.event(packet))
	}
}

// CallBinary is Call for an event whose only argument is an attachment, and whose
// answer has the attachments that it returns too.
func (c *Client) CallBinary(event string, attachment []byte) (answer string, attachments [][]byte) {
	c.t.Helper()
	c.acks++
	id := strconv.FormatUint(c.acks, 10)
	c.Send("451-" + id + c.encode([]any{event, map[string]any{"_placeholder": true, "num": 0}}))
	c.SendBinary(attachment)
	return c.readBinaryAck(c.read(), id)
}

// CallWithAttachments is Call for an answer that may have attachments.
func (c *Client) CallWithAttachments(event string, args ...any) (answer string, attachments [][]byte) {
	c.t.Helper()
	c.acks++
	id := strconv.FormatUint(c.acks, 10)
	c.Send("42" + id + c.encode(append([]any{event}, args...)))
	packet := c.read()
	if answer, ok := strings.CutPrefix(packet, "43"+id); ok {
		return answer, nil
	}
	return c.readBinaryAck(packet, id)
}

// readBinaryAck reads the attachments of a binary ack, and returns them with its text.
func (c *Client) readBinaryAck(packet, id string) (answer string, attachments [][]byte) {
	c.t.Helper()
	count, answer, ok := strings.Cut(strings.TrimPrefix(packet, "46"), "-"+id)
	n, err := strconv.Atoi(count)
	if !ok || err != nil {
		c.t.Fatalf("the answer is no binary ack of %s attachments", count)
	}
	for range n {
		attachments = append(attachments, []byte(c.read()))
	}
	return answer, attachments
}

// Await reads until packets with all of these beginnings have come, and returns
// them in the order of the beginnings, one behind the other. Events are skipped.
func (c *Client) Await(beginnings ...string) string {
	c.t.Helper()
	found := make([]string, len(beginnings))
	for left := len(beginnings); left > 0; {
		packet := c.read()
		for i, beginning := range beginnings {
			if found[i] == "" && strings.HasPrefix(packet, beginning) {
				found[i] = packet
				left--
			}
		}
	}
	return strings.Join(found, "")
}

// Answer answers an event of "/" that asks for it.
func (c *Client) Answer(e Event, args ...any) {
	c.t.Helper()
	c.Send("43" + e.AckID + c.encode(append([]any{}, args...)))
}

// Next returns the next event, and fails the test if none comes.
func (c *Client) Next() Event {
	c.t.Helper()
	if len(c.events) > 0 {
		e := c.events[0]
		c.events = c.events[1:]
		return e
	}
	return c.event(c.read())
}

// Skip takes events as long as they have this name.
func (c *Client) Skip(name string) {
	c.t.Helper()
	e := c.Next()
	for e.Name == name {
		e = c.Next()
	}
	c.events = append([]Event{e}, c.events...)
}

// Expect fails the test unless the next event is this one.
func (c *Client) Expect(name, args string) {
	c.t.Helper()
	if e := c.Next(); e.Name != name || e.Args != args {
		c.t.Errorf("got the event %s %s, want %s %s", e.Name, e.Args, name, args)
	}
}

// Take returns the events that are there and nobody has taken. It makes the
// broker answer first, so whatever was sent before has arrived.
func (c *Client) Take() []Event {
	c.t.Helper()
	c.Call("nobody handles this")
	events := c.events
	c.events = nil
	return events
}

// BeforeAnswer returns the events that came before the answer to the last Call and that
// nobody has taken.
func (c *Client) BeforeAnswer() []Event {
	events := c.events
	c.events = nil
	return events
}

// ExpectNothing fails the test if an event is there that nobody has taken. It
// makes the broker answer first, so whatever was sent before has arrived.
func (c *Client) ExpectNothing() {
	c.t.Helper()
	c.Call("nobody handles this")
	for _, e := range c.events {
		c.t.Errorf("got the event %s %s, want nothing", e.Name, e.Args)
	}
	c.events = nil
}

// ExpectDisconnect fails the test unless the next packet ends the socket.
func (c *Client) ExpectDisconnect() {
	c.t.Helper()
	if packet := c.read(); packet != "41" {
		c.t.Errorf("got the packet %q, want a disconnect", packet)
	}
}

// ExpectClose fails the test unless the broker closes the connection.
func (c *Client) ExpectClose() {
	c.t.Helper()
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	for {
		_, data, err := c.ws.ReadMessage()
		if err == nil && string(data) == "2" {
			continue
		}
		if err == nil {
			c.t.Errorf("got %q, want the connection closed", data)
			continue
		}
		if websocket.IsUnexpectedCloseError(err) || !strings.Contains(err.Error(), "timeout") {
			return
		}
		c.t.Fatalf("the connection wasn't closed: %v", err)
	}
}

// ExpectEnd reads until the connection ends, whatever comes before.
func (c *Client) ExpectEnd() {
	c.t.Helper()
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, _, err := c.ws.ReadMessage(); err != nil {
			if strings.Contains(err.Error(), "timeout") {
				c.t.Errorf("the connection did not end: %v", err)
			}
			return
		}
	}
}

// Close closes the connection at once.
func (c *Client) Close() { _ = c.ws.Close() }

// event reads an EVENT packet and the attachments that belong to it.
func (c *Client) event(packet string) Event {
	c.t.Helper()
	if len(packet) < 2 || packet[0] != '4' || packet[1] != '2' && packet[1] != '5' {
		c.t.Fatalf("got the packet %q, want an event", packet)
	}
	rest, attachments := packet[2:], 0
	if packet[1] == '5' {
		count, after, _ := strings.Cut(rest, "-")
		attachments, _ = strconv.Atoi(count)
		rest = after
	}
	e := Event{Namespace: "/"}
	if strings.HasPrefix(rest, "/") {
		e.Namespace, rest, _ = strings.Cut(rest, ",")
	}
	array := strings.TrimLeft(rest, "0123456789")
	e.AckID, rest = rest[:len(rest)-len(array)], array
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(rest), &parts); err != nil || len(parts) == 0 {
		c.t.Fatalf("got the event %q, which isn't a JSON array: %v", packet, err)
	}
	_ = json.Unmarshal(parts[0], &e.Name)
	args := make([]string, len(parts)-1)
	for i, p := range parts[1:] {
		args[i] = string(p)
	}
	e.Args = "[" + strings.Join(c.noteOffset(&e, args), ",") + "]"
	for range attachments {
		e.Attachments = append(e.Attachments, []byte(c.read()))
	}
	return e
}

// read returns the next message, and answers pings by the way.
func (c *Client) read() string {
	c.t.Helper()
	packet, err := c.tryRead()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return packet
}

func (c *Client) tryRead() (string, error) {
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	for {
		_, data, err := c.ws.ReadMessage()
		switch {
		case err != nil:
			return "", err
		case string(data) != "2":
			return string(data), nil
		case c.Mute:
			c.Pings++
		default:
			_ = c.ws.WriteMessage(websocket.TextMessage, []byte("3")) // an error comes again with the next read
		}
	}
}

// TryNext is Next for a connection that may end. It reports false when it has, or when
// the broker has ended the socket.
func (c *Client) TryNext() (Event, bool) {
	c.t.Helper()
	packet, err := c.tryRead()
	switch {
	case err == nil && !strings.HasPrefix(packet, "41"):
		return c.event(packet), true
	case err != nil && strings.Contains(err.Error(), "timeout"):
		c.t.Errorf("nothing came: %v", err)
	}
	return Event{}, false
}

// AwaitAnything waits until anything but a ping comes, or the connection ends.
func (c *Client) AwaitAnything() {
	c.t.Helper()
	if _, err := c.tryRead(); err != nil && strings.Contains(err.Error(), "timeout") {
		c.t.Errorf("nothing came: %v", err)
	}
}

// AwaitPing waits for a ping, which it leaves unanswered.
func (c *Client) AwaitPing() {
	c.t.Helper()
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	if _, data, err := c.ws.ReadMessage(); err != nil || string(data) != "2" {
		c.t.Errorf("got %q, %v; want a ping", data, err)
	}
}

// Pong answers a ping.
func (c *Client) Pong() { c.Send("3") }

// TrySend is Send for a connection that may have ended.
func (c *Client) TrySend(packet string) {
	_ = c.ws.WriteMessage(websocket.TextMessage, []byte(packet))
}
