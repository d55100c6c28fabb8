package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestConfigCheck(t *testing.T) {
	file := writeFile(t, "sala.yaml", `
jwt_secret: ["new=`+testSecret+`", `+testSecret+`-old]
api_key: "web=`+testKey+`:emit,rooms:read"
namespaces: [/, /chat]
relay:
  - {event: shout, emit: my_response, to: broadcast}
anonymous: {join: ["**"]}
`)
	t.Setenv("SALA_PING_TIMEOUT", "7s")
	// The listener isn't opened: this one is taken by nobody, that one can't be.
	code, out, stderr := sala(t, "config", "check", "--config", file, "--listen", "192.0.2.1:3000")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	check(t, "standard output", out, []string{
		"listen: \"192.0.2.1:3000\"  # command line\n", "ping_timeout: 7s  # SALA_PING_TIMEOUT\n", "namespaces: [/, /chat]  # " + file + "\n",
		"jwt_secret: [new=***, \"***\"]  # " + file + "\n", "web=***:emit,rooms:read", "grpc_listen: \"127.0.0.1:9090\"  # default\n",
		"relay:\n  - event: shout\n    emit: my_response\n    to: broadcast\n", "join_event: join\n",
	})
	check(t, "standard error", stderr, []string{"sala: warning: anonymous: is set", "--allow-anonymous"})

	code, asJSON, _ := sala(t, "config", "check", "--config", file, "-o", "json")
	var got struct {
		Namespaces []string `json:"namespaces"`
		APIKey     []string `json:"api_key"`
		MaxBytes   int      `json:"max_message_bytes"`
		Relay      []struct{ Event, To string }
	}
	if err := json.Unmarshal([]byte(asJSON), &got); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v in %s", code, err, asJSON)
	}
	if len(got.Namespaces) != 2 || got.APIKey[0] != "web=***:emit,rooms:read" || got.MaxBytes != 1000000 || got.Relay[0].Event != "shout" {
		t.Errorf("got %+v", got)
	}
	for _, text := range []string{out, asJSON, stderr} {
		if strings.Contains(text, testSecret) || strings.Contains(text, testKey) {
			t.Errorf("a secret is shown:\n%s", text)
		}
	}
	if code, out, stderr := sala(t, "config", "check", "--dev"); code != exitOK || !strings.Contains(out, "dev: true  # command line") {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args     []string
		code     int
		out, err string
	}{
		{nil, exitOK, "Exit codes:", ""},
		{[]string{"--help"}, exitOK, "sala serve --dev", ""},
		{[]string{"serve", "--help"}, exitOK, "SALA_GRPC_LISTEN", ""},
		{[]string{"emit", "-h"}, exitOK, "--except-room", ""},
		{[]string{"version"}, exitOK, "sala ", ""},
		{[]string{"--version"}, exitOK, "sala ", ""},
		{[]string{"sockets", "get", "-Qx"}, exitUsage, "", `last, after "--"`},
		{[]string{"srve"}, exitUsage, "", "srve"},
		{[]string{"config"}, exitUsage, "", `Run "sala config --help" for help.`},
		{[]string{"rooms", "get"}, exitUsage, "", `expected "<room>"`},
	} {
		code, out, stderr := sala(t, tt.args...)
		if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(stderr, tt.err) {
			t.Errorf("%v: exit code %d, want %d with %q and %q, in\n%s%s", tt.args, code, tt.code, tt.out, tt.err, out, stderr)
		}
		if (code == exitOK) != (stderr == "") || (code == exitOK) != (out != "") {
			t.Errorf("%v wrote to the wrong stream:\n%s\n--\n%s", tt.args, out, stderr)
		}
	}
}
