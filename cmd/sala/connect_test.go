package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// fakeClient puts a program into the PATH that prints the options that it gets.
func fakeClient(t *testing.T, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in is a shell script")
	}
	dir := t.TempDir()
	program := "#!/bin/sh\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "sala-connect"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestConnectPassesOptionsOn(t *testing.T) {
	fakeClient(t, `printf %s "$SALA_CONNECT"`)
	for _, tt := range []struct {
		args []string
		want map[string]any
	}{
		{[]string{"127.0.0.1:3000"}, map[string]any{
			"url": "http://127.0.0.1:3000", "namespace": "/", "path": "/socket.io/", "transport": "websocket", "json": false,
		}},
		{[]string{"host", "--transport", "polling"}, map[string]any{"transport": "polling"}},
		{[]string{"https://host/chat?a=1", "--token", "t", "--recover", "--auth", `{"lang":"es"}`}, map[string]any{
			"url": "https://host", "namespace": "/chat", "query": "a=1",
			"auth": map[string]any{"token": "t", "recover": true, "lang": "es"},
		}},
		{[]string{"http://host", "--namespace", "chat", "--header", "X-A: b", "--ack", `{"ok":1}`, "-o", "json", "-n", "2"}, map[string]any{
			"namespace": "/chat", "headers": map[string]any{"X-A": []any{"b"}}, "ack": map[string]any{"ok": 1.0}, "json": true, "count": 2.0,
		}},
	} {
		code, out, stderr := sala(t, append([]string{"connect"}, tt.args...)...)
		var got map[string]any
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK {
			t.Errorf("%q: exit code %d, %s%s", tt.args, code, out, stderr)
			continue
		}
		for name, want := range tt.want {
			wantText, _ := json.Marshal(want)
			if gotText, _ := json.Marshal(got[name]); string(gotText) != string(wantText) {
				t.Errorf("%q: %s is %s, want %s", tt.args, name, gotText, wantText)
			}
		}
	}
}

func TestConnectPassesItsEndOn(t *testing.T) {
	fakeClient(t, "cat; echo 'sala: error: refused' >&2; exit 1")
	code, out, stderr := salaWithInput(t, "say 1\n", "connect", "127.0.0.1:3000")
	if code != exitFailure || out != "say 1\n" || stderr != "sala: error: refused\n" {
		t.Errorf("exit code %d, %q, %q", code, out, stderr)
	}
}

func TestConnectThatCannotStart(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"ftp://host"}, exitUsage, "begins with ftp://"},
		{[]string{"http://"}, exitUsage, "the URL must be"},
		{[]string{"http://host/a", "--namespace", "/b"}, exitUsage, "--namespace another"},
		{[]string{"host", "--auth", "[1]"}, exitUsage, "--auth must be a JSON object"},
		{[]string{"host", "--auth", "null"}, exitUsage, "--auth must be a JSON object"},
		{[]string{"host", "--ack", "{"}, exitUsage, "--ack must be valid JSON"},
		{[]string{"host", "--header", "secret"}, exitUsage, "--header must look like"},
		{[]string{"host", "--count=-1"}, exitUsage, "--count must be above zero"},
		{[]string{"host", "--transport", "webtransport"}, exitUsage, "--transport must be one of"},
		{[]string{"host", "--timeout", "0s"}, exitUsage, "--timeout must be above zero"},
		{[]string{"host"}, exitFailure, "sala-connect"}, // there is no Go to build it
	} {
		code, _, stderr := sala(t, append([]string{"connect"}, tt.args...)...)
		if code != tt.code || !strings.Contains(stderr, tt.want) || strings.Contains(stderr, "secret") {
			t.Errorf("%q: exit code %d, %s", tt.args, code, stderr)
		}
	}
}
