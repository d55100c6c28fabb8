package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// returner is a client that takes part in session recovery, over one connection
// after another.
type returner struct {
	*client
	node               *node
	token, pid, offset string
	recover            bool
}

// returner connects a client with a session to "/".
func (n *node) returner(t *testing.T, user string, rooms ...string) *returner {
	t.Helper()
	args := []string{"token", user}
	for _, room := range rooms {
		args = append(args, "--room", room)
	}
	code, token, stderr := n.call(t, args...)
	if code != 0 {
		t.Fatalf("no token: %s", stderr)
	}
	r := &returner{node: n, token: strings.TrimSpace(token), recover: true}
	r.open(t)
	return r
}

// open connects, or returns, and reads the answer, which it returns.
func (r *returner) open(t *testing.T) string {
	t.Helper()
	ws, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+r.node.public+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	t.Cleanup(func() { _ = ws.Close() })
	r.client = &client{t: t, ws: ws}
	r.read("0{")
	auth := map[string]any{"token": r.token}
	if r.recover {
		auth["recover"] = true
	}
	if r.pid != "" {
		auth["pid"] = r.pid
	}
	if r.offset != "" {
		auth["offset"] = r.offset
	}
	raw, err := json.Marshal(auth)
	if err != nil {
		t.Fatal(err)
	}
	r.say("40" + string(raw))
	answer := r.next()
	var body struct{ Sid, Pid string }
	if strings.HasPrefix(answer, "40") && json.Unmarshal([]byte(answer[2:]), &body) == nil {
		r.id, r.pid = body.Sid, body.Pid
	}
	return answer
}

// next returns the next packet. It answers pings, and remembers the offsets of
// events as stock clients do.
func (r *returner) next() string {
	r.t.Helper()
	if err := r.ws.SetReadDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	for {
		_, packet, err := r.ws.ReadMessage()
		if err != nil {
			r.t.Fatalf("waiting for a packet: %v", err)
		}
		text := string(packet)
		if text == "2" {
			r.say("3")
			continue
		}
		var args []any
		if r.pid != "" && strings.HasPrefix(text, "42[") && json.Unmarshal([]byte(text[2:]), &args) == nil && len(args) > 1 {
			if offset, ok := args[len(args)-1].(string); ok {
				r.offset = offset
			}
		}
		return text
	}
}

// want wants a packet that begins like this, the next one.
func (r *returner) want(beginning string) string {
	r.t.Helper()
	got := r.next()
	if !strings.HasPrefix(got, beginning) {
		r.t.Errorf("got the packet %s, want one that begins with %s", got, beginning)
	}
	return got
}

// rest calls the API over REST and returns the answer.
func (n *node) rest(t *testing.T, method, path, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.http+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A client that returns is the same socket to everybody, and has missed nothing.
func TestRecoveryAsOthersSeeIt(t *testing.T) {
	n := plain(t)
	events := n.tail(t, "--kind", "connect,away,resumed,disconnect")
	ana := n.returner(t, "ana", "lobby")
	id := ana.id
	if !strings.HasPrefix(ana.pid, id) {
		t.Fatalf("the pid %s of the socket %s", ana.pid, id)
	}
	n.call(t, "emit", "news", "1", "--room", "lobby")
	if got := ana.want(`42["news",1,"`); ana.offset == "" {
		t.Errorf("no offset in %s", got)
	}
	events.out.line(t, "connect     / ana "+id+" websocket")

	_ = ana.ws.Close()
	events.out.line(t, "away        / ana "+id+" transport ")
	code, out, stderr := n.call(t, "emit", "news", "2", "--room", "lobby")
	if want := "1 socket matched, 0 queued, 1 kept, 0 dropped\n"; code != 0 || out != want {
		t.Errorf("emitted: %s%s, want %s", out, stderr, want)
	}
	if got := n.rest(t, "POST", "/v1/emit", `{"users":["ana"],"event":"news","args":[3]}`); !strings.Contains(got, `"queued":0,"kept":1,"dropped":0`) {
		t.Errorf("emitted over REST: %s", got)
	}
	if got := n.rest(t, "POST", "/v1/broadcast", `{"event":"news","args":[4]}`); !strings.Contains(got, `"kept":1`) {
		t.Errorf("broadcast: %s", got)
	}
	if got := n.rest(t, "POST", "/v1/emit:batch", `{"emits":[{"rooms":["lobby"],"event":"news","args":[5]}]}`); !strings.Contains(got, `"kept":1`) {
		t.Errorf("emitted in a batch: %s", got)
	}
	if got := n.rest(t, "POST", "/v1/emit", `{"rooms":["lobby"],"event":"news","args":[0],"volatile":true}`); !strings.Contains(got, `"kept":0,"dropped":1`) {
		t.Errorf("emitted, volatile: %s", got)
	}
	if got := n.rest(t, "POST", "/v1/emit:ack", `{"rooms":["lobby"],"event":"question","timeout":"5s"}`); !strings.Contains(got, `"disconnected":1`) {
		t.Errorf("asked for acks: %s", got)
	}
	if got := n.rest(t, "GET", "/v1/sockets/"+id, ""); !strings.Contains(got, `"state":"SOCKET_STATE_AWAY"`) || !strings.Contains(got, `"transport":"websocket"`) {
		t.Errorf("the socket is %s", got)
	}
	if _, out, _ = n.call(t, "sockets", "--room", "lobby"); !strings.Contains(out, "  away\n") {
		t.Errorf("the sockets are %s", out)
	}

	if answer := ana.open(t); ana.id != id || !strings.HasPrefix(answer, "40{") {
		t.Fatalf("the client returned as %s: %s", ana.id, answer)
	}
	for number := 2; number <= 5; number++ {
		ana.want(fmt.Sprintf(`42["news",%d,"`, number))
	}
	events.out.line(t, "resumed     / ana "+id+" websocket")
	if got := n.rest(t, "GET", "/v1/sockets/"+id, ""); !strings.Contains(got, `"state":"SOCKET_STATE_CONNECTED"`) {
		t.Errorf("the socket is %s", got)
	}

	_ = ana.ws.Close()
	events.out.until(t, "the second time away", func(text string) bool { return strings.Count(text, "away  ") == 2 })
	n.rest(t, "POST", "/v1/sockets:disconnect", `{"selector":{"users":["ana"]},"reason":"enough"}`)
	events.out.line(t, "disconnect  / ana "+id+" DISCONNECTED")
	if answer := ana.open(t); !strings.HasPrefix(answer, "44{") || !strings.Contains(answer, `"code":"DISCONNECTED"`) {
		t.Errorf("a client that was disconnected while it was away got %s", answer)
	}
	if answer := ana.open(t); ana.id == id || !strings.HasPrefix(answer, "40{") {
		t.Fatalf("a client that connects again after it was told got %s", answer)
	}
	ana.want(`42["sala:session",{"recovered":false,"code":"`)
	events.out.line(t, "connect     / ana "+ana.id, "[was "+id+", not recovered: ")
}

// A client that can't return is told why, and so are backends.
func TestFailedRecoveryAsOthersSeeIt(t *testing.T) {
	n := plain(t, "--recovery-window", "100ms")
	events := n.tail(t, "-o", "json", "--kind", "connect,disconnect")
	ana := n.returner(t, "ana")
	id := ana.id
	_ = ana.ws.Close()
	events.out.line(t, `"kind":"EVENT_KIND_DISCONNECT"`, id)
	for _, test := range []struct{ previous, pid, code string }{
		{id, ana.pid, "EXPIRED"},
		{"", "no pid at all", "UNKNOWN"},
	} {
		ana.pid = test.pid
		if answer := ana.open(t); ana.id == id || !strings.HasPrefix(answer, "40{") {
			t.Fatalf("the client returned as %s: %s", ana.id, answer)
		}
		ana.want(`42["sala:session",{"recovered":false,"code":"` + test.code + `"}]`)
		line := events.out.line(t, `"kind":"EVENT_KIND_CONNECT"`, ana.id)
		var event struct{ PreviousSocketID, NotRecovered string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.PreviousSocketID != test.previous || event.NotRecovered != test.code {
			t.Errorf("%s became %+v (%v)", line, event, err)
		}
	}
}

// The settings say who gets a session.
func TestWhoGetsASession(t *testing.T) {
	for name, test := range map[string]struct {
		args        []string
		asks, other bool // whether a client that asks gets one, and whether one that doesn't
	}{
		"default":          {nil, true, false},
		"off":              {[]string{"--recovery-window", "0"}, false, false},
		"off after all":    {[]string{"--recovery-window", "0", "--recovery", "always"}, false, false},
		"always":           {[]string{"--recovery", "always"}, true, true},
		"always elsewhere": {[]string{"--recovery", "always", "--namespaces", "/,/chat", "--recovery-namespaces", "/chat"}, true, false},
		"always here":      {[]string{"--recovery", "always", "--recovery-namespaces", "/"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := plain(t, test.args...)
			c := n.returner(t, "ana")
			if got := c.pid != ""; got != test.asks {
				t.Errorf("a client that asks has a session: %t", got)
			}
			_ = c.ws.Close()
			c.recover, c.pid = false, ""
			c.open(t)
			if got := c.pid != ""; got != test.other {
				t.Errorf("a client that doesn't ask has a session: %t", got)
			}
		})
	}
}
