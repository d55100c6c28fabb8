package brokertest

import (
	"encoding/json"
	"maps"
	"strings"
)

// Session is what a client keeps of a socket so that it can return to it, as stock
// clients do.
type Session struct {
	// ID is the socket's id, and PID what the client shows when it returns.
	ID, PID string
	// Offset is the last argument of the last event that ended in a text; empty if
	// there was none.
	Offset string
	// Recovered says whether the last Recover gave the client its socket back.
	Recovered bool
}

// Recover connects to a namespace as a client that takes part in recovery, and returns
// the packet that answers. It shows what it has of an earlier connection, and keeps
// in s what it gets from now on. Auth is what else it sends; nil for nothing.
func (c *Client) Recover(namespace, token string, s *Session, auth map[string]any) string {
	c.t.Helper()
	full := map[string]any{"token": token, "recover": true}
	if s.PID != "" {
		full["pid"] = s.PID
		if s.Offset != "" {
			full["offset"] = s.Offset
		}
	}
	maps.Copy(full, auth)
	answer := c.Connect(namespace, full)
	c.follow(namespace, answer, s)
	return answer
}

// follow notes what the answer to a CONNECT says of the session.
func (c *Client) follow(namespace, answer string, s *Session) {
	var got struct{ SID, PID string }
	_, data, _ := strings.Cut(answer, "{")
	if err := json.Unmarshal([]byte("{"+data), &got); err != nil || !strings.HasPrefix(answer, "40") {
		s.Recovered = false
		return
	}
	s.Recovered = got.PID != "" && got.PID == s.PID
	s.ID, s.PID = got.SID, got.PID
	if c.sessions == nil {
		c.sessions = make(map[string]*Session)
	}
	c.sessions[namespace] = s
}

// noteOffset does with the arguments of an event what stock clients do, and returns
// those that the event was sent with.
func (c *Client) noteOffset(e *Event, args []string) []string {
	s := c.sessions[e.Namespace]
	if s == nil || s.PID == "" || e.AckID != "" || len(args) == 0 {
		return args
	}
	last := len(args) - 1
	if err := json.Unmarshal([]byte(args[last]), &e.Offset); err != nil {
		return args
	}
	s.Offset = e.Offset
	return args[:last]
}

// ReturnTo opens a connection on which the client of "/" returns to its socket.
func (n *Node) ReturnTo(token string, s *Session) *Client {
	n.t.Helper()
	c := n.Dial(nil)
	if answer := c.Recover("/", token, s, nil); !strings.HasPrefix(answer, "40{") {
		n.t.Fatalf("the return was answered with %s", answer)
	}
	return c
}
