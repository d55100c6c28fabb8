package config

import (
	"os"
	"strings"
	"testing"
	"time"
)

const (
	keyLine   = "ops=0123456789abcdef"
	otherLine = "web=fedcba9876543210:rooms:read"
)

func startKeyFile(t *testing.T, text string, args ...string) (k *KeyFile, path string) {
	t.Helper()
	path = writeFile(t, text)
	flags, _ := mustParse(t, nil, append(args, "--config", path)...)
	c, err := flags.Build()
	if err != nil {
		t.Fatal(err)
	}
	return c.KeyFile(), path
}

func TestKeyFileReload(t *testing.T) {
	start := "jwt_secret: " + testSecret + "\napi_key: [" + keyLine + "]\n"
	k, path := startKeyFile(t, start)
	for _, tt := range []struct{ name, text, want, wrong, warns string }{
		{name: "unchanged", text: start},
		{name: "other settings", text: start + "listen: ':1'\n"},
		{name: "added", text: "api_key: [" + keyLine + ", " + otherLine + "]\n", want: "ops web"},
		{name: "the same again", text: "api_key: [" + keyLine + ", '" + otherLine + "']\n"},
		{name: "no keys", text: "listen: ':1'\n", wrong: "has no api_key"},
		{name: "an empty list", text: "api_key: []\n", wrong: "has no api_key"},
		{name: "half written", text: "api_key: [" + keyLine, wrong: path},
		{name: "an unknown setting", text: "api_key: [" + keyLine + "]\nrelais: 1\n", wrong: `unknown key "relais"`},
		{name: "the same twice", text: "api_key: [a=0123456789abcdef, b=0123456789abcdef]\n", wrong: "the same key as api_key[0]"},
		{name: "an unknown scope", text: "api_key: [" + keyLine + ":dance]\n", wrong: "is no scope"},
		{name: "a namespace that isn't there", text: "api_key: ['" + keyLine + ":emit:/chat']\n", wrong: "--namespaces doesn't list"},
		{name: "a single short key", text: "api_key: ops=short\n", want: "ops", warns: "can be guessed"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, warnings, err := k.Reload()
		if tt.wrong != "" {
			if keys != nil || err == nil || !strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "0123456789abcdef") {
				t.Errorf("%s: %v, %v", tt.name, keys, err)
			}
			continue
		}
		var names []string
		for _, key := range keys {
			names = append(names, key.Name())
		}
		if got := strings.Join(names, " "); err != nil || got != tt.want || strings.Contains(strings.Join(warnings, ""), "guessed") != (tt.warns != "") {
			t.Errorf("%s: %q, %q, %v", tt.name, got, warnings, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Reload(); err == nil || !k.Settled() {
		t.Errorf("without the file: %v", err)
	}
}

// A file that somebody is writing is left alone.
func TestKeyFileSettles(t *testing.T) {
	k, path := startKeyFile(t, "jwt_secret: "+testSecret+"\napi_key: "+keyLine+"\n")
	for age, want := range map[time.Duration]bool{0: false, 10 * time.Second: true, -time.Hour: true} {
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
		if got := k.Settled(); got != want {
			t.Errorf("written %s ago: settled %t", age, got)
		}
	}
}

// Only the file can change while the process runs.
func TestKeyFileOfOtherKeys(t *testing.T) {
	withKey := "jwt_secret: " + testSecret + "\napi_key: " + keyLine + "\n"
	if k, _ := startKeyFile(t, withKey, "--api-key", otherLine); k != nil {
		t.Error("the keys of a flag are reloaded from a file")
	}
	if k, _ := startKeyFile(t, "jwt_secret: "+testSecret+"\n", "--dev"); k != nil {
		t.Error("the key of --dev is reloaded from a file")
	}
	flags, _ := mustParse(t, map[string]string{"SALA_API_KEY": otherLine}, "--config", writeFile(t, withKey))
	c, err := flags.Build()
	if err != nil || c.KeyFile() != nil {
		t.Errorf("the keys of a variable are reloaded from a file: %v", err)
	}
	if c := mustBuild(t, "--api-key", keyLine); c.KeyFile() != nil {
		t.Error("there is no file")
	}
}
