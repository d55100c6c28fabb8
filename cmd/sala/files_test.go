//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestFewOpenFiles fills a broker that may open few files with silent connections. Connections over
// the limit are rejected immediately, connected clients continue, and the control API answers. When
// the silent connections are closed, clients can connect again.
func TestFewOpenFiles(t *testing.T) {
	n := limited(t, 160, "--api-key=test="+testKey)
	n.err.line(t, `"msg":"limits"`, `"max_connections":96`, `"open_files":160`)
	ana := n.connect(t, "ana", "lobby")
	var silent []net.Conn
	for range 300 {
		nc, err := net.Dial("tcp", n.public)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		silent = append(silent, nc)
	}
	n.err.line(t, "rejecting new connections", `"limit":96`)
	nc, err := net.Dial("tcp", n.public)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	answer, err := io.ReadAll(nc)
	if _ = nc.Close(); err == nil && len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 503") {
		t.Errorf("one above the limit was answered %q", answer)
	} else if err, slow := err.(net.Error); slow && err.Timeout() {
		t.Error("one above the limit was left to wait")
	}
	emitTo(t, n, ana, 1)
	if _, metrics := get(t, "http://"+n.http+"/metrics", ""); !strings.Contains(metrics, `sala_listener_connections{listener="public"} 96`) || !strings.Contains(metrics, `sala_listener_connections_limit{listener="public"} 96`) ||
		strings.Contains(metrics, `sala_listener_turned_away_total{listener="public"} 0`) {
		t.Error("the metrics don't tell")
	}
	for _, nc := range silent {
		_ = nc.Close()
	}
	waitForHandshake(t, n)
	emitTo(t, n, n.connect(t, "ben", "lobby"), 2)
}

// emitTo checks both control listeners and emits to a client in the lobby.
func emitTo(t *testing.T, n *node, c *client, number int) {
	t.Helper()
	if code, _, stderr := n.call(t, "emit", "--room", "lobby", "over-grpc", fmt.Sprint(number)); code != 0 {
		t.Error(stderr)
	}
	c.read(fmt.Sprintf(`42["over-grpc",%d]`, number))
	if status, body := get(t, "http://"+n.http+"/livez", ""); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}

// waitForHandshake waits until a client gets in.
func waitForHandshake(t *testing.T, n *node) {
	t.Helper()
	deadline := time.After(patience)
	for {
		ws, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+n.public+"/socket.io/?EIO=4&transport=websocket", nil)
		if err == nil {
			_ = res.Body.Close()
			_ = ws.Close()
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatal("nobody gets in any more")
		}
	}
}

// limited runs a sala process that may open this many files.
func limited(t *testing.T, files int, args ...string) *node {
	t.Helper()
	n := &node{out: newOutput(), err: newOutput()}
	script := fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files)
	args = append([]string{"-c", script, os.Args[0], "serve", "--dev", "--log-format=json", "--listen=127.0.0.1:0", "--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"}, args...)
	cmd := exec.CommandContext(t.Context(), "sh", args...)
	cmd.Env = append(os.Environ(), beMain+"=1")
	cmd.Stderr = n.err
	startProcess(t, cmd)
	n.public, n.grpc, n.http = address(t, n.err, "public"), address(t, n.err, "grpc"), address(t, n.err, "http")
	return n
}
