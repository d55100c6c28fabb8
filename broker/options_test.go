package broker

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

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
		"defaults":              {func(*Options) {}, ""},
		"no keyring":            {func(o *Options) { o.Tokens = nil }, "jwt_secret"},
		"namespace":             {func(o *Options) { o.Namespaces = []string{"/", "chat"} }, "namespaces[1]"},
		"namespace with comma":  {func(o *Options) { o.Namespaces = []string{"/a,b"} }, "namespaces[0]"},
		"origins":               {func(o *Options) { o.AllowedOrigins = []string{"https://a.example", "http://localhost:8080", "*"} }, ""},
		"origin without scheme": {func(o *Options) { o.AllowedOrigins = []string{"a.example"} }, "allowed_origins[0]"},
		"origin with path":      {func(o *Options) { o.AllowedOrigins = []string{"https://a.example/"} }, "allowed_origins[0]"},
		"interval":              {func(o *Options) { o.PingTimeout = -time.Second }, "ping_interval"},
		"small messages":        {func(o *Options) { o.MaxMessageBytes = 1 }, "max_message_bytes"},
		"small queues":          {func(o *Options) { o.MaxQueueBytes = 1 }, "max_queue_bytes"},
		"slow consumers":        {func(o *Options) { o.SlowConsumers = "wait" }, "slow_consumers"},
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
