package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
)

// forward starts a "sala forward" to a server that echoes the arguments, and waits until it forwards.
func (n *node) forward(t *testing.T, args ...string) *tailing {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event struct {
			Data struct{ Args json.RawMessage }
		}
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"args": event.Data.Args})
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	f := &tailing{t: t, out: newOutput(), err: newOutput(), cancel: cancel, done: make(chan int, 1)}
	args = append([]string{"forward", "--to", server.URL, "--server", n.grpc, "--api-key", testKey, "--kind", "message"}, args...)
	go func() {
		f.done <- execute(ctx, args, cli.Streams{In: strings.NewReader(""), Out: f.out, Err: f.err})
	}()
	t.Cleanup(cancel)
	f.err.line(t, "forwarding to ")
	return f
}

func TestForward(t *testing.T) {
	n := plain(t)
	f := n.forward(t)
	ana := n.connect(t, "ana")
	ana.say(`421["say",{"text":"hola"}]`)
	if got := ana.read("431["); got != `431[{"text":"hola"}]` {
		t.Errorf("the ack is %s", got)
	}
	f.cancel()
	f.wantEnd(exitOK)
	f.err.line(t, "1 events delivered, 0 not delivered")
	f.err.line(t, "warning: without --secret-file")
}

func TestForwardComesBack(t *testing.T) {
	n := plain(t)
	f := n.forward(t)
	n.stop()
	f.err.line(t, "not subscribed, retrying in ")
	again := plain(t, "--grpc-listen", n.grpc)
	f.err.until(t, "the second stream", func(text string) bool { return strings.Count(text, "forwarding to") == 2 })
	ben := again.connect(t, "ben")
	ben.say(`421["say",1]`)
	if got := ben.read("431["); got != `431[1]` {
		t.Errorf("the ack is %s", got)
	}
	f.cancel()
	f.wantEnd(exitOK)
}

func TestForwardThatCannotStart(t *testing.T) {
	n := plain(t)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--to", "http://127.0.0.1:1", "--api-key", "wrong"}, exitFailure, "doesn't know this API key"},
		{[]string{"--to", "http://127.0.0.1:1", "--namespace", "/none"}, exitFailure, "namespaces[0]"},
		{[]string{"--to", "http://127.0.0.1:1", "--grace", "0s"}, exitUsage, "--grace must be above zero"},
		{[]string{"--to", "http://192.0.2.1/"}, exitUsage, "plain text"},
		{[]string{"--to", "https://127.0.0.1:1", "--ca", "/none"}, exitUsage, "can't read the file of --ca"},
		{[]string{"--to", "https://127.0.0.1:1", "--secret-file", "/none"}, exitUsage, "can't read the file of --secret-file"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Setenv("SALA_SERVER", n.grpc)
			t.Setenv("SALA_API_KEY", testKey)
			code, out, stderr := sala(t, append([]string{"forward"}, tt.args...)...)
			if code != tt.code || out != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit code %d, %s%s", code, out, stderr)
			}
		})
	}
}
