package config

import (
	"os"
	"strings"
	"testing"
)

func TestMisspeltVariables(t *testing.T) {
	env := map[string]string{"SALA_JWT_SECRET": testSecret, "SALA_API_KEY": testKey}
	with := func(name string) map[string]string {
		all := map[string]string{name: "x"}
		for k, v := range env {
			all[k] = v
		}
		return all
	}
	for name, meant := range map[string]string{
		"SALA_ALLOWED_ORIGIN": "SALA_ALLOWED_ORIGINS", "SALA_CLUSTERKEY": "SALA_CLUSTER_KEY", "SALA_CONTROL_CLIENT_CAS": "SALA_CONTROL_CLIENT_CA",
	} {
		flags, _ := mustParse(t, with(name))
		if _, err := flags.Build(); err == nil || !strings.Contains(err.Error(), name+" is no setting; is "+meant+" meant?") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, noted := range map[string]bool{
		"SALA_SOMETHING_OF_MINE": true, "SALA_SERVICE_HOST": false, "SALA_SERVICE_PORT_GRPC": false, "SALA_PORT": false,
		"SALA_PORT_9090_TCP_ADDR": false, "SALA_REDIS_SERVICE_PORT": false, "SALAD": false,
	} {
		flags, _ := mustParse(t, with(name))
		cfg, err := flags.Build()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := strings.Contains(strings.Join(cfg.Notes, "\n"), name+" is no setting"); got != noted {
			t.Errorf("%s: the notes are %q", name, cfg.Notes)
		}
	}
}

func TestAnonymousIsCheckedWhileItIsOff(t *testing.T) {
	file := writeFile(t, "anonymous: {namespaces: [/nope]}\n")
	flags, _ := mustParse(t, nil, "--config", file, "--jwt-secret", testSecret, "--api-key", testKey)
	if _, err := flags.Build(); err == nil || !strings.Contains(err.Error(), file+": anonymous.namespaces[0]") {
		t.Errorf("%v", err)
	}
}

func TestOddities(t *testing.T) {
	notes := func(text string, mode os.FileMode, args ...string) string {
		t.Helper()
		file := writeFile(t, text)
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		flags, _ := mustParse(t, nil, append([]string{"--config", file, "--jwt-secret", testSecret}, args...)...)
		cfg, err := flags.Build()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(cfg.Notes, "\n")
	}
	const (
		clear  = "api_key: ops=not-to-be-seen-at-all\n"
		hashed = "api_key: ops=sha256:05e3b0f5be9ee6dcd8a1d1ee09c3b1e8f5c35b1e4f6d3f25fdc7c3f25ff0a7f5\n"
	)
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		args       []string
		says       string
	}{
		{"a key in the clear", clear, 0o644, nil, "holds secrets"},
		{"for its group", clear, 0o640, nil, ""},
		{"a hash", hashed, 0o644, nil, ""},
		{"anonymous may all", hashed + "anonymous: {publish: [\"**\"]}\n", 0o600, []string{"--allow-anonymous"}, "send to all rooms"},
		{"anonymous may something", hashed + "anonymous: {publish: [\"chat:**\"]}\n", 0o600, []string{"--allow-anonymous"}, ""},
		{"a short secret in development", hashed, 0o600, []string{"--dev", "--jwt-secret", "short"}, "can be any user"},
		{"on loopback", hashed, 0o600, []string{"--dev", "--jwt-secret", "short", "--listen", "127.0.0.1:3000"}, ""},
	} {
		got := notes(tt.text, tt.mode, tt.args...)
		if (tt.says == "") != (got == "") || !strings.Contains(got, tt.says) {
			t.Errorf("%s: the notes are %q, want %q", tt.name, got, tt.says)
		}
	}
}
