package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
)

const (
	testSecret = "0123456789abcdef0123456789abcdef"
	testKey    = "test-api-key"
	// patience is how long a test waits for what must come.
	patience = time.Minute
)

// beMain makes the test binary be sala itself, for tests of signals.
const beMain = "SALA_TEST_BE_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(beMain) != "" {
		main()
	}
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "SALA_") {
			_ = os.Unsetenv(name)
		}
	}
	// grpcurl is built there.
	if tools, err := filepath.Abs("../../.tools/bin"); err == nil {
		_ = os.Setenv("PATH", tools+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	goleak.VerifyTestMain(m)
}

// output collects what is written, and lets a test wait for a line of it.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// until waits until the text is as wanted.
func (o *output) until(t *testing.T, what string, wanted func(text string) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		o.mu.Lock()
		text, changed := o.text.String(), o.changed
		o.mu.Unlock()
		if wanted(text) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s never came; there is\n%s", what, text)
		}
	}
}

// line waits for a whole line that holds all of the words.
func (o *output) line(t *testing.T, words ...string) string {
	t.Helper()
	found := ""
	o.until(t, fmt.Sprintf("a line with %q", words), func(text string) bool {
		for line := range strings.Lines(text) {
			if strings.HasSuffix(line, "\n") && containsAll(line, words) {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

func containsAll(s string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(s, word) {
			return false
		}
	}
	return true
}

// node is a "sala serve" inside the test.
type node struct {
	public, grpc, http string
	out, err           *output
	stop               func() int // ends it and returns its exit code
}

// serve starts a broker on free ports and waits until it listens.
func serve(t *testing.T, args ...string) *node {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	n := &node{out: newOutput(), err: newOutput()}
	done := make(chan int, 1)
	args = append([]string{"serve", "--log-format", "json", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"}, args...)
	go func() { done <- execute(ctx, args, cli.Streams{In: strings.NewReader(""), Out: n.out, Err: n.err}) }()
	n.stop = sync.OnceValue(func() int {
		cancel()
		select {
		case code := <-done:
			return code
		case <-time.After(patience):
			t.Error("it did not stop")
			return -1
		}
	})
	t.Cleanup(func() { n.stop() })
	n.public = address(t, n.err, "public")
	n.grpc = address(t, n.err, "grpc")
	n.http = address(t, n.err, "http")
	return n
}

// plain starts a broker with a secret and a key, not for development.
func plain(t *testing.T, args ...string) *node {
	t.Helper()
	return serve(t, append(args, "--jwt-secret", testSecret, "--api-key", "test="+testKey)...)
}

func address(t *testing.T, logs *output, listener string) string {
	t.Helper()
	line := logs.line(t, `"msg":"listening"`, fmt.Sprintf(`"listener":%q`, listener))
	var entry struct{ Addr string }
	if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Addr == "" {
		t.Fatalf("no address in %s", line)
	}
	return entry.Addr
}

// sala runs one command and returns its exit code and what it wrote.
func sala(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	return salaWithInput(t, "", args...)
}

func salaWithInput(t *testing.T, input string, args ...string) (code int, out, errors string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = execute(t.Context(), args, cli.Streams{In: strings.NewReader(input), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

// call runs a command of the CLI against the node.
func (n *node) call(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	at := len(args)
	if i := slices.Index(args, "--"); i >= 0 {
		at = i // what comes behind it is no flag
	}
	return sala(t, slices.Insert(slices.Clone(args), at, "--server", n.grpc, "--api-key", testKey)...)
}

// client is a Socket.IO client over WebSocket.
type client struct {
	t  *testing.T
	ws *websocket.Conn
	id string
}

// connect connects a client to "/" and puts it into its rooms.
func (n *node) connect(t *testing.T, user string, rooms ...string) *client {
	t.Helper()
	args := []string{"token", user, "--join", "**", "--publish", "**"}
	for _, room := range rooms {
		args = append(args, "--room", room)
	}
	code, token, stderr := n.call(t, args...)
	if code != 0 {
		t.Fatalf("no token: %s", stderr)
	}
	return n.connectWith(t, strings.TrimSpace(token))
}

func (n *node) connectWith(t *testing.T, token string) *client {
	t.Helper()
	ws, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+n.public+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	t.Cleanup(func() { _ = ws.Close() })
	c := &client{t: t, ws: ws}
	c.read("0{")
	auth, _ := json.Marshal(map[string]string{"token": token})
	if err := ws.WriteMessage(websocket.TextMessage, append([]byte("40"), auth...)); err != nil {
		t.Fatal(err)
	}
	var body struct{ Sid string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(c.read("40{"), "40")), &body); err != nil {
		t.Fatal(err)
	}
	c.id = body.Sid
	return c
}

// read returns the next packet that begins with prefix.
func (c *client) read(prefix string) string {
	c.t.Helper()
	if err := c.ws.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	for {
		_, packet, err := c.ws.ReadMessage()
		if err != nil {
			c.t.Fatalf("waiting for %q: %v", prefix, err)
		}
		if strings.HasPrefix(string(packet), prefix) {
			return string(packet)
		}
	}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startProcess starts a process that ends with the test.
func startProcess(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
}
