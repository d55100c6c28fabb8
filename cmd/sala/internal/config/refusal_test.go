package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/salabroker/sala/broker"
)

func TestFileErrors(t *testing.T) {
	// Each file holds a secret, which no error may show.
	const secret = "jwt_secret: do-not-show-this-secret-do-not-show\n"
	for _, tt := range []struct{ name, file, want string }{
		{"unknown key", "listen: :1\nlisten_on: :2\n", `:3: unknown key "listen_on"; the known keys are ack_timeout, admin_ui, advertise, allow_anonymous, allowed_headers,`},
		{"dash", "grpc-listen: :1\n", `:2: unknown key "grpc-listen"; did you mean grpc_listen?`},
		{"plural", "api_keys: [a]\n", `:2: unknown key "api_keys"; did you mean api_key?`},
		{"config in the file", "config: other.yaml\n", `:2: unknown key "config"`},
		{"unknown key in a section", "rooms:\n  joinevent: x\n", `:3: unknown field "joinevent"`},
		{"unknown key in a rule", "relay:\n  - {event: a, to: room}\n  - {event: b, two: room}\n", `:4: unknown field "two"`},
		{"unknown key in announce", "rooms: {announce: {evnt: x}}\n", `:2: unknown field "evnt"`},
		{"mapping for a value", "listen: {port: 1}\n", ":2: listen takes a value"},
		{"list for a value", "listen: [a, b]\n", ":2: listen takes one value, not a list"},
		{"list of lists", "namespaces: [[a]]\n", ":2: namespaces takes a value, or a list of values"},
		{"no duration", "ping_interval: soon\n", `:2: expected duration but got "soon"`},
		{"duration without unit", "ping_interval: 25\n", `:2: expected duration but got "25"`},
		{"no number", "max_message_bytes: many\n", `:2: expected a valid 64 bit int but got "many"`},
		{"no bool", "allow_anonymous: perhaps\n", `:2: bool value must be`},
		{"no level", "log_level: loud\n", `--log-level must be one of "debug","info","warn","error" but got "loud"`},
		{"text for a section", "relay: all\n", ":2: string was used where sequence is expected"},
		{"text for a mapping", "anonymous: all\n", ":2: "},
		{"number for a list", "anonymous: {join: 5}\n", ":2: "},
		{"twice", "listen: :1\nlisten: :2\n", `:3: mapping key "listen" already defined at [2:1]`},
		{"syntax", "listen: [a\n", ":2: "},
		{"tab", "rooms:\n\tjoin_event: x\n", ":3: "},
		{"wrong kind in a section", "anonymous: {broadcast: maybe}\n", ":2: expected true or false here, not text"},
		{"two documents", "---\nlisten: :1\n", "several documents"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := writeFile(t, secret+tt.file)
			_, _, err := parse(t, nil, "--config", file)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is\n%s\nand lacks\n%s", err, tt.want)
			}
			if strings.HasPrefix(tt.want, ":") && !strings.Contains(err.Error(), file+tt.want[:3]) {
				t.Errorf("the error doesn't begin with the file and the line: %s", err)
			}
			if strings.Contains(err.Error(), "do-not-show") {
				t.Errorf("the error shows a secret: %s", err)
			}
		})
	}
}

func TestFileThatIsNoMapping(t *testing.T) {
	for _, text := range []string{"hello\n", "- a\n- b\n", "5\n"} {
		_, _, err := parse(t, nil, "--config", writeFile(t, text))
		if err == nil || !strings.Contains(err.Error(), "contains no settings") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "\n\n", "# nothing yet\n", "---\n"} {
		if _, _, err := parse(t, nil, "--config", writeFile(t, text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, path := range []string{"/nonexistent/sala.yaml", t.TempDir()} {
		_, _, err := parse(t, nil, "--config", path)
		if err == nil || !strings.Contains(err.Error(), "can't read") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSyntaxErrorsShowNoSecret(t *testing.T) {
	for _, text := range []string{
		"jwt_secret: do-not-show: this\n", "jwt_secret: \"do-not-show\n", "jwt_secret: 'do-not-show\nlisten: :1\n", "jwt_secret: [do-not-show\n",
		"  jwt_secret: do-not-show\nlisten: :1\n", "jwt_secret: do-not-show\n  listen: :1\n", "jwt_secret: {do-not-show: x}\n", "jwt_secret: &do-not-show\n",
		"jwt_secret: @do-not-show\n", "jwt_secret: |do-not-show\n", "jwt_secret: - do-not-show\n", "jwt_secret: [do-not-show}\n", "jwt_secret: \"\\do-not-show\"\n",
		"jwt_secret: `do-not-show\n", "api_key: \"name=do-not-show\"x\n",
		"jwt_secret:\n0123do-not-show:\n", "api_key:\nops=do-not-show: emit\n", "rooms:\n  0do-not-show: x\n", "relay: [{\"0do-not-show\": x}]\n",
	} {
		_, _, err := parse(t, nil, "--config", writeFile(t, text))
		if err != nil && strings.Contains(err.Error(), "do-not-show") {
			t.Errorf("%q: the error shows the secret: %s", text, err)
		}
	}
}

func TestDigitsStayText(t *testing.T) {
	const digits = "12345678901234567890123456789012"
	file := writeFile(t, "jwt_secret: ["+digits+", 0x"+digits+", 1e30, true]\napi_key: 0123\nlisten: \"3000\"\n")
	flags, _ := mustParse(t, nil, "--config", file)
	want := List{digits, "0x" + digits, "1e30", "true"}
	if strings.Join(flags.JWTSecret, " ") != strings.Join(want, " ") || flags.APIKey[0] != "0123" || flags.Listen != "3000" {
		t.Errorf("%q, %q, %q", flags.JWTSecret, flags.APIKey, flags.Listen)
	}
}

func TestPathsInTheFile(t *testing.T) {
	file := writeFile(t, "tls_cert: certs/a.pem\ntls_key: /abs/a.key\n")
	flags, _ := mustParse(t, nil, "--config", file, "--control-tls-cert", "b.pem")
	if want := Path(filepath.Join(filepath.Dir(file), "certs/a.pem")); flags.TLSCert != want {
		t.Errorf("a path in the file became %s, want %s", flags.TLSCert, want)
	}
	if flags.TLSKey != "/abs/a.key" || flags.ControlTLSCert != "b.pem" {
		t.Errorf("%s and %s must stay as they are", flags.TLSKey, flags.ControlTLSCert)
	}
}

func TestBuildRefuses(t *testing.T) {
	secret, apiKey := []string{"--jwt-secret", testSecret}, []string{"--api-key", testKey}
	both := append(append([]string{}, secret...), apiKey...)
	junk := writeFile(t, "junk")
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"nothing", nil, []string{"set --jwt-secret, SALA_JWT_SECRET or jwt_secret:", "openssl rand -hex 32", "set --api-key, SALA_API_KEY or api_key:"}},
		{"no secret", apiKey, []string{"no secret to sign"}},
		{"no key", secret, []string{"no API key"}},
		{"short secret", append(apiKey, "--jwt-secret", "k1=short"), []string{"has 5 bytes", "openssl rand -hex 32"}},
		{"second secret short", append(both, "--jwt-secret", "k2=short"), []string{"secret 2 has 5 bytes"}},
		{"two secrets of one id", append(apiKey, "--jwt-secret", "k="+testSecret, "--jwt-secret", "k="+testSecret), []string{`two secrets have the id "k"`}},
		{"no such scope", append(secret, "--api-key", "a=b:shout"), []string{`api_key[0]`, `"shout" is no scope; there are tokens:issue`}},
		{"same key twice", append(both, "--api-key", "other=not-to-be-seen-at-all"), []string{"api_key[1]: this is the same key as api_key[0]"}},
		{"gRPC for all", append(both, "--grpc-listen", ":9090"), []string{"--grpc-listen :9090 can be reached", "--control-tls-cert", "--insecure-control"}},
		{"REST for all", append(both, "--http-listen", "0.0.0.0:9091"), []string{"--http-listen 0.0.0.0:9091 can be reached", "--insecure-control"}},
		{"REST for all on IPv6", append(both, "--http-listen", "[::]:9091"), []string{"--http-listen [::]:9091 can be reached"}},
		{"no address", append(both, "--listen", "3000"), []string{`--listen "3000" is not an address to listen on`}},
		{"port too high", append(both, "--listen", ":70000"), []string{`--listen ":70000" is not an address`}},
		{"certificate alone", append(both, "--tls-cert", "a.pem"), []string{"--tls-cert also needs --tls-key"}},
		{"key alone", append(both, "--control-tls-key", "a.pem"), []string{"--control-tls-key also needs --control-tls-cert"}},
		{"no certificate file", append(both, "--tls-cert", "/nonexistent/a", "--tls-key", "/nonexistent/b"), []string{"can't use --tls-cert and --tls-key", "no such file"}},
		{"no certificate in the file", append(both, "--control-tls-cert", junk, "--control-tls-key", junk), []string{"can't use --control-tls-cert and --control-tls-key"}},
		{"no interval", append(both, "--ping-interval", "0s"), []string{"--ping-interval is 0s"}},
		{"negative spread", append(both, "--drain-spread", "-1s"), []string{"--drain-spread is -1s"}},
		{"negative window", append(both, "--recovery-window", "-1s"), []string{"--recovery-window is -1s"}},
		{"no messages to recover", append(both, "--recovery-messages", "0"), []string{"--recovery-messages is 0; it must be at least 1"}},
		{"negative drain", append(both, "--drain-timeout", "-1s"), []string{"--drain-timeout is -1s"}},
		{"emitter alone", append(both, "--redis-emitter", "true"), []string{"--redis-emitter also needs --redis-url"}},
		{"host for a URL", append(both, "--redis-url", "not-to-be-seen:6379"), []string{"--redis-url is not the URL", "redis://127.0.0.1:6379", "it doesn't begin with redis://"}},
		{"another URL", append(both, "--redis-url", "http://not-to-be-seen/"), []string{"--redis-url is not the URL", "it begins with http://"}},
		{"password with a slash", append(both, "--redis-url", "redis://u:not/to@not-to-be-seen:6379"), []string{"--redis-url is not the URL", "%2F"}},
		{"no database", append(both, "--redis-url", "redis://h:6379/not-to-be-seen"), []string{"the number of a database"}},
		{"sentinels without a master", append(both, "--redis-url", "redis://h?sentinel_password=not-to-be-seen"), []string{"--redis-url is not the URL", "master_set is their name"}},
		{"sentinels over a socket file", append(both, "--redis-url", "unix:///run/r.sock?master_set=m"), []string{"--redis-url is not the URL", "master_set is their name"}},
		{"cluster key twice", append(both, "--redis-url", "redis://h", "--cluster-key", strings.Repeat("k", 32), "--cluster-key", strings.Repeat("k", 32)), []string{"cluster_key: key 2 is a duplicate"}},
		{"short cluster key", append(both, "--redis-url", "redis://h", "--cluster-key", "not-to-be-seen"), []string{"cluster_key: key 1 has 14 bytes, but at least 32", "openssl rand -hex 32"}},
		{"cluster of no name", append(both, "--redis-url", "redis://h", "--cluster-name", ""), []string{`--cluster-name ""`}},
		{"cluster of a bad name", append(both, "--redis-url", "redis://h", "--cluster-name", "a:b"), []string{`--cluster-name "a:b"`}},
		{"no size", append(both, "--max-message-bytes", "0"), []string{"--max-message-bytes is 0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			flags, _ := mustParse(t, nil, equals(tt.args)...)
			_, err := flags.Build()
			var wrong *Error
			if !errors.As(err, &wrong) || wrong.ExitCode() != 2 {
				t.Fatalf("the error is %v, want an *Error with exit code 2", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is\n%s\nand lacks\n%s", err, want)
				}
			}
			for _, hidden := range []string{testSecret, "not-to-be-seen"} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("the error shows a secret: %s", err)
				}
			}
		})
	}
}

// equals writes "--flag value" as "--flag=value", so that a value may begin
// with a dash.
func equals(args []string) []string {
	var joined []string
	for i := 0; i+1 < len(args); i += 2 {
		joined = append(joined, args[i]+"="+args[i+1])
	}
	return joined
}

func TestControlListenersThatAreFine(t *testing.T) {
	for _, args := range [][]string{
		{"--grpc-listen", "localhost:0", "--http-listen", "[::1]:0"},
		{"--grpc-listen", "127.0.0.2:9090"},
		{"--grpc-listen", ":9090", "--http-listen", ":9091", "--insecure-control"},
		{"--listen", "0.0.0.0:3000"},
	} {
		mustBuild(t, args...)
	}
}

func TestDevMakesUpWhatIsMissing(t *testing.T) {
	build := func(args ...string) *Config {
		flags, _ := mustParse(t, nil, append(args, "--dev")...)
		c, err := flags.Build()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := build(), build()
	if a.DevKey == "" || a.DevKey == b.DevKey || a.Flags.JWTSecret[0] == b.Flags.JWTSecret[0] {
		t.Error("two starts have the same secret or key, or none")
	}
	if len(a.Flags.JWTSecret[0]) < 32 || len(a.DevKey) < 20 {
		t.Error("what is made up is too short to be safe")
	}
	c := build("--jwt-secret", "short", "--api-key", "few=aaa:emit", "--api-key", "all=bbb")
	if c.DevKey != "bbb" || len(c.Keys) != 2 || c.Flags.JWTSecret[0] != "short" {
		t.Errorf("what is given must be used: key %q of %v, secret %q", c.DevKey, c.Keys, c.Flags.JWTSecret)
	}
	if c := build("--api-key", "few=aaa:emit"); c.DevKey != "aaa" {
		t.Errorf("the key to show is %q, want the one there is", c.DevKey)
	}
}

func TestKeySecret(t *testing.T) {
	for raw, want := range map[string]string{
		"bare": "bare", "base64==": "base64==", "name=key": "key", "name=key==": "key==",
		"name=key:emit,broadcast": "key", "": "",
	} {
		if got := KeySecret(raw); got != want {
			t.Errorf("KeySecret(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestExplainNamesTheFile(t *testing.T) {
	file := writeFile(t, "relay: [{event: a, to: everyone}]\nmax_message_bytes: 5\n")
	c := mustBuild(t, "--config", file, "--ping-interval", "1s")
	err := c.Explain(&broker.Error{Code: broker.CodeInvalidArgument, Fields: []broker.FieldViolation{
		{Field: "relay[0].to", Description: "bad"},
		{Field: "max_message_bytes", Description: "small"},
		{Field: "ping_interval", Description: "odd"},
	}})
	want := file + ": relay[0].to: bad\n" + file + ": max_message_bytes: small\nping_interval: odd"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if other := os.ErrClosed; !errors.Is(c.Explain(other), other) {
		t.Error("another error must stay what it is")
	}
}

func TestEffective(t *testing.T) {
	file := writeFile(t, "relay: [{event: a, to: broadcast}]\nallow_anonymous: true\nanonymous: {join: ['*']}\n")
	flags, ctx := mustParse(t, map[string]string{"SALA_PING_TIMEOUT": "7s"}, "--config", file,
		"--jwt-secret", "k1="+testSecret, "--jwt-secret", testSecret, "--api-key", testKey, "--api-key", "bare-not-to-be-seen")
	c, err := flags.Build()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Effective(&out, ctx); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, hidden := range []string{testSecret, "not-to-be-seen"} {
		if strings.Contains(text, hidden) {
			t.Errorf("a secret is shown:\n%s", text)
		}
	}
	for _, want := range []string{
		"listen: \":3000\"  # default\n", "ping_timeout: 7s  # SALA_PING_TIMEOUT\n", "allow_anonymous: true  # " + file + "\n",
		"jwt_secret: [k1=***, \"***\"]  # command line\n", "ops=***:emit,rooms:read",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	// It is a file that Sala would read: keys and sections come back the same.
	again, _ := mustParse(t, nil, "--config", writeFile(t, text))
	if again.PingTimeout != flags.PingTimeout || again.Listen != flags.Listen || len(again.APIKey) != 2 {
		t.Errorf("read back, it differs:\n%s", text)
	}
	first, _ := yaml.Marshal(flags.file.sections)
	second, _ := yaml.Marshal(again.file.sections)
	if !bytes.Equal(first, second) {
		t.Errorf("the sections read back differ:\n%s\n%s", first, second)
	}
}

// A rule sends JSON.
func TestRulesThatJSONCannotSay(t *testing.T) {
	for rule, want := range map[string]string{
		"args: [1, .inf]":        "relay[0].args: clients get JSON, which can't represent this value: ",
		"ack: {a: .nan}":         "relay[0].ack: clients get JSON, which can't represent this value: ",
		"args: {a: 1}":           ":1: mapping was used where sequence is expected",
		"include_sender: always": ":1: expected true or false here",
	} {
		file := writeFile(t, "relay: [{event: a, to: sender, "+rule+"}]\n")
		flags, _, err := parse(t, nil, "--config", file, "--jwt-secret", testSecret, "--api-key", testKey)
		if err == nil {
			_, err = flags.Build()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", rule, err, want)
		}
	}
}
