package config

import (
	"strings"
	"testing"

	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker/token"
)

// hidden stands for a secret in the fuzz tests. Like those that openssl makes it
// has digits, so that nothing takes it for a word with a typing error.
const hidden = "5ec4e7-0123456789abcdef-5ec4e7"

// FuzzFile: whatever stands around a secret, the error doesn't repeat it.
func FuzzFile(f *testing.F) {
	for _, seed := range [][2]string{
		{"", "\n"}, {"listen: [a\n", "\n"}, {"", ": x\n"}, {"rooms: {", "}\n"}, {"? ", "\n"}, {"- ", ""}, {"listen: \"", "\"\n"},
		{"relay:\n  - {event: a, ", ": x}\n"}, {"a: &b\n", "\n<<: *b\n"}, {"anonymous:\n  join: [", "]\n"}, {"x: |\n  ", "\n---\n"}, {"\t", ""}, {"!!binary ", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	keys := map[string]bool{"listen": true, "jwt_secret": true, "api_key": true, "redis_url": true, "cluster_key": true, "ping_interval": true}
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, line := range []string{"jwt_secret: " + hidden, "api_key:\nops=" + hidden, "redis_url: redis://u:" + hidden + "@h", hidden} {
			if err := newFile("sala.yaml", keys).parse([]byte(before + line + after)); err != nil && strings.Contains(err.Error(), hidden) {
				t.Errorf("%q shows the secret: %s", before+line+after, err)
			}
		}
	})
}

// FuzzSecrets: whatever stands around a key or a secret, neither an error nor what
// "sala config check" prints repeats it.
func FuzzSecrets(f *testing.F) {
	for _, seed := range [][2]string{{"", ""}, {"ops=", ""}, {"ops=", ":emit"}, {"ops=", ":emits,rooms:read"}, {"ops=x:", ""}, {"a b=", ""}, {"ops=", " x"}, {"=", "="}, {"/", ""}, {"6379/", ""}, {"6379/0", ""}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		raw := before + hidden + after
		if key, err := auth.ParseKey(raw); err != nil && strings.Contains(before, "=") && strings.Contains(err.Error(), hidden) {
			t.Errorf("%q shows the key: %s", raw, err)
		} else if err == nil && !strings.Contains(key.Name(), hidden) && (strings.Contains(key.String(), hidden) || strings.Contains(maskKey(raw), hidden)) {
			t.Errorf("%q shows the key: %s, %s", raw, key, maskKey(raw))
		}
		key, err := token.ParseKey(raw)
		if err != nil && strings.Contains(err.Error(), hidden) {
			t.Errorf("%q shows the secret: %s", raw, err)
		}
		if err == nil && !strings.Contains(key.ID, hidden) && strings.Contains(maskSecret(raw), hidden) {
			t.Errorf("%q shows the secret: %s", raw, maskSecret(raw))
		}
		if shown := maskURL("redis://u:" + raw); !strings.Contains(before+after, "@") && strings.Contains(shown, hidden) {
			t.Errorf("%q shows the password: %s", raw, shown)
		}
	})
}
