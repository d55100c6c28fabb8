package broker

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/token"
)

func TestOptionsAreChecked(t *testing.T) {
	ring, err := token.NewKeyring(token.Options{Keys: []token.Key{{Secret: make([]byte, 32)}}})
	if err != nil {
		t.Fatal(err)
	}
	rule := func(r RelayRule) func(*Options) { return func(o *Options) { o.Relay = append(o.Relay, r) } }
	tests := map[string]struct {
		change func(*Options)
		field  string // empty: it's fine
	}{
		"defaults":               {func(*Options) {}, ""},
		"no keyring":             {func(o *Options) { o.Tokens = nil }, "jwt_secret"},
		"namespace":              {func(o *Options) { o.Namespaces = []string{"/", "chat"} }, "namespaces[1]"},
		"namespace with comma":   {func(o *Options) { o.Namespaces = []string{"/a,b"} }, "namespaces[0]"},
		"origins":                {func(o *Options) { o.AllowedOrigins = []string{"https://a.example", "http://localhost:8080", "*"} }, ""},
		"origin without scheme":  {func(o *Options) { o.AllowedOrigins = []string{"a.example"} }, "allowed_origins[0]"},
		"origin with path":       {func(o *Options) { o.AllowedOrigins = []string{"https://a.example/"} }, "allowed_origins[0]"},
		"interval":               {func(o *Options) { o.PingTimeout = -time.Second }, "ping_interval"},
		"small messages":         {func(o *Options) { o.MaxMessageBytes = 1 }, "max_message_bytes"},
		"small queues":           {func(o *Options) { o.MaxQueueBytes = 1 }, "max_queue_bytes"},
		"slow consumers":         {func(o *Options) { o.SlowConsumers = "wait" }, "slow_consumers"},
		"recovery":               {func(o *Options) { o.Recovery = &RecoveryOptions{} }, ""},
		"always in a namespace":  {func(o *Options) { o.Recovery = &RecoveryOptions{Mode: RecoverAlways, Namespaces: []string{"/"}} }, ""},
		"window before now":      {func(o *Options) { o.Recovery = &RecoveryOptions{Window: -1} }, "recovery_window"},
		"window without end":     {func(o *Options) { o.Recovery = &RecoveryOptions{Window: 25 * time.Hour} }, "recovery_window"},
		"recovery mode":          {func(o *Options) { o.Recovery = &RecoveryOptions{Mode: "never"} }, "recovery"},
		"recovery elsewhere":     {func(o *Options) { o.Recovery = &RecoveryOptions{Namespaces: []string{"/", "/nope"}} }, "recovery_namespaces[1]"},
		"short key window":       {func(o *Options) { o.IdempotencyWindow = time.Second }, "idempotency_window"},
		"long key window":        {func(o *Options) { o.IdempotencyWindow = 25 * time.Hour }, "idempotency_window"},
		"key window":             {func(o *Options) { o.IdempotencyWindow = 24 * time.Hour }, ""},
		"few messages":           {func(o *Options) { o.Recovery = &RecoveryOptions{MaxMessages: 1} }, "recovery_messages"},
		"many messages":          {func(o *Options) { o.Recovery = &RecoveryOptions{MaxMessages: 1_000_001} }, "recovery_messages"},
		"no bytes":               {func(o *Options) { o.Recovery = &RecoveryOptions{MaxBytes: -1} }, "recovery_bytes"},
		"many bytes":             {func(o *Options) { o.Recovery = &RecoveryOptions{MaxBytes: 1<<30 + 1} }, "recovery_bytes"},
		"few bytes of a node":    {func(o *Options) { o.Recovery = &RecoveryOptions{MaxNodeBytes: 1 << 19} }, "recovery_node_bytes"},
		"little memory":          {func(o *Options) { o.MemoryLimit, o.Recovery = 1<<20, &RecoveryOptions{} }, ""},
		"history":                {historyRule(history.Rule{Rooms: "chat:**", Messages: 1, TTL: time.Second}), ""},
		"history without engine": {func(o *Options) { o.History = &HistoryOptions{} }, "history"},
		"history elsewhere":      {historyRule(history.Rule{Namespace: "/nope", Rooms: "a", Messages: 1, TTL: time.Minute}), "history[1].namespace"},
		"history of no room":     {historyRule(history.Rule{Messages: 1, TTL: time.Minute}), "history[1].rooms"},
		"history of a pattern":   {historyRule(history.Rule{Rooms: "**:a", Messages: 1, TTL: time.Minute}), "history[1].rooms"},
		"history of nothing":     {historyRule(history.Rule{Rooms: "a", TTL: time.Minute}), "history[1].messages"},
		"history of much":        {historyRule(history.Rule{Rooms: "a", Messages: 10_001, TTL: time.Minute}), "history[1].messages"},
		"history for a moment":   {historyRule(history.Rule{Rooms: "a", Messages: 1, TTL: time.Millisecond}), "history[1].ttl"},
		"history for ever":       {historyRule(history.Rule{Rooms: "a", Messages: 1, TTL: 721 * time.Hour}), "history[1].ttl"},
		"many rules": {func(o *Options) {
			for range 100 {
				historyRule(history.Rule{Rooms: "a", Messages: 1, TTL: time.Minute})(o)
			}
		}, "history"},
		"anonymous pattern":     {func(o *Options) { o.Anonymous = &Permissions{Join: []string{"**:a"}} }, "anonymous.join[0]"},
		"anonymous elsewhere":   {func(o *Options) { o.Anonymous = &Permissions{Namespaces: []string{"/nope"}} }, "anonymous.namespaces[0]"},
		"default room":          {func(o *Options) { o.DefaultPermissions.Rooms = []string{""} }, "default_permissions.rooms[0]"},
		"relay":                 {rule(RelayRule{Event: "a", To: RelayToRoom}), ""},
		"relay without event":   {rule(RelayRule{Emit: "b", To: RelayToRoom}), "relay[0].event"},
		"relay to nowhere":      {rule(RelayRule{Event: "a", To: "rooms"}), "relay[0].to"},
		"relay reserved":        {rule(RelayRule{Event: "a", Emit: "connect", To: RelayToRoom}), "relay[0].emit"},
		"relay with field":      {rule(RelayRule{Event: "a", To: RelayToBroadcast, RoomField: "room"}), "relay[0].room_field"},
		"relay to the sender":   {rule(RelayRule{Event: "a", To: RelayToSender, Args: json.RawMessage(`[1,"{user}"]`), Ack: json.RawMessage(`{}`)}), ""},
		"sender and field":      {rule(RelayRule{Event: "a", To: RelayToSender, RoomField: "room"}), "relay[0].room_field"},
		"broadcast and history": {rule(RelayRule{Event: "a", To: RelayToBroadcast, SkipHistory: true}), "relay[0].skip_history"},
		"sender without sender": {rule(RelayRule{Event: "a", To: RelayToSender, IncludeSender: new(bool)}), "relay[0].include_sender"},
		"args of a rule":        {rule(RelayRule{Event: "a", To: RelayToRoom, Args: json.RawMessage(`{}`)}), "relay[0].args"},
		"args that aren't JSON": {rule(RelayRule{Event: "a", To: RelayToRoom, Args: json.RawMessage(`[1`)}), "relay[0].args"},
		"ack of a rule":         {rule(RelayRule{Event: "a", To: RelayToRoom, Ack: json.RawMessage(`{},{`)}), "relay[0].ack"},
		"large ack": {func(o *Options) {
			o.MaxMessageBytes = 1024
			rule(RelayRule{Event: "a", To: RelayToRoom, Ack: json.RawMessage(`"` + strings.Repeat("x", 1024) + `"`)})(o)
		}, "relay[0].ack"},
		"relay twice": {func(o *Options) {
			rule(RelayRule{Event: "a", To: RelayToRoom})(o)
			rule(RelayRule{Event: "a", To: RelayToRoom})(o)
		}, "relay[1].event"},
		"relay of join":         {func(o *Options) { o.Rooms.JoinEvent = "a"; rule(RelayRule{Event: "a", To: RelayToRoom})(o) }, "relay[0].event"},
		"join is leave":         {func(o *Options) { o.Rooms = RoomEvents{JoinEvent: "a", LeaveEvent: "a"} }, "rooms.leave_event"},
		"announce without name": {func(o *Options) { o.Rooms.Announce = &Announcement{Joined: "x"} }, "rooms.announce.event"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := Options{Tokens: ring}
			test.change(&o)
			b, err := New(o)
			if b != nil {
				defer func() { _ = b.Shutdown(t.Context()) }()
			}
			if test.field == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || len(e.Fields) != 1 || e.Fields[0].Field != test.field {
				t.Errorf("got %v, want an error on %s", err, test.field)
			}
		})
	}
}

// historyRule adds a rule after a valid one.
func historyRule(rule history.Rule) func(*Options) {
	return func(o *Options) {
		if o.History == nil {
			valid := history.Rule{Namespace: "/", Rooms: "chat:vip", Messages: 10_000, TTL: 720 * time.Hour}
			o.History = &HistoryOptions{Engine: history.NewMemory(history.MemoryOptions{}), Rules: history.Rules{valid}}
		}
		o.History.Rules = append(o.History.Rules, rule)
	}
}

func TestRecoveryDefaults(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		want    RecoveryOptions
	}{
		"nothing is set": {Options{}, RecoveryOptions{
			Window: 2 * time.Minute, Mode: RecoverOptional, MaxMessages: 1024, MaxBytes: 1 << 20, MaxNodeBytes: 256 << 20,
		}},
		"a share of the memory": {Options{MemoryLimit: 4 << 30}, RecoveryOptions{
			Window: 2 * time.Minute, Mode: RecoverOptional, MaxMessages: 1024, MaxBytes: 1 << 20, MaxNodeBytes: 1 << 30,
		}},
		"large messages fit": {Options{MaxMessageBytes: 10 << 20, MemoryLimit: 16 << 20}, RecoveryOptions{
			Window: 2 * time.Minute, Mode: RecoverOptional, MaxMessages: 1024, MaxBytes: 10<<20 + messageOverhead, MaxNodeBytes: 10<<20 + messageOverhead,
		}},
		"all is set": {
			Options{Recovery: &RecoveryOptions{
				Window: time.Second, Mode: RecoverAlways, Namespaces: []string{"/"}, MaxMessages: 16, MaxBytes: 2 << 20, MaxNodeBytes: 4 << 20,
			}},
			RecoveryOptions{
				Window: time.Second, Mode: RecoverAlways, Namespaces: []string{"/"}, MaxMessages: 16, MaxBytes: 2 << 20, MaxNodeBytes: 4 << 20,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			given := test.options.Recovery
			if given == nil {
				given = &RecoveryOptions{}
			}
			before := *given
			test.options.Recovery = given
			test.options.setDefaults()
			if !reflect.DeepEqual(*test.options.Recovery, test.want) {
				t.Errorf("got %+v, want %+v", *test.options.Recovery, test.want)
			}
			if !reflect.DeepEqual(*given, before) {
				t.Errorf("the caller's options have become %+v", *given)
			}
		})
	}
}

func TestWhoTakesPartInRecovery(t *testing.T) {
	for name, test := range map[string]struct {
		options      *RecoveryOptions
		asks, silent [2]bool // in "/" and in "/chat": a client that asks, and one that doesn't
	}{
		"off":              {nil, [2]bool{}, [2]bool{}},
		"optional":         {&RecoveryOptions{Mode: RecoverOptional}, [2]bool{true, true}, [2]bool{}},
		"always":           {&RecoveryOptions{Mode: RecoverAlways}, [2]bool{true, true}, [2]bool{true, true}},
		"always in one":    {&RecoveryOptions{Mode: RecoverAlways, Namespaces: []string{"/chat"}}, [2]bool{true, true}, [2]bool{false, true}},
		"optional with it": {&RecoveryOptions{Mode: RecoverOptional, Namespaces: []string{"/chat"}}, [2]bool{true, true}, [2]bool{}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, namespace := range []string{"/", "/chat"} {
				if got := test.options.Includes(namespace, true); got != test.asks[i] {
					t.Errorf("in %s, for a client that asks: %t", namespace, got)
				}
				if got := test.options.Includes(namespace, false); got != test.silent[i] {
					t.Errorf("in %s, for a client that doesn't ask: %t", namespace, got)
				}
			}
		})
	}
}
