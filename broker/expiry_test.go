package broker_test

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/token"
)

// issue makes a token and returns it with its id.
func issue(t *testing.T, node *brokertest.Node, r broker.TokenRequest) broker.IssuedToken {
	t.Helper()
	issued, err := node.IssueToken(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func TestNewTokenKeepsASocket(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Rooms: broker.RoomEvents{JoinEvent: "join"}})
	first := issue(t, node, broker.TokenRequest{User: "ana", TTL: 2 * time.Second, Data: json.RawMessage(`1`)})
	ana := node.JoinAs(first.Token)
	if answer := ana.Call("join", "a"); !strings.Contains(answer, "JOIN_DENIED") {
		t.Errorf("join is answered with %s", answer)
	}
	fresh := issue(t, node, broker.TokenRequest{
		User: "ana", TTL: time.Hour, Permissions: broker.Permissions{Rooms: []string{"b"}, Join: []string{"a"}}, Data: json.RawMessage(`2`),
	})
	var answer []struct {
		OK         bool
		ExpireTime time.Time
	}
	raw := ana.Call("sala:token", map[string]string{"token": fresh.Token})
	if err := json.Unmarshal([]byte(raw), &answer); err != nil || len(answer) != 1 || !answer[0].OK || !answer[0].ExpireTime.Equal(fresh.ExpiresAt) {
		t.Errorf("the fresh token is answered with %s", raw)
	}
	if got := ana.Call("join", "a"); got != `[{"ok":true}]` {
		t.Errorf("join is answered with %s: the new permissions don't count", got)
	}
	info, err := node.GetSocket(t.Context(), ana.ID)
	if err != nil || strings.Join(info.Rooms, " ") != "a b" || string(info.Data) != "2" {
		t.Errorf("the socket is %+v, %v", info, err)
	}
	<-time.After(time.Until(first.ExpiresAt) + 100*time.Millisecond) // with which ana would have to go
	if got := ana.Call("sala:token", fresh.Token); !strings.HasPrefix(got, `[{"ok":true,`) {
		t.Errorf("the bare token is answered with %s", got)
	}
	short := issue(t, node, broker.TokenRequest{User: "ana", TTL: time.Second})
	ana.Emit("sala:token", short.Token) // without an ack
	if e := ana.Next(); e.Name != "sala:disconnect" || !strings.Contains(e.Args, "TOKEN_EXPIRED") {
		t.Errorf("got %+v, want the end of the shorter token", e)
	}
	ana.ExpectDisconnect()
}

func TestUnfitTokensChangeNothing(t *testing.T) {
	anonymous := broker.Permissions{}
	node := brokertest.Start(t, broker.Options{
		Namespaces: []string{"/", "/chat"}, MaxRoomsPerSocket: 2, Anonymous: &anonymous, Rooms: broker.RoomEvents{JoinEvent: "join"},
	})
	ana := node.JoinAs(issue(t, node, broker.TokenRequest{User: "ana", Permissions: broker.Permissions{Rooms: []string{"a"}, Join: []string{"a"}}}).Token)
	may := broker.Permissions{Join: []string{"**"}}
	other := may
	other.Namespaces = []string{"/chat"}
	crowded := may
	crowded.Rooms = []string{"b", "c"}
	revoked := issue(t, node, broker.TokenRequest{User: "ana", Permissions: may})
	if _, err := node.RevokeTokens(t.Context(), broker.RevokeTokens{TokenID: revoked.ID}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		arg  any
		code string
	}{
		"none":              {nil, "TOKEN_REQUIRED"},
		"something else":    {42, "TOKEN_REQUIRED"},
		"garbage":           {"x.y.z", "TOKEN_INVALID"},
		"another user's":    {node.Token("ben", may), "USER_MISMATCH"},
		"another namespace": {node.Token("ana", other), "NAMESPACE_DENIED"},
		"too many rooms":    {node.Token("ana", crowded), "TOO_MANY_ROOMS"},
		"a revoked one":     {revoked.Token, "TOKEN_REVOKED"},
		"too large":         {strings.Repeat("x", 9000), "TOKEN_TOO_LARGE"},
	} {
		if answer := ana.Call("sala:token", tt.arg); !strings.Contains(answer, `"code":"`+tt.code+`"`) {
			t.Errorf("%s is answered with %s, want %s", name, answer, tt.code)
		}
		if answer := ana.Call("join", "z"); !strings.Contains(answer, "JOIN_DENIED") {
			t.Errorf("%s: the permissions have changed: %s", name, answer)
		}
	}
	if rooms := roomsOf(t, node, ana.ID); strings.Join(rooms, " ") != "a" {
		t.Errorf("the rooms are %v", rooms)
	}
	nobody := node.Dial(nil)
	nobody.Connect("/", nil)
	if answer := nobody.Call("sala:token", node.Token("ana", may)); !strings.Contains(answer, "USER_MISMATCH") {
		t.Errorf("an anonymous client becomes somebody: %s", answer)
	}
}

func TestRevokedTokensEndTheirSockets(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Namespaces: []string{"/", "/chat"}})
	first, second := issue(t, node, broker.TokenRequest{User: "ana"}), issue(t, node, broker.TokenRequest{User: "ana"})
	ana, anaToo, ben := node.JoinAs(first.Token), node.JoinAs(second.Token), node.Join("ben")
	chat := node.Dial(nil)
	chat.Connect("/chat", map[string]string{"token": first.Token})
	revoke := func(r broker.RevokeTokens, want int) {
		t.Helper()
		if out, err := node.RevokeTokens(t.Context(), r); err != nil || out.Matched != want {
			t.Errorf("%+v ends %d sockets, %v, want %d", r, out.Matched, err, want)
		}
	}
	revoke(broker.RevokeTokens{TokenID: first.ID}, 2)
	for _, c := range []*brokertest.Client{ana, chat} {
		if e := c.Next(); e.Name != "sala:disconnect" || !strings.Contains(e.Args, `"code":"TOKEN_REVOKED"`) {
			t.Errorf("got %+v", e)
		}
	}
	ana.ExpectDisconnect()
	if answer := node.Dial(nil).Connect("/", map[string]string{"token": first.Token}); !strings.Contains(answer, "TOKEN_REVOKED") {
		t.Errorf("a revoked token is answered with %s", answer)
	}
	anaToo.ExpectNothing()
	revoke(broker.RevokeTokens{User: "ana", IssuedBefore: time.Now().Add(-time.Hour)}, 0)
	revoke(broker.RevokeTokens{User: "ana"}, 1)
	anaToo.Next()
	anaToo.ExpectDisconnect()
	ben.ExpectNothing()
	node.JoinAs(issue(t, node, broker.TokenRequest{User: "ana"}).Token).ExpectNothing() // a token made afterwards
	revoke(broker.RevokeTokens{TokenID: "nobody's"}, 0)

	for _, r := range []broker.RevokeTokens{
		{}, {TokenID: "a", User: "b"}, {TokenID: "a", IssuedBefore: time.Now()}, {TokenID: strings.Repeat("x", 256)}, {User: "a\n"},
	} {
		_, err := node.RevokeTokens(t.Context(), r)
		wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
	}
}

// A token that is revoked after it was verified, and before its socket can be found,
// still ends the socket. The keyring reads its clock whenever it checks the
// revocations, which lets the test act in between.
func TestRevokedWhileConnecting(t *testing.T) {
	var look atomic.Pointer[func()]
	ring := brokertest.Keyring(t, token.Options{Now: func() time.Time {
		if f := look.Load(); f != nil {
			(*f)()
		}
		return time.Now()
	}})
	node := brokertest.Start(t, broker.Options{Tokens: ring})
	issued := issue(t, node, broker.TokenRequest{User: "ana"})
	revoke := func() {
		list, err := node.ListNodes(t.Context())
		// Revoking looks at the clock itself.
		if err == nil && list.Nodes[0].Sockets == 1 && look.Swap(nil) != nil {
			if err := ring.Revocations().RevokeID(issued.ID); err != nil {
				t.Error(err)
			}
		}
	}
	look.Store(&revoke)
	ana := node.JoinAs(issued.Token)
	if e := ana.Next(); !strings.Contains(e.Args, "TOKEN_REVOKED") {
		t.Errorf("got %+v", e)
	}
	ana.ExpectDisconnect()
}

func TestUpdateReplacesData(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	ana := node.JoinAs(issue(t, node, broker.TokenRequest{User: "ana", Data: json.RawMessage(`"token's"`)}).Token)
	ben := node.Join("ben")
	wantData := func(c *brokertest.Client, want string) {
		t.Helper()
		if info, err := node.GetSocket(t.Context(), c.ID); err != nil || string(info.Data) != want {
			t.Errorf("the data is %s, %v, want %s", info.Data, err, want)
		}
	}
	wantData(ana, `"token's"`)
	users := broker.Target{Users: []string{"ana"}}
	for _, data := range []string{`{"n":9007199254740993}`, `[]`, `null`, `"mine"`} {
		if out, err := node.Update(t.Context(), users, json.RawMessage(data)); err != nil || out.Matched != 1 {
			t.Errorf("Update = %d, %v", out.Matched, err)
		}
		wantData(ana, strings.TrimPrefix(data, "null"))
		wantData(ben, "")
	}
	ana.Call("sala:token", issue(t, node, broker.TokenRequest{User: "ana", Data: json.RawMessage(`3`)}).Token)
	wantData(ana, `"mine"`) // whatever tokens come
	for _, data := range []string{``, `{`, `"` + strings.Repeat("x", 4<<10) + `"`} {
		_, err := node.Update(t.Context(), users, json.RawMessage(data))
		wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
	}
	_, err := node.Update(t.Context(), broker.Target{}, json.RawMessage(`1`))
	wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
}

// Sockets expire one by one, whichever connected first, left in between or got a new token.
func TestManySocketsExpire(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	join := func(user string, ttl time.Duration) *brokertest.Client {
		return node.JoinAs(issue(t, node, broker.TokenRequest{User: user, TTL: ttl}).Token)
	}
	last, first, renewed, left := join("last", 2*time.Second), join("first", time.Second), join("renewed", time.Second), join("left", time.Second)
	left.Close()
	fresh := issue(t, node, broker.TokenRequest{User: "renewed", TTL: time.Hour}).Token
	if got := renewed.Call("sala:token", fresh); !strings.HasPrefix(got, `[{"ok":true,`) {
		t.Fatalf("the new token is answered with %s", got)
	}
	for _, c := range []*brokertest.Client{first, last} {
		if e := c.Next(); e.Name != "sala:disconnect" || !strings.Contains(e.Args, "TOKEN_EXPIRED") {
			t.Errorf("got %+v, want the end of the token", e)
		}
		c.ExpectDisconnect()
	}
	if got := renewed.Call("sala:token", fresh); !strings.HasPrefix(got, `[{"ok":true,`) {
		t.Errorf("after the others have expired, the new token is answered with %s", got)
	}
}
