package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// get returns status and body, with an Origin header if it isn't empty.
func get(t *testing.T, address, origin string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// TestDevBlock pastes every command that --dev prints.
func TestDevBlock(t *testing.T) {
	n := serve(t, "--dev")
	n.out.line(t, "export SALA_SERVER=")
	block := n.out.String()
	key := regexp.MustCompile(`API key +(\S+)`).FindStringSubmatch(block)[1]
	for _, want := range []string{"http://" + n.public, "http://" + n.http, n.grpc} {
		if !strings.Contains(block, want) {
			t.Errorf("the block lacks %s:\n%s", want, block)
		}
	}
	code, token, stderr := sala(t, "token", "ana", "--room", "lobby", "--server", n.grpc, "--api-key", key)
	if code != 0 {
		t.Fatal(stderr)
	}
	ana := n.connectWith(t, strings.TrimSpace(token))

	want := []string{`"token":"`, `"matched":1,"queued":1`, `"name":"lobby"`, `"removed":1`, ``, ``}
	heard := []string{"", `42["message","hello from curl"]`, "", `42["message","the room is closed"]`, "", ""}
	for _, line := range strings.Split(block, "\n") {
		line = strings.TrimSpace(line)
		program, _, _ := strings.Cut(line, " ")
		if program != "curl" && program != "grpcurl" && program != "export" {
			continue
		}
		if len(want) == 0 {
			t.Fatalf("one command too many: %s", line)
		}
		out, ok := paste(t, program, line)
		if ok && !strings.Contains(out, want[0]) {
			t.Errorf("%s\nanswered %s\nwhich lacks %s", line, out, want[0])
		}
		if heard[0] != "" {
			ana.read(heard[0])
		}
		want, heard = want[1:], heard[1:]
	}
	if len(want) > 0 {
		t.Errorf("%d commands are missing from\n%s", len(want), block)
	}
}

// paste runs a line in a shell; false if the program isn't installed.
func paste(t *testing.T, program, line string) (string, bool) {
	t.Helper()
	if program != "export" {
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("%s isn't installed: not pasted", program)
			return "", false
		}
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput()
	if err != nil {
		t.Errorf("%s\nfailed: %v\n%s", line, err, out)
	}
	return string(out), true
}

func TestDevAddresses(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:0": "http://127.0.0.1:%s\n", "localhost:0": "http://%a\n", ":0": "http://127.0.0.1:%s, and at all other addresses of this machine\n",
	} {
		n := serve(t, "--dev", "--listen", listen)
		n.out.line(t, "export SALA_SERVER=")
		_, port, _ := net.SplitHostPort(n.public)
		want = "Socket.IO   " + strings.NewReplacer("%s", port, "%a", n.public).Replace(want)
		if !strings.Contains(n.out.String(), want) {
			t.Errorf("--listen %s: want %q in\n%s", listen, want, n.out.String())
		}
		n.stop()
	}
}

func TestDevPage(t *testing.T) {
	n := serve(t, "--dev", "--api-key", "odd=a+b&c#d%", "--drain-timeout=100ms")
	n.out.line(t, "export SALA_SERVER=")
	link := regexp.MustCompile(`http://\S+/console/#key=\S+`).FindString(n.out.String())
	page, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	if fragment, err := url.ParseQuery(page.EscapedFragment()); err != nil || fragment.Get("key") != "a+b&c#d%" {
		t.Errorf("the page would read the key %q from %s", fragment.Get("key"), link)
	}
	status, body := get(t, link, "")
	if status != http.StatusOK || !strings.Contains(body, "<html") {
		t.Errorf("%s answered %d\n%s", link, status, body)
	}
	_, port, _ := net.SplitHostPort(n.http)
	poll := "http://" + n.public + "/socket.io/?EIO=4&transport=polling"
	for origin, allowed := range map[string]bool{
		"http://127.0.0.1:" + port: true,
		"http://localhost:" + port: true,
		"http://" + n.public:       true,
		"http://evil.example":      false,
	} {
		status, body := get(t, poll, origin)
		if (status == http.StatusOK) != allowed {
			t.Errorf("a page of %s got %d: %s", origin, status, body)
		}
	}
}

func TestWithoutDev(t *testing.T) {
	n := plain(t)
	if status, body := get(t, "http://"+n.http+"/", ""); status != http.StatusNotFound {
		t.Errorf("there is a page at / without --dev: %d %s", status, body)
	}
	if status, body := get(t, "http://"+n.http+"/console/", ""); status != http.StatusOK || !strings.Contains(body, "<html") {
		t.Errorf("the console answered %d %s", status, body)
	}
	_, port, _ := net.SplitHostPort(n.http)
	if status, _ := get(t, "http://"+n.public+"/socket.io/?EIO=4&transport=polling", "http://127.0.0.1:"+port); status == http.StatusOK {
		t.Error("the console's origin is allowed without --dev")
	}
	for _, path := range []string{"/livez", "/readyz", "/openapi.json"} {
		if status, body := get(t, "http://"+n.http+path, ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if _, body := get(t, "http://"+n.http+"/metrics", ""); !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "sala_") {
		t.Errorf("/metrics lacks the Go runtime's or the broker's:\n%s", body)
	}
	if n.out.String() != "" {
		t.Errorf("standard output has %q, want nothing", n.out.String())
	}
	for _, hidden := range []string{testSecret, testKey} {
		if strings.Contains(n.err.String(), hidden) {
			t.Error("a secret is in the log")
		}
	}
}

// TestDrain ends a broker with a client connected: the client hears what was
// emitted before, then the goodbye; the exit code is 0.
func TestDrain(t *testing.T) {
	n := plain(t)
	ana := n.connect(t, "ana", "lobby")
	if code, _, stderr := n.call(t, "emit", "last", "words", "--room", "lobby"); code != 0 {
		t.Fatal(stderr)
	}
	if code := n.stop(); code != exitOK {
		t.Errorf("exit code %d, want 0\n%s", code, n.err)
	}
	ana.read(`42["last","words"]`)
	ana.read(`42["sala:disconnect"`)
	if strings.Contains(n.err.String(), "did not stop gracefully") {
		t.Errorf("it was not an orderly stop:\n%s", n.err)
	}
	for _, address := range []string{n.public, n.grpc, n.http} {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			t.Errorf("%s is still open", address)
		}
	}
}

// TestReadinessWhileDraining ends a broker that has to wait for a client: a
// long-polling one that isn't polling.
func TestReadinessWhileDraining(t *testing.T) {
	n := plain(t, "--drain-timeout=1s")
	if status, body := get(t, "http://"+n.public+"/socket.io/?EIO=4&transport=polling", ""); status != http.StatusOK {
		t.Fatal(status, body)
	}
	stopped := make(chan int, 1)
	go func() { stopped <- n.stop() }()
	n.err.line(t, `"msg":"draining"`)
	if status, body := get(t, "http://"+n.http+"/readyz", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
		t.Errorf("/readyz while draining: %d %s", status, body)
	}
	if status, body := get(t, "http://"+n.http+"/livez", ""); status != http.StatusOK {
		t.Errorf("/livez while draining: %d %s", status, body)
	}
	if code := <-stopped; code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, flag := range []string{"--listen", "--grpc-listen", "--http-listen"} {
		args := []string{"serve", "--dev", "--listen=127.0.0.1:0", "--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0", flag + "=" + taken.Addr().String()}
		code, out, stderr := sala(t, args...)
		want := flag + " " + taken.Addr().String() + ": the port is taken"
		if code != exitFailure || !strings.Contains(stderr, want) || !strings.Contains(stderr, "choose another port with "+flag) {
			t.Errorf("exit code %d, want 1 and %q in\n%s", code, want, stderr)
		}
		if out != "" || strings.Contains(stderr, "listening") {
			t.Errorf("it served on the other ports first:\n%s%s", out, stderr)
		}
	}
}

func TestAddressThatCannotBeHad(t *testing.T) {
	code, _, stderr := sala(t, "serve", "--dev", "--listen", "192.0.2.1:3000", "--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
	if code != exitFailure || !strings.Contains(stderr, "--listen 192.0.2.1:3000: this machine doesn't have that address") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// TestRefusals are starts that must not happen.
func TestRefusals(t *testing.T) {
	both := []string{"--jwt-secret=" + testSecret, "--api-key=" + testKey}
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	for _, tt := range []struct {
		name string
		file string
		args []string
		want []string
	}{
		{"nothing configured", "", nil, []string{"--jwt-secret, SALA_JWT_SECRET or jwt_secret:", "--api-key, SALA_API_KEY or api_key:", "--dev"}},
		{"no file", "", append(both, "--config="+missing), []string{missing, "no such file"}},
		{"unknown key", "lisen: :3000\n", both, []string{`:1: unknown key "lisen"`}},
		{"control for all", "", append(both, "--grpc-listen=:9090"), []string{"--grpc-listen :9090", "--insecure-control"}},
		{"control for all, development", "", append(both, "--dev", "--http-listen=:9091"), []string{"--http-listen :9091", "--insecure-control"}},
		{"namespace", "namespaces: [chat]\n", both, []string{`namespaces[0]: "chat" is not a namespace`}},
		{"origin, development", "", append(both, "--dev", "--allowed-origins=example.com"), []string{`allowed_origins[0]`}},
		{"origin", "allowed_origins: [example.com]\n", both, []string{`allowed_origins[0]`}},
		{"relay", "relay: [{event: a, emit: connect, to: everyone}]\n", both, []string{"relay[0].emit:", "relay[0].to:"}},
		{"relay on join", "relay: [{event: join, to: broadcast}]\n", both, []string{"relay[0].event:", "rooms.join_event"}},
		{"pattern", "default_permissions: {join: ['**:a']}\n", both, []string{"default_permissions.join[0]:"}},
		{"anonymous pattern", "anonymous: {publish: ['**:a']}\nallow_anonymous: true\n", both, []string{"anonymous.publish[0]:"}},
		{"size", "", append(both, "--max-message-bytes=12"), []string{"max_message_bytes: 12 is not between"}},
		{"announcement", "rooms: {announce: {joined: hi}}\n", both, []string{"rooms.announce.event"}},
		{"flag", "", append(both, "--lisen=:3000"), []string{"unknown flag --lisen", "--listen", `Run "sala serve --help"`}},
		{"level", "", append(both, "--log-level=loud"), []string{"--log-level must be one of"}},
		{"duration", "", append(both, "--ping-interval=25"), []string{"--ping-interval", "25"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{}, tt.args...)
			if tt.file != "" {
				args = append(args, "--config="+writeFile(t, "sala.yaml", tt.file))
			}
			for _, command := range [][]string{
				{"serve", "--listen=127.0.0.1:0", "--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"},
				{"config", "check"},
			} {
				code, out, stderr := sala(t, append(command, args...)...)
				if code != exitUsage || out != "" {
					t.Errorf("%s: exit code %d, want 2; output %q", command[0], code, out)
				}
				for _, want := range tt.want {
					if command[0] == "config" {
						want = strings.ReplaceAll(want, "sala serve --help", "sala config check --help")
					}
					if !strings.Contains(stderr, want) {
						t.Errorf("%s said\n%s\nwhich lacks\n%s", command[0], stderr, want)
					}
				}
				if strings.Contains(stderr, testSecret) || strings.Contains(stderr, testKey) {
					t.Errorf("%s shows a secret:\n%s", command[0], stderr)
				}
			}
		})
	}
}

// Logs give durations with their unit, in either format.
func TestLoggedDurations(t *testing.T) {
	for format, want := range map[string]string{"json": `"took":"21.222µs"`, "text": "took=21.222µs"} {
		var out bytes.Buffer
		newLogger(&out, "info", format).WithGroup("g").Info("m", "took", 21222*time.Nanosecond)
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %s lacks %s", format, &out, want)
		}
	}
}
