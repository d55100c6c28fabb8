package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKeyNew goes the way of an operator: a key is made, the broker gets its
// hash, the caller the key, and the audit log says what the caller did.
func TestKeyNew(t *testing.T) {
	code, out, stderr := sala(t, "key", "new", "--name", "web", "--scopes", "emit:/:room-*", "-o", "json")
	if code != exitOK {
		t.Fatal(stderr)
	}
	var made struct{ Key, APIKey string }
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(made.APIKey, made.Key) || !strings.HasPrefix(made.APIKey, "web=sha256:") {
		t.Fatalf("%+v", made)
	}
	audit := filepath.Join(t.TempDir(), "audit.log")
	n := plain(t, "--api-key", made.APIKey, "--audit-log", audit, "--audit-emits")
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"emit", "hello", "--room", "room-1", "--api-key", made.Key}, exitOK, ""},
		{[]string{"emit", "hello", "--room", "secret", "--api-key", made.Key}, exitFailure, `doesn't reach the room "secret" of "/"`},
		{[]string{"rooms", "--api-key", made.Key}, exitFailure, `lacks the scope "rooms:read"`},
		{[]string{"rooms", "--api-key", made.APIKey}, exitUsage, "contains the hash of a key"},
	} {
		if code, _, stderr := sala(t, append(tt.args, "--server", n.grpc)...); code != tt.code || !strings.Contains(stderr, tt.says) {
			t.Errorf("%v: exit code %d: %s", tt.args, code, stderr)
		}
	}
	n.stop()
	written, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(written)), "\n")
	if len(lines) != 3 || strings.Contains(string(written), made.Key) {
		t.Fatalf("the audit log:\n%s", written)
	}
	for i, want := range []string{`"code":"OK"`, `"code":"PERMISSION_DENIED","reason":"SCOPE_DENIED"`, `RoomService/ListRooms`} {
		if !strings.Contains(lines[i], want) || !strings.Contains(lines[i], `"key":"web"`) {
			t.Errorf("line %d: %s, want %s", i, lines[i], want)
		}
	}

	for _, tt := range []struct{ scopes, says string }{{"emit:chat", "is no scope"}, {"cluster:read:/", "can't be limited"}} {
		if code, _, stderr := sala(t, "key", "new", "--name", "web", "--scopes", tt.scopes); code != exitUsage || !strings.Contains(stderr, tt.says) {
			t.Errorf("%s: exit code %d: %s", tt.scopes, code, stderr)
		}
	}
	if code, _, stderr := sala(t, "serve", "--jwt-secret", testSecret, "--api-key", "web="+testKey+":emit:/chta"); code != exitUsage || !strings.Contains(stderr, `the namespace "/chta"`) {
		t.Errorf("a scope for a namespace that isn't there: exit code %d: %s", code, stderr)
	}
}
