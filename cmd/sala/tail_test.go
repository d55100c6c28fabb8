package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
)

// tailing is a "sala tail" that runs.
type tailing struct {
	t        *testing.T
	out, err *output
	cancel   context.CancelFunc
	done     chan int
}

// tail starts one, and waits until it listens.
func (n *node) tail(t *testing.T, args ...string) *tailing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	tl := &tailing{t: t, out: newOutput(), err: newOutput(), cancel: cancel, done: make(chan int, 1)}
	args = append([]string{"tail", "--server", n.grpc, "--api-key", testKey}, args...)
	go func() {
		tl.done <- execute(ctx, args, cli.Streams{In: strings.NewReader(""), Out: tl.out, Err: tl.err})
	}()
	t.Cleanup(cancel)
	tl.err.line(t, "listening to "+n.grpc)
	return tl
}

// wantEnd waits for its exit code.
func (tl *tailing) wantEnd(code int) {
	tl.t.Helper()
	select {
	case got := <-tl.done:
		if got != code {
			tl.t.Errorf("exit code %d, want %d: %s", got, code, tl.err)
		}
	case <-time.After(patience):
		tl.t.Fatal("it goes on")
	}
}

// say sends a packet of Socket.IO.
func (c *client) say(packet string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
		c.t.Fatal(err)
	}
}

func TestTail(t *testing.T) {
	n := plain(t)
	people, scripts := n.tail(t), n.tail(t, "-o", "json", "--event", "say", "-n", "2")
	ana := n.connect(t, "ana", "lobby")
	ana.say(`42["other"]`)
	ana.say(`421["say", {"text": "hola"}]`)
	// Nobody handles it, although two look on.
	if got := ana.read("431["); !strings.Contains(got, "NO_HANDLER") {
		t.Errorf("the ack is %s", got)
	}
	people.out.line(t, "connect     / ana "+ana.id+" websocket 127.0.0.1:")
	people.out.line(t, "room_opened / lobby\n")
	people.out.line(t, "join        / ana "+ana.id+" lobby\n")
	people.out.line(t, "message     / ana "+ana.id+" other []\n")
	people.out.line(t, "message     / ana "+ana.id+` say [{"text":"hola"}]`+"\n")

	ana.say(`42["say",2]`)
	scripts.wantEnd(exitOK)
	lines := strings.Split(strings.TrimSuffix(scripts.out.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("printed\n%s", scripts.out)
	}
	var event struct {
		Kind, Event, ArgsJSON string
		NeedsAck              bool
		Socket                struct{ User string }
	}
	if err := json.Unmarshal([]byte(lines[0]), &event); err != nil || event.Kind != "EVENT_KIND_MESSAGE" || event.Event != "say" ||
		event.ArgsJSON != `[ {"text": "hola"}]` || event.NeedsAck || event.Socket.User != "ana" {
		t.Errorf("%s became %+v (%v)", lines[0], event, err)
	}
	people.cancel()
	people.wantEnd(exitOK)

	connects := n.tail(t, "-o", "json", "--kind", "connect", "-n", "1")
	n.connect(t, "ben", "lobby")
	connects.wantEnd(exitOK)
	if got := connects.out.String(); strings.Contains(got, `"deliveryId":""`) || !strings.Contains(got, `"deliveryId":"`) {
		t.Errorf("a connect has no delivery id: %s", got)
	}
}

func TestTailComesBack(t *testing.T) {
	n := plain(t)
	tl := n.tail(t, "--kind", "connect,disconnect")
	n.stop()
	tl.err.line(t, "not connected, retrying in ")
	again := plain(t, "--grpc-listen", n.grpc)
	tl.cancel() // it may still be waiting
	tl.wantEnd(exitOK)

	tl = again.tail(t, "--kind", "disconnect", "-n", "1")
	again.stop()
	third := plain(t, "--grpc-listen", n.grpc)
	tl.err.until(t, "the second stream", func(text string) bool { return strings.Count(text, "listening to") == 2 })
	_ = third.connect(t, "ben").ws.Close()
	tl.wantEnd(exitOK)
	if !strings.Contains(tl.out.String(), "disconnect  / ") {
		t.Errorf("printed %s", tl.out)
	}
}

func TestTailThatCannotStart(t *testing.T) {
	n := plain(t, "--api-key", "reader=reads-only:rooms:read")
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--kind", "dance"}, 2, "--kind dance is not a kind of event; the kinds are connect,"},
		{[]string{"--count=-1"}, 2, "--count must be above zero"},
		{[]string{"-o", "xml"}, 2, "--output must be one of"},
		{[]string{"--namespace", "/none"}, 1, "namespaces[0]"},
		{[]string{"--kind", "join", "--event", "x"}, 1, "events: events selects"},
		{[]string{"--api-key", "wrong"}, 1, "doesn't know this API key"},
		{[]string{"--api-key", "reads-only"}, 1, `lacks the scope "events"`},
		{[]string{"--server", "127.0.0.1:1"}, 1, "can't reach a broker"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Setenv("SALA_SERVER", n.grpc)
			t.Setenv("SALA_API_KEY", testKey)
			code, out, stderr := sala(t, append([]string{"tail"}, tt.args...)...)
			if code != tt.code || out != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit code %d, %s%s", code, out, stderr)
			}
		})
	}
}
