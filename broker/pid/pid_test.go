package pid_test

import (
	"strings"
	"testing"

	"github.com/salabroker/sala/broker/pid"
)

func TestParseReturnsWhatWasFormatted(t *testing.T) {
	keys := pid.NewKeys(nil)
	secret := keys.Secret("/", "ana", "socket")
	text := pid.Format("socket", secret)
	socket, got, ok := pid.Parse(text)
	if !ok || socket != "socket" || !got.Equal(secret) {
		t.Errorf("%q has the parts %q and %x, %v", text, socket, got, ok)
	}
	if got, ok := pid.SecretFrom(secret[:]); !ok || !got.Equal(secret) {
		t.Errorf("%x from bytes, %v", got, ok)
	}
}

func TestWhatIsNoPID(t *testing.T) {
	keys := pid.NewKeys(nil)
	secret := keys.Secret("/", "ana", "socket")
	text := pid.Format("socket", secret)
	for name, text := range map[string]string{
		"nothing":              "",
		"no secret":            "socket",
		"a short secret":       text[:len(text)-1],
		"a long secret":        text + "A",
		"not base64":           text[:len(text)-1] + "!",
		"another separator":    strings.Replace(text, "~", ".", 1),
		"a separator too many": "socket~" + text,
	} {
		if socket, _, ok := pid.Parse(text); ok {
			t.Errorf("%s: %q counts as a pid of %q", name, text, socket)
		}
	}
	for _, raw := range [][]byte{nil, secret[1:], append(secret[:], 0)} {
		if _, ok := pid.SecretFrom(raw); ok {
			t.Errorf("%x counts as a secret", raw)
		}
	}
}

// A secret is that of one session: a pid can't be used for another socket, user or namespace.
func TestMaker(t *testing.T) {
	older, newer := []byte("the key before"), []byte("the key from now on")
	before, after, other := pid.NewKeys([][]byte{older}), pid.NewKeys([][]byte{newer, older}), pid.NewKeys(nil)
	secret := before.Secret("/", "ana", "socket")
	if after.Secret("/", "ana", "socket").Equal(secret) {
		t.Error("secrets aren't made with the first key")
	}
	for name, test := range map[string]struct {
		keys                    pid.Keys
		namespace, user, socket string
		want                    pid.Maker
	}{
		"the same keys":         {before, "/", "ana", "socket", pid.MadeHere},
		"a new key":             {after, "/", "ana", "socket", pid.MadeHere},
		"another socket":        {after, "/", "ana", "other", pid.MadeByNobody},
		"another user":          {after, "/", "ben", "socket", pid.MadeByNobody},
		"another namespace":     {after, "/chat", "ana", "socket", pid.MadeByNobody},
		"parts that are joined": {after, "/", "anas", "ocket", pid.MadeByNobody},
		"keys of its own":       {other, "/", "ana", "socket", pid.MadeElsewhere},
	} {
		if got := test.keys.Maker(secret, test.namespace, test.user, test.socket); got != test.want {
			t.Errorf("%s: made by %d, want %d", name, got, test.want)
		}
	}
	if second := pid.NewKeys(nil); second.Secret("/", "ana", "socket").Equal(other.Secret("/", "ana", "socket")) {
		t.Error("two nodes that share no key make the same secrets")
	}
}
