package history_test

import (
	"testing"
	"time"

	"github.com/salabroker/sala/broker/history"
)

// The first rule that matches a room counts.
func TestRules(t *testing.T) {
	rules := history.Rules{
		{Namespace: "/", Rooms: "chat:vip", Messages: 1000, TTL: time.Hour},
		{Namespace: "/", Rooms: "chat:**", Messages: 100, TTL: time.Minute},
		{Namespace: "/ops", Rooms: "**", Messages: 1, TTL: time.Second},
	}
	for _, tt := range []struct {
		namespace, name string
		messages        int // 0 for no history
	}{
		{"/", "chat:vip", 1000},
		{"/", "chat:vip:1", 100},
		{"/", "chat", 100},
		{"/", "chats", 0},
		{"/ops", "anything", 1},
		{"/other", "chat:vip", 0},
	} {
		r, ok := rules.Room(tt.namespace, tt.name)
		if ok != (tt.messages > 0) || r.Messages != tt.messages || ok && (r.Name != tt.name || r.Namespace != tt.namespace || r.TTL == 0) {
			t.Errorf("%s %s: %+v, %t", tt.namespace, tt.name, r, ok)
		}
	}
}

func TestRulesAreFree(t *testing.T) {
	var none history.Rules
	if n := testing.AllocsPerRun(100, func() { none.Room("/", "chat:1") }); n > 0 {
		t.Errorf("%v allocations without rules", n)
	}
}
