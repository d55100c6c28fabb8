package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/history"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testSecret = "0123456789abcdef0123456789abcdef"
	testKey    = "ops=not-to-be-seen-at-all:emit,rooms:read"
)

// parse runs args through kong as "sala serve" does. The environment is
// cleared of settings, and then has those of env.
func parse(t *testing.T, env map[string]string, args ...string) (*Flags, *kong.Context, error) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "SALA_") {
			t.Setenv(name, "") // puts it back after the test
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	var root struct {
		Serve struct{ Flags } `cmd:""`
	}
	parser, err := kong.New(&root, kong.Name("sala"), kong.ExplicitGroups(Groups()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := parser.Parse(append([]string{"serve"}, args...))
	return &root.Serve.Flags, ctx, err
}

func mustParse(t *testing.T, env map[string]string, args ...string) (*Flags, *kong.Context) {
	t.Helper()
	flags, ctx, err := parse(t, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	return flags, ctx
}

// mustBuild builds a configuration that has a secret and a key.
func mustBuild(t *testing.T, args ...string) *Config {
	t.Helper()
	flags, _ := mustParse(t, nil, append(args, "--jwt-secret", testSecret, "--api-key", testKey)...)
	c, err := flags.Build()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sala.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// eachFlag calls fn for every flag of a command line that sets nothing.
func eachFlag(t *testing.T, fn func(t *testing.T, flag *kong.Flag)) {
	t.Helper()
	_, ctx := mustParse(t, nil)
	for _, flag := range ctx.Flags() {
		if flag.Name != "help" {
			t.Run(flag.Name, func(t *testing.T) { fn(t, flag) })
		}
	}
}

func TestEveryFlagIsDocumented(t *testing.T) {
	eachFlag(t, func(t *testing.T, flag *kong.Flag) {
		want := "SALA_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		if len(flag.Envs) != 1 || flag.Envs[0] != want {
			t.Errorf("its environment variable is %v, want %s", flag.Envs, want)
		}
		if flag.Help == "" || flag.Group == nil || flag.Group.Title == flag.Group.Key {
			t.Error("it has no help, or no group with a title")
		}
	})
}

// TestContract holds the names and defaults that others rely on.
func TestContract(t *testing.T) {
	want := map[string]string{
		"redis-url": "", "cluster-key": "", "cluster-name": "sala", "advertise": "", "redis-emitter": "",
		"listen": ":3000", "grpc-listen": "127.0.0.1:9090", "http-listen": "127.0.0.1:9091",
		"api-key": "", "jwt-secret": "", "jwt-user-claim": "sub", "allow-anonymous": "", "namespaces": "/",
		"allowed-origins": "", "ping-interval": "25s", "ping-timeout": "20s", "connect-timeout": "10s",
		"max-connections-per-ip": "1000", "max-handshakes-per-ip": "50", "limit-exempt": "loopback,private",
		"max-connections-per-user": "1000", "max-namespaces-per-connection": "100", "max-events-per-second": "1000",
		"max-bytes-per-second": "10000000", "max-joins-per-second": "100", "max-rooms-per-socket": "1000",
		"max-attachments": "64", "trusted-proxies": "",
		"path": "/socket.io/", "allowed-headers": "", "public-health": "", "max-token-bytes": "8192", "grpc-reflection": "true",
		"max-message-bytes": "1000000", "max-queue-bytes": "1048576", "slow-consumers": "disconnect",
		"ack-timeout": "10s", "decide-timeout": "5s", "decide-default": "refuse", "decide-required": "", "log-level": "info", "log-format": "text", "config": "",
		"recovery-window": "2m", "recovery": "optional", "recovery-namespaces": "",
		"idempotency-window": "5m", "console": "on",
	}
	eachFlag(t, func(t *testing.T, flag *kong.Flag) {
		if def, ok := want[flag.Name]; ok && flag.Default != def {
			t.Errorf("the default is %q, want %q", flag.Default, def)
		}
		delete(want, flag.Name)
	})
	if len(want) > 0 {
		t.Errorf("there are no flags for %v", want)
	}
}

// settings are three values for a flag, none of which is the default, with
// what each comes to.
func settings(flag *kong.Flag) (text [3]string, want [3]string) {
	switch {
	case flag.Name == "log-level":
		text = [3]string{"debug", "warn", "error"}
	case flag.Name == "log-format":
		text = [3]string{"json", "text", "json"}
	case flag.Name == "slow-consumers":
		text = [3]string{"drop", "disconnect", "drop"}
	case flag.Name == "decide-default":
		text = [3]string{"accept", "refuse", "accept"}
	case flag.Name == "console":
		text = [3]string{"off", "on", "off"}
	case flag.Name == "recovery":
		text = [3]string{"always", "optional", "always"}
	case flag.IsBool():
		text = [3]string{"true", "false", "true"}
	case flag.Target.Kind() == reflect.Int64 && flag.Target.Type().Name() == "Duration":
		text = [3]string{"1s", "2s", "3s"}
	case flag.Target.Kind() == reflect.Int64:
		text = [3]string{"1111", "2222", "3333"}
	case flag.Target.Type() == reflect.TypeFor[Path](), flag.Name == "jwt-public-key":
		text = [3]string{"/in/file", "/in/env", "/in/flag"}
	default:
		text = [3]string{"in-file", "in-env", "in-flag"}
	}
	want = text
	if flag.Target.Type() == reflect.TypeFor[List]() {
		want = [3]string{"[" + text[0] + "]", "[" + text[1] + "]", "[" + text[2] + "]"}
	}
	return text, want
}

func TestPrecedence(t *testing.T) {
	eachFlag(t, func(t *testing.T, flag *kong.Flag) {
		if flag.Name == "config" {
			t.Skip("it names the file")
		}
		text, want := settings(flag)
		file := writeFile(t, key(flag.Name)+": "+text[0]+"\n")
		env := map[string]string{flag.Envs[0]: text[1]}
		arg := "--" + flag.Name + "=" + text[2]

		for _, tt := range []struct {
			name, want, source string
			env                map[string]string
			args               []string
		}{
			{name: "file over default", want: want[0], source: file, args: []string{"--config", file}},
			{name: "environment over file", want: want[1], source: flag.Envs[0], env: env, args: []string{"--config", file}},
			{name: "flag over all", want: want[2], source: "command line", env: env, args: []string{"--config", file, arg}},
			{name: "flag over file", want: want[2], source: "command line", args: []string{"--config", file, arg}},
			{name: "environment over default", want: want[1], source: flag.Envs[0], env: env},
		} {
			t.Run(tt.name, func(t *testing.T) {
				flags, ctx := mustParse(t, tt.env, tt.args...)
				field := fieldOf(ctx, flag.Name)
				if got := fmt.Sprint(field.Target.Interface()); got != tt.want {
					t.Errorf("it is %s, want %s", got, tt.want)
				}
				c := &Config{Flags: flags}
				if got := c.source(field); got != tt.source {
					t.Errorf("it is said to come from %s, want %s", got, tt.source)
				}
			})
		}
	})
}

func fieldOf(ctx *kong.Context, name string) *kong.Flag {
	for _, flag := range ctx.Flags() {
		if flag.Name == name {
			return flag
		}
	}
	return nil
}

func TestConfigFromEnvironment(t *testing.T) {
	file := writeFile(t, "listen: 127.0.0.1:1234\n")
	flags, _ := mustParse(t, map[string]string{"SALA_CONFIG": file})
	if flags.Listen != "127.0.0.1:1234" {
		t.Errorf("listen is %q; the file of SALA_CONFIG was not read", flags.Listen)
	}
	other := writeFile(t, "listen: 127.0.0.1:4321\n")
	flags, _ = mustParse(t, map[string]string{"SALA_CONFIG": file}, "--config", other)
	if flags.Listen != "127.0.0.1:4321" {
		t.Errorf("listen is %q; --config must win", flags.Listen)
	}
}

func TestLists(t *testing.T) {
	want := List{"a=b:emit,broadcast", "c"}
	file := writeFile(t, "api_key: [\"a=b:emit,broadcast\", c]\nnamespaces: /one\njwt_secret:\n  - with two spaces\n")
	for name, flags := range map[string]*Flags{
		"repeated":    first(mustParse(t, nil, "--api-key", want[0], "--api-key", want[1])),
		"environment": first(mustParse(t, map[string]string{"SALA_API_KEY": " " + want[0] + "\n\t" + want[1] + " "})),
		"file":        first(mustParse(t, nil, "--config", file)),
	} {
		if !reflect.DeepEqual(flags.APIKey, want) {
			t.Errorf("%s: %q, want %q", name, flags.APIKey, want)
		}
	}
	flags, _ := mustParse(t, nil, "--api-key", "a=one two", "--jwt-secret", "with two spaces")
	if !reflect.DeepEqual(flags.APIKey, List{"a=one two"}) || !reflect.DeepEqual(flags.JWTSecret, List{"with two spaces"}) {
		t.Errorf("a value of the command line was split: %q, %q", flags.APIKey, flags.JWTSecret)
	}
	flags, _ = mustParse(t, nil, "--config", file)
	if !reflect.DeepEqual(flags.Namespaces, List{"/one"}) {
		t.Errorf("one value for a list: %q", flags.Namespaces)
	}
	if !reflect.DeepEqual(flags.JWTSecret, List{"with two spaces"}) {
		t.Errorf("an entry of the file was split: %q", flags.JWTSecret)
	}
}

// Names that can't contain commas may be separated by them.
func TestNamesSeparatedByCommas(t *testing.T) {
	secrets := []string{"--api-key", "key=secret:emit,broadcast", "--jwt-secret", strings.Repeat("s", 32)}
	for name, args := range map[string][]string{
		"commas":   {"--namespaces", "/,/chat", "--allowed-origins", "https://a.example,https://b.example"},
		"spaces":   {"--namespaces", "/ /chat", "--allowed-origins", "https://a.example, https://b.example"},
		"repeated": {"--namespaces", "/", "--namespaces", "/chat", "--allowed-origins", "https://a.example", "--allowed-origins", "https://b.example"},
	} {
		c, err := first(mustParse(t, nil, append(args, secrets...)...)).Build()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(c.Broker.Namespaces, []string{"/", "/chat"}) ||
			!slices.Equal(c.Broker.AllowedOrigins, []string{"https://a.example", "https://b.example"}) {
			t.Errorf("%s: %q and %q", name, c.Broker.Namespaces, c.Broker.AllowedOrigins)
		}
	}
}

func first(flags *Flags, _ *kong.Context) *Flags { return flags }

func TestOptionsForTheBroker(t *testing.T) {
	file := writeFile(t, `
# the chat
anonymous: {join: ["public:*"], rooms: [lobby]}
default_permissions: {namespaces: [/], join: ["**"], publish: ["**"], history: ["h:*"], presence: ["p:*"], broadcast: true}
relay:
  - {event: my_event, emit: my_response, to: room, room_field: room, skip_history: true}
  - {event: shout,    emit: my_response, to: broadcast, include_sender: true, conflate: true}
  - event: login
    to: sender
    args: [{data: "Mensaje recibido <3", n: 9007199254740993}, [], null]
    ack: {user: "{user}"}
  - {event: quiet, to: sender, args: [], ack: false}
rooms: {join_event: entrar, leave_event: salir, announce: {event: message, joined: "{user} ha entrado en la sala {room}.", left: "adiós"}}
`)
	got := mustBuild(t, "--config", file, "--allow-anonymous", "--namespaces", "/ /chat",
		"--ack-timeout", "3s", "--decide-timeout", "1s", "--decide-default", "accept", "--decide-required").Broker
	want := broker.Options{
		Namespaces:         []string{"/", "/chat"},
		Anonymous:          &broker.Permissions{Join: []string{"public:*"}, Rooms: []string{"lobby"}},
		DefaultPermissions: broker.Permissions{Namespaces: []string{"/"}, Join: []string{"**"}, Publish: []string{"**"}, History: []string{"h:*"}, Presence: []string{"p:*"}, Broadcast: true},
		Relay: []broker.RelayRule{
			{Event: "my_event", Emit: "my_response", To: broker.RelayToRoom, RoomField: "room", SkipHistory: true},
			{Event: "shout", Emit: "my_response", To: broker.RelayToBroadcast, IncludeSender: new(true), Conflate: true},
			{
				Event: "login", To: broker.RelayToSender, Args: json.RawMessage(`[{"data":"Mensaje recibido <3","n":9007199254740993},[],null]`),
				Ack: json.RawMessage(`{"user":"{user}"}`),
			},
			{Event: "quiet", To: broker.RelayToSender, Args: json.RawMessage(`[]`), Ack: json.RawMessage(`false`)},
		},
		Rooms: broker.RoomEvents{JoinEvent: "entrar", LeaveEvent: "salir", Announce: &broker.Announcement{
			Event: "message", Joined: "{user} ha entrado en la sala {room}.", Left: "adiós"}},
		Path:         "/socket.io/",
		PingInterval: got.PingInterval, PingTimeout: got.PingTimeout, ConnectTimeout: got.ConnectTimeout, DrainSpread: 5 * time.Second,
		MaxMessageBytes: 1_000_000,
		MaxQueueBytes:   1 << 20, SlowConsumers: broker.DisconnectSlow, Tokens: got.Tokens,
		MaxRoomsPerSocket: 1000, MaxAttachments: 64,
		Limits: broker.Limits{
			ConnectionsPerIP: 1000, HandshakesPerIP: 50, Exempt: got.Limits.Exempt, ConnectionsPerUser: 1000,
			Namespaces: 100, Events: 1000, Bytes: 10_000_000, Joins: 100,
		},
		AckTimeout: 3 * time.Second, Decisions: broker.DecisionOptions{Timeout: time.Second, Default: broker.AcceptUndecided, Required: true},
		Recovery:          &broker.RecoveryOptions{Window: 2 * time.Minute, Mode: broker.RecoverOptional, MaxMessages: 1024, MaxBytes: 1 << 20},
		IdempotencyWindow: 5 * time.Minute,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRecovery(t *testing.T) {
	all := broker.RecoveryOptions{Window: 2 * time.Minute, Mode: broker.RecoverOptional, MaxMessages: 1024, MaxBytes: 1 << 20}
	with := func(change func(*broker.RecoveryOptions)) *broker.RecoveryOptions {
		changed := all
		change(&changed)
		return &changed
	}
	for _, tt := range []struct {
		name string
		args []string
		want *broker.RecoveryOptions
	}{
		{"by default", nil, &all},
		{"off", []string{"--recovery-window", "0"}, nil},
		{"off, with a unit", []string{"--recovery-window", "0s", "--recovery", "always"}, nil},
		{"off in the file", []string{"--config", writeFile(t, "recovery_window: 0\n")}, nil},
		{"always in a namespace", []string{"--recovery=always", "--namespaces", "/,/chat", "--recovery-namespaces", "/chat"},
			with(func(r *broker.RecoveryOptions) { r.Mode, r.Namespaces = broker.RecoverAlways, []string{"/chat"} })},
		{"in the file", []string{"--config", writeFile(t,
			"recovery_window: 30s\nrecovery: always\nrecovery_namespaces: [/]\nrecovery_messages: 64\nrecovery_bytes: 65536\nrecovery_node_bytes: 1048576\n")},
			&broker.RecoveryOptions{
				Window: 30 * time.Second, Mode: broker.RecoverAlways, Namespaces: []string{"/"}, MaxMessages: 64, MaxBytes: 65536, MaxNodeBytes: 1 << 20,
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustBuild(t, tt.args...).Broker.Recovery; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestHistory(t *testing.T) {
	if got := mustBuild(t).Broker.History; got != nil {
		t.Errorf("without a section: %+v", got)
	}
	got := mustBuild(t, "--config", writeFile(t, `
history:
  - {namespace: /chat, rooms: "chat:vip:*", messages: 1000, ttl: 1h30m}
  - {rooms: "chat:**", messages: 100, ttl: 5m}
namespaces: [/, /chat]
`)).Broker.History
	want := &broker.HistoryOptions{Rules: history.Rules{
		{Namespace: "/chat", Rooms: "chat:vip:*", Messages: 1000, TTL: 90 * time.Minute},
		{Rooms: "chat:**", Messages: 100, TTL: 5 * time.Minute},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for rule, says := range map[string]string{
		`{rooms: a, messages: 1}`:                   "history[0].ttl: is missing",
		`{rooms: a, messages: 1, ttl: 300}`:         `history[0].ttl: "300" has no unit`,
		`{rooms: a, messages: 1, ttl: soon}`:        `history[0].ttl: "soon" is not a duration`,
		`{rooms: a, messages: many, ttl: 5m}`:       ":2: expected a number here, not text",
		`{room: a, messages: 1, ttl: 5m}`:           `unknown field "room"`,
		`{rooms: a, messages: 1, ttl: 5m, size: 1}`: `unknown field "size"`,
	} {
		flags, _, err := parse(t, nil, "--config", writeFile(t, "history:\n  - "+rule+"\n"), "--jwt-secret", testSecret, "--api-key", testKey)
		if err == nil {
			_, err = flags.Build()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", rule, err, says)
		}
	}
}

func TestRoomEvents(t *testing.T) {
	for _, tt := range []struct{ name, file, join, leave string }{
		{"no section", "", "join", "leave"},
		{"empty section", "rooms:\n", "join", "leave"},
		{"announcement alone", "rooms: {announce: {event: message, joined: hi}}", "join", "leave"},
		{"one renamed", "rooms: {join_event: enter}", "enter", "leave"},
		{"turned off", `rooms: {join_event: "", leave_event: ""}`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rooms := mustBuild(t, "--config", writeFile(t, tt.file)).Broker.Rooms
			if rooms.JoinEvent != tt.join || rooms.LeaveEvent != tt.leave {
				t.Errorf("join %q and leave %q, want %q and %q", rooms.JoinEvent, rooms.LeaveEvent, tt.join, tt.leave)
			}
		})
	}
}

func TestAnonymous(t *testing.T) {
	file := writeFile(t, "anonymous: {join: [a]}\n")
	c := mustBuild(t, "--config", file)
	if c.Broker.Anonymous != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "--allow-anonymous") {
		t.Errorf("permissions alone let %v in, with the warnings %q", c.Broker.Anonymous, c.Warnings)
	}
	c = mustBuild(t, "--allow-anonymous")
	if c.Broker.Anonymous == nil || !reflect.DeepEqual(*c.Broker.Anonymous, broker.Permissions{}) {
		t.Errorf("without a section, anonymous clients may do %v, want nothing", c.Broker.Anonymous)
	}
}
