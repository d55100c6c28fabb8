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
		if _, err := flags.Build(); err == nil || !strings.Contains(err.Error(), name+" is unknown; did you mean "+meant+"?") {
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
		if got := strings.Contains(strings.Join(cfg.Warnings, "\n"), name+" is unknown"); got != noted {
			t.Errorf("%s: the warnings are %q", name, cfg.Warnings)
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

func TestWarnings(t *testing.T) {
	warnings := func(text string, mode os.FileMode, args ...string) string {
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
		return strings.Join(cfg.Warnings, "\n")
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
		{"a key in the clear", clear, 0o644, nil, "contains secrets"},
		{"for its group", clear, 0o640, nil, ""},
		{"a hash", hashed, 0o644, nil, ""},
		{"anonymous may all", hashed + "anonymous: {publish: [\"**\"]}\n", 0o600, []string{"--allow-anonymous"}, "send to all rooms"},
		{"anonymous may read all", hashed + "anonymous: {history: [\"**\"]}\n", 0o600, []string{"--allow-anonymous"}, "read what all rooms remember"},
		{"anonymous may something", hashed + "anonymous: {publish: [\"chat:**\"]}\n", 0o600, []string{"--allow-anonymous"}, ""},
		{"a short secret in development", hashed, 0o600, []string{"--dev", "--jwt-secret", "short", "--listen", ":3000"}, "can pose as any user"},
		{"always, but off", hashed, 0o600, []string{"--recovery=always", "--recovery-window=0"}, "--recovery-window 0 turns recovery off"},
		{"namespaces of nobody", hashed, 0o600, []string{"--recovery-namespaces=/"}, "has no effect with --recovery=optional"},
		{"always in a namespace", hashed, 0o600, []string{"--recovery=always", "--recovery-namespaces=/"}, ""},
		{"on loopback", hashed, 0o600, []string{"--dev", "--jwt-secret", "short", "--listen", "127.0.0.1:3000"}, ""},
		{"on the default address", hashed, 0o600, []string{"--dev", "--jwt-secret", "short"}, ""},
	} {
		got := warnings(tt.text, tt.mode, tt.args...)
		if (tt.says == "") != (got == "") || !strings.Contains(got, tt.says) {
			t.Errorf("%s: the warnings are %q, want %q", tt.name, got, tt.says)
		}
	}
}

func TestOverriddenKeys(t *testing.T) {
	file := writeFile(t, "api_key: "+testKey+"\njwt_secret: "+testSecret+"\nlisten: 127.0.0.1:0\nping_interval: 7s\nlog_level: warn\n")
	env := map[string]string{"SALA_PING_INTERVAL": "8s", "SALA_LISTEN": ":1", "SALA_PING_TIMEOUT": "9s"}
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		says string
	}{
		{"by nothing", nil, []string{"--ping-timeout=3s"}, ""},
		{"by variables and a flag", env, []string{"--listen", ":2"}, "flags and variables override " + file + ": listen (--listen), ping_interval (SALA_PING_INTERVAL)"},
	} {
		flags, _ := mustParse(t, tt.env, append(tt.args, "--config", file)...)
		cfg, err := flags.Build()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(cfg.Warnings, "\n"); got != tt.says {
			t.Errorf("overridden %s: the warnings are %q, want %q", tt.name, got, tt.says)
		}
	}
}

func TestDevListensOnLoopback(t *testing.T) {
	file := writeFile(t, "listen: :2\n")
	for _, tt := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{nil, nil, "127.0.0.1:3000"},
		{nil, []string{"--listen", ":3000"}, ":3000"},
		{map[string]string{"SALA_LISTEN": ":1"}, nil, ":1"},
		{nil, []string{"--config", file}, ":2"},
	} {
		flags, _ := mustParse(t, tt.env, append(tt.args, "--dev")...)
		cfg, err := flags.Build()
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Public.Addr != tt.want {
			t.Errorf("%v %v: it listens on %s, want %s", tt.env, tt.args, cfg.Public.Addr, tt.want)
		}
	}
}

func TestProxyWarnings(t *testing.T) {
	for networks, wide := range map[string]bool{
		"0.0.0.0/0": true, "::/0": true, "0.0.0.0/1": true, "128.0.0.0/1": true, "2000::/3": true, "11.0.0.0/8": true, "loopback,0.0.0.0/0": true, "8.0.0.0/5": true,
		"10.0.0.0/8": false, "private": false, "loopback": false, "fc00::/7": false, "192.0.2.1": false, "104.16.0.0/13": false, "2400:cb00::/32": false, "": false,
	} {
		warnings := strings.Join(mustBuild(t, "--trusted-proxies", networks).Warnings, "\n")
		if strings.Contains(warnings, "contains more than your proxies") != wide || !wide && warnings != "" {
			t.Errorf("%s: the warnings are %q", networks, warnings)
		}
	}
}

func TestFilesThatAreOpenToAll(t *testing.T) {
	for _, tt := range []struct {
		flag string
		mode os.FileMode
		says string
	}{
		{"--state-dir", 0o777, "can be written"}, {"--state-dir", 0o773, "can be written"}, {"--state-dir", 0o755, ""}, {"--state-dir", 0o700, ""},
		{"--audit-log", 0o666, "can be written"}, {"--audit-log", 0o622, "can be written"}, {"--audit-log", 0o644, "can be read"}, {"--audit-log", 0o660, ""}, {"--audit-log", 0o600, ""},
	} {
		path := t.TempDir()
		if tt.flag == "--audit-log" {
			path = writeFile(t, "")
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		warnings := strings.Join(mustBuild(t, tt.flag, path).Warnings, "\n")
		if !strings.Contains(warnings, tt.says) || tt.says == "" && warnings != "" || tt.says != "" && !strings.Contains(warnings, path) {
			t.Errorf("%s of mode %o: the warnings are %q, want %q", tt.flag, tt.mode, warnings, tt.says)
		}
	}
	for _, args := range [][]string{{"--audit-log", "-"}, {"--audit-log", "/no/such/file"}, {"--state-dir", "/no/such/folder"}} {
		if warnings := mustBuild(t, args...).Warnings; len(warnings) > 0 {
			t.Errorf("%v: the warnings are %q", args, warnings)
		}
	}
}
