package auth

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseKey(t *testing.T) {
	for _, tt := range []struct {
		in, name, secret string
		scopes           []Scope
	}{
		{"s3cret", "default", "s3cret", AllScopes()},
		{"c2VjcmV0Cg==", "default", "c2VjcmV0Cg==", AllScopes()},
		{"c2VjcmV0LWtleS13aXRoLXBhZA==", "default", "c2VjcmV0LWtleS13aXRoLXBhZA==", AllScopes()},
		{"c2VjcmV0LWtleS1hYmM=", "default", "c2VjcmV0LWtleS1hYmM=", AllScopes()},
		{"ci=s3cret", "ci", "s3cret", AllScopes()},
		{"ci=c2VjcmV0Cg==", "ci", "c2VjcmV0Cg==", AllScopes()},
		{"my-web.app_2=k:emit", "my-web.app_2", "k", []Scope{ScopeEmit}},
		{"ci=k:tokens:issue,rooms:read, emit", "ci", "k", []Scope{ScopeTokensIssue, ScopeRoomsRead, ScopeEmit}},
	} {
		key, err := ParseKey(tt.in)
		if err != nil {
			t.Errorf("ParseKey(%q): %v", tt.in, err)
			continue
		}
		if key.Name() != tt.name || !slices.Equal(key.Scopes(), tt.scopes) {
			t.Errorf("ParseKey(%q) = %s with %v, want %s with %v", tt.in, key.Name(), key.Scopes(), tt.name, tt.scopes)
		}
		known, err := New([]Key{key}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if known.find(tt.secret) == nil {
			t.Errorf("ParseKey(%q): %q isn't the key", tt.in, tt.secret)
		}
		if known.find(tt.secret+"x") != nil {
			t.Errorf("ParseKey(%q): a longer key matches", tt.in)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "is empty",
		"ci=:emit":                           "is empty",
		"backend=":                           "the key is empty",
		"hunter2hunter2_=":                   "the key is empty",
		"a.backend.with.dots=":               "the key is empty",
		"hunter2:emit":                       "give it a name",
		"a b=hunter2":                        "the name",
		"=hunter2":                           "the name",
		"ci=hunter2 x":                       "header",
		"ci=hunter2\u00e9":                   "header",
		"hunter2,hunter3":                    "header",
		"ci=hunter2:":                        `"" is no scope`,
		"ci=hunter2:emit,":                   `"" is no scope`,
		"ci=hunter2:rooms":                   "rooms:read",
		"ci=hunter2:Emit":                    "is no scope",
		"ci=hunter2:emit:emit":               "is no scope",
		"ci=abc:hunter2hunter2":              "14 characters",
		"ci=abc:emit,HUNTERTWO":              "9 characters",
		strings.Repeat("n", 65) + "=hunter2": "the name",
	} {
		_, err := ParseKey(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseKey(%q): %v; want an error with %q", in, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseKey(%q): the error tells the key: %v", in, err)
		}
	}
}

func TestKeyDoesNotPrintItsSecret(t *testing.T) {
	key := parsed(t, "ci=hunter2-hunter2:emit")
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, key); strings.Contains(text, "hunter2") {
			t.Errorf("%s prints the secret: %s", format, text)
		}
	}
}

func TestHashedKey(t *testing.T) {
	secret, hashed := NewKey()
	other, _ := NewKey()
	if len(secret) < 48 || secret == other || strings.Contains(hashed, secret) {
		t.Fatalf("%q, %q, %q", secret, hashed, other)
	}
	key := parsed(t, "web="+hashed+":emit:/chat:room-*")
	if key.Name() != "web" || !key.Limited() || !slices.Equal(key.Namespaces(), []string{"/chat"}) || key.guessable {
		t.Errorf("%v", key)
	}
	if !key.SameSecret(parsed(t, "clear="+secret)) || key.SameSecret(parsed(t, "clear="+other)) {
		t.Error("the hash isn't that of the key")
	}
	for in, says := range map[string]string{
		"web=sha256:":                                      "64 hexadecimal digits",
		"web=sha256:beef":                                  "64 hexadecimal digits",
		"web=sha256:" + strings.Repeat("x", 64):            "64 hexadecimal digits",
		"web=sha256:" + strings.Repeat("ab", 32) + ":nope": "is no scope",
		hashed: "give it a name",
		"web=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": "is that of nothing",
	} {
		if _, err := ParseKey(in); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", in, err, says)
		}
	}
}

func TestParseGrants(t *testing.T) {
	for in, want := range map[string]string{
		"emit":                                   "emit",
		"emit:/":                                 "emit:/",
		"emit:/chat:room-*":                      "emit:/chat:room-*",
		"emit:/chat:chat:*, rooms:read:/chat":    "rooms:read:/chat, emit:/chat:chat:*",
		"emit:/a,emit:/b:x":                      "emit:/a, emit:/b:x",
		"emit:/a,emit":                           "emit",
		"emit,emit:/a":                           "emit",
		"tokens:issue:/chat:**":                  "tokens:issue:/chat:**",
		"events:/chat,broadcast:/chat,emit:/b:c": "emit:/b:c, broadcast:/chat, events:/chat",
	} {
		if g, err := parseGrants(in); err != nil || g.String() != want {
			t.Errorf("%q: %q, %v; want %q", in, g, err, want)
		}
	}
	for in, says := range map[string]string{
		"emit:chat":          "is no scope",
		"emit:":              "is no scope",
		"rooms":              "is no scope",
		"cluster:read:/chat": "can't be limited",
		"broadcast:/chat:a":  "not to rooms",
		"events:/chat:a":     "not to rooms",
		"sockets:read:/c:a":  "not to rooms",
		"emit:/chat:":        "is empty",
		"emit:/chat:**:a":    "before its end",
		"emit:/chat:*a":      "within a segment",
	} {
		if _, err := parseGrants(in); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", in, err, says)
		}
	}
}

func TestZeroKeyLetsNobodyIn(t *testing.T) {
	known := &Authenticator{}
	known.callers.Store(&[]*Caller{{}})
	for _, secret := range []string{"", "\x00"} {
		if known.find(secret) != nil {
			t.Errorf("%q matches the zero Key", secret)
		}
	}
}

func TestUnlistedMethodIsDenied(t *testing.T) {
	key := parsed(t, "all-of-it")
	if err := key.Authorize("/sala.v1.RoomService/Burn"); err == nil {
		t.Error("a method without a scope may be called")
	}
}

// parsed returns the key that s stands for.
func parsed(t *testing.T, s string) Key {
	t.Helper()
	key, err := ParseKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
