package api

import (
	"strings"
	"testing"

	"github.com/salabroker/sala/broker/adminui"
	"github.com/salabroker/sala/broker/room"
)

const adminAddress = "127.0.0.1:4711"

// startAdmin serves keys with which people sign in to the Admin UI.
func startAdmin(t *testing.T, log *records) (*harness, *fakeBroker) {
	b := &fakeBroker{matched: 2}
	h := start(t, b, func(cfg *Config) {
		cfg.Audit = log
		cfg.Keys = append(cfg.Keys,
			mustKey(t, "watcher=watcher-0123456789:cluster:read"),
			mustKey(t, "chatter=chatter-0123456789:cluster:read,sockets:read:/chat,sockets:write:/chat,emit:/chat:room-*"))
	})
	return h, b
}

func TestAdminSignIn(t *testing.T) {
	log := &records{}
	h, _ := startAdmin(t, log)
	keys := h.server.AdminKeys()
	for _, tt := range []struct{ name, key, want string }{
		{"admin", adminKey, `AdminUI/SignIn admin {} OKmap[]`},
		{"admin", "wrong", `AdminUI/SignIn  {} UNAUTHENTICATEDmap[]`},
		{"watcher", adminKey, `AdminUI/SignIn  {} UNAUTHENTICATEDmap[]`},
		{"", "", `AdminUI/SignIn  {} UNAUTHENTICATEDmap[]`},
		{"reader", readerKey, `AdminUI/SignIn reader {} PERMISSION_DENIEDmap[]`}, // it can't see the nodes
	} {
		account, err := keys.SignIn(t.Context(), tt.name, tt.key, adminAddress)
		if got := log.take(t); (err == nil) != (account != nil) || len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s with %s: %v, %v, recorded as %q; want %q", tt.name, tt.key, account, err, got, tt.want)
		}
	}
}

func TestAdminResumes(t *testing.T) {
	log := &records{}
	h, _ := startAdmin(t, log)
	keys, digest := h.server.AdminKeys(), []byte("digest")
	account, err := keys.SignIn(t.Context(), "admin", adminKey, adminAddress)
	if err != nil {
		t.Fatal(err)
	}
	proof := account.Proof(digest)
	if again, err := keys.Resume(t.Context(), "admin", digest, proof, adminAddress); err != nil || again.Name() != "admin" {
		t.Errorf("the session is %v, %v", again, err)
	}
	for name, resume := range map[string]func() error{
		"another key":     func() error { _, err := keys.Resume(t.Context(), "watcher", digest, proof, adminAddress); return err },
		"a key that went": func() error { _, err := keys.Resume(t.Context(), "gone", digest, proof, adminAddress); return err },
		"another session": func() error {
			_, err := keys.Resume(t.Context(), "admin", []byte("x"), proof, adminAddress)
			return err
		},
		"nobody": func() error { _, err := keys.Resume(t.Context(), "", nil, nil, adminAddress); return err },
	} {
		log.take(t)
		if err := resume(); err == nil || len(log.take(t)) != 1 {
			t.Errorf("%s comes back, or isn't recorded: %v", name, err)
		}
	}
}

// Guessing is limited as it is for calls, and a flood isn't recorded.
func TestAdminGuesses(t *testing.T) {
	log := &records{}
	h, _ := startAdmin(t, log)
	for range 300 {
		if _, err := h.server.AdminKeys().SignIn(t.Context(), "admin", "wrong", adminAddress); err == nil {
			t.Fatal("a wrong key signs in")
		}
	}
	if n := len(log.take(t)); n < 100 || n > 200 {
		t.Errorf("%d failures are recorded, want those that aren't a flood", n)
	}
	if _, err := h.server.AdminKeys().SignIn(t.Context(), "admin", adminKey, adminAddress); err != nil {
		t.Errorf("the right key is refused: %v", err)
	}
}

func TestAdminActions(t *testing.T) {
	log := &records{}
	h, b := startAdmin(t, log)
	sign := func(name, key string) adminui.Account {
		account, err := h.server.AdminKeys().SignIn(t.Context(), name, key, adminAddress)
		if err != nil {
			t.Fatal(err)
		}
		return account
	}
	admin, watcher, chatter := sign("admin", adminKey), sign("watcher", "watcher-0123456789"), sign("chatter", "chatter-0123456789")
	log.take(t)
	chat := func(rooms ...string) room.Target { return room.Target{Namespace: "/chat", Rooms: rooms} }
	one := room.Target{Namespace: "/", Sockets: []string{"s1"}}
	for _, tt := range []struct {
		name    string
		account adminui.Account
		action  adminui.Action
		want    string
	}{
		{"join", admin, adminui.Action{Kind: adminui.Join, Target: one, Room: "a"}, `SocketService/Join admin {"namespaces":["/"],"sockets":["s1"]} OKmap[matched:2]`},
		{"leave", admin, adminui.Action{Kind: adminui.Leave, Target: one, Room: "a"}, `SocketService/Leave admin {"namespaces":["/"],"sockets":["s1"]} OKmap[matched:2]`},
		{"disconnect", admin, adminui.Action{Kind: adminui.Disconnect, Target: one}, `SocketService/Disconnect admin {"namespaces":["/"],"sockets":["s1"]} OKmap[matched:2]`},
		{"emit", admin, adminui.Action{Kind: adminui.Emit, Target: one, Event: "e"}, `MessageService/Emit admin {"namespaces":["/"],"sockets":["s1"]} OKmap[matched:2]`},
		{"broadcast", admin, adminui.Action{Kind: adminui.Emit, Target: room.Target{Everyone: true}, Event: "e"}, `MessageService/Broadcast admin {"namespaces":["/"]} OKmap[matched:2]`},
		{"join in reach", chatter, adminui.Action{Kind: adminui.Join, Target: chat("x"), Room: "a"}, `SocketService/Join chatter {"namespaces":["/chat"],"rooms":["x"]} OKmap[matched:2]`},
		{"join out of reach", chatter, adminui.Action{Kind: adminui.Join, Target: one, Room: "a"}, `SocketService/Join chatter {"namespaces":["/"],"sockets":["s1"]} PERMISSION_DENIEDmap[]`},
		{"emit in reach", chatter, adminui.Action{Kind: adminui.Emit, Target: chat("room-1"), Event: "e"}, `MessageService/Emit chatter {"namespaces":["/chat"],"rooms":["room-1"]} OKmap[matched:2]`},
		{"emit out of reach", chatter, adminui.Action{Kind: adminui.Emit, Target: chat("x"), Event: "e"}, `MessageService/Emit chatter {"namespaces":["/chat"],"rooms":["x"]} PERMISSION_DENIEDmap[]`},
		{"no scope", watcher, adminui.Action{Kind: adminui.Disconnect, Target: one}, `SocketService/Disconnect watcher {"namespaces":["/"],"sockets":["s1"]} PERMISSION_DENIEDmap[]`},
	} {
		b.take()
		err := tt.account.Do(t.Context(), tt.action)
		if got := log.take(t); len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s: %v, recorded as %q; want %q", tt.name, err, got, tt.want)
		}
		if allowed := strings.Contains(tt.want, " OK"); (err == nil) != allowed || (len(b.take()) == 1) != allowed {
			t.Errorf("%s: %v, and the broker was asked or not", tt.name, err)
		}
	}
	if !admin.Acts() || !admin.Emits() || !admin.Sees("/") || !admin.SeesEvents("/") {
		t.Error("a key with all scopes may not do everything")
	}
	if watcher.Acts() || watcher.Emits() || watcher.Sees("/") || watcher.SeesEvents("/") {
		t.Error("a key that may see the nodes may do something else")
	}
	if !chatter.Acts() || !chatter.Emits() || !chatter.Sees("/chat") || chatter.Sees("/") || chatter.SeesEvents("/chat") {
		t.Error("a key with limits isn't limited to them")
	}
}
