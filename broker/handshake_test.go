package broker_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/token"
)

// sign makes a token the way another program would.
func sign(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	raw, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestConnectRefused(t *testing.T) {
	var log safeBuffer
	node := brokertest.Start(t, broker.Options{
		Namespaces: []string{"/", "/chat"},
		Logger:     slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	in := time.Now().Add(time.Hour).Unix()
	secret := []byte(brokertest.Secret)
	manyRooms := make([]string, 1001)
	for i := range manyRooms {
		manyRooms[i] = strings.Repeat("r", i%5+1)
	}
	tests := map[string]struct {
		token string
		code  string
	}{
		"no token":          {"", "TOKEN_REQUIRED"},
		"garbage":           {"not.a.jwt", "TOKEN_INVALID"},
		"expired":           {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "ana", "exp": time.Now().Unix()}), "TOKEN_EXPIRED"},
		"no exp":            {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "ana"}), "TOKEN_INVALID"},
		"no user":           {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"exp": in}), "TOKEN_INVALID"},
		"wrong secret":      {sign(t, jwt.SigningMethodHS256, []byte("another"), jwt.MapClaims{"sub": "ana", "exp": in}), "TOKEN_INVALID"},
		"wrong hash":        {sign(t, jwt.SigningMethodHS512, secret, jwt.MapClaims{"sub": "ana", "exp": in}), "TOKEN_INVALID"},
		"none":              {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"sub": "ana", "exp": in}), "TOKEN_INVALID"},
		"RS256":             {rs256(in), "TOKEN_INVALID"},
		"not yet":           {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "ana", "exp": in, "nbf": in - 600}), "TOKEN_NOT_YET_VALID"},
		"above 8 KiB":       {strings.Repeat("x", 8<<10+1), "TOKEN_TOO_LARGE"},
		"above what's read": {strings.Repeat("x", 100_000), "TOKEN_TOO_LARGE"},
		"other namespace":   {node.Token("ana", broker.Permissions{Namespaces: []string{"/chat"}}), "NAMESPACE_DENIED"},
		"impossible room":   {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "ana", "exp": in, "sala": map[string]any{"rooms": []string{""}}}), "TOKEN_INVALID"},
		"foreign sala":      {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "ana", "exp": in, "sala": "x"}), "TOKEN_INVALID"},
		"too many rooms":    {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "ana", "exp": in, "sala": map[string]any{"rooms": manyRooms}}), "TOO_MANY_ROOMS"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := node.Dial(nil)
			answer := c.Connect("/", map[string]string{"token": test.token})
			var body struct {
				Message string
				Data    struct{ Code, Message string }
			}
			if !strings.HasPrefix(answer, "44") || json.Unmarshal([]byte(answer[2:]), &body) != nil {
				t.Fatalf("answer %q, want a CONNECT_ERROR", answer)
			}
			if body.Data.Code != test.code {
				t.Errorf("code %q (%s), want %q", body.Data.Code, body.Message, test.code)
			}
			if body.Message == "" || body.Message != body.Data.Message {
				t.Errorf("message %q, in data %q; want the same in both", body.Message, body.Data.Message)
			}
			if test.token != "" && (strings.Contains(log.String(), test.token) || strings.Contains(answer, test.token)) {
				t.Error("the token is in the log or in the answer")
			}
		})
	}
}

// rs256 makes a token whose header names RS256 and whose signature is HMAC's:
// the classic attack on verifiers that take the algorithm from the token.
func rs256(exp int64) string {
	enc := func(v any) string {
		raw, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	body := enc(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." + enc(map[string]any{"sub": "ana", "exp": exp})
	sig, _ := jwt.SigningMethodHS256.Sign(body, []byte(brokertest.Secret))
	return body + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// Each refusal costs a verification and a line in the log, so a connection has few.
func TestRefusalsAreLimited(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	c := node.Dial(nil)
	for range 10 {
		if answer := c.Connect("/", map[string]string{"token": "x"}); !strings.HasPrefix(answer, "44") {
			t.Fatalf("answer %q", answer)
		}
	}
	c.Connect("/", map[string]string{"token": "x"})
	c.ExpectClose()
	// A few are forgiven.
	c = node.Dial(nil)
	for range 10 {
		c.Connect("/", map[string]string{"token": "x"})
	}
	if answer := c.Connect("/", map[string]string{"token": node.Token("ana", brokertest.Everything)}); !strings.HasPrefix(answer, "40") {
		t.Errorf("answer %q", answer)
	}
	c.ExpectNothing()
}

func TestConnectWithForeignToken(t *testing.T) {
	node := brokertest.Start(t, broker.Options{
		Tokens:             brokertest.Keyring(t, token.Options{UserClaim: "user_id"}),
		DefaultPermissions: broker.Permissions{Rooms: []string{"lobby"}},
	})
	exp := time.Now().Add(time.Hour).Unix()
	for name, user := range map[string]any{"ana": "ana", "42": 42, "9007199254740993": 9007199254740993} {
		c := node.JoinAs(sign(t, jwt.SigningMethodHS256, []byte(brokertest.Secret), jwt.MapClaims{"user_id": user, "exp": exp}))
		info, err := node.GetSocket(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if info.User != name || len(info.Rooms) != 1 || info.Rooms[0] != "lobby" {
			t.Errorf("socket %+v, want the user %q in the lobby", info, name)
		}
	}
}

func TestTokenFromQueryAndHeader(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	raw := node.Token("ana", brokertest.Everything)
	t.Run("header", func(t *testing.T) {
		c := node.Dial(http.Header{"Authorization": {"Bearer " + raw}})
		if answer := c.Connect("/", nil); !strings.HasPrefix(answer, "40{") {
			t.Errorf("answer %q", answer)
		}
	})
	t.Run("query", func(t *testing.T) {
		c, err := node.DialPath("/socket.io/?EIO=4&transport=websocket&token="+raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer := c.Connect("/", nil); !strings.HasPrefix(answer, "40{") {
			t.Errorf("answer %q", answer)
		}
	})
}

func TestAnonymous(t *testing.T) {
	node := brokertest.Start(t, broker.Options{
		Anonymous: &broker.Permissions{Join: []string{"public:*"}},
		Rooms:     broker.RoomEvents{JoinEvent: "join"},
	})
	c := node.Dial(nil)
	if answer := c.Connect("/", nil); !strings.HasPrefix(answer, "40{") {
		t.Fatalf("answer %q", answer)
	}
	if got := c.Call("join", "public:news"); got != `[{"ok":true}]` {
		t.Errorf("join: %s", got)
	}
	if got := c.Call("join", "private"); !strings.Contains(got, "JOIN_DENIED") {
		t.Errorf("join of another room: %s", got)
	}
	// A bad token is refused even where none would do.
	if answer := node.Dial(nil).Connect("/", map[string]string{"token": "x"}); !strings.Contains(answer, "TOKEN_INVALID") {
		t.Errorf("answer %q", answer)
	}
}

func TestUnknownNamespace(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Namespaces: []string{"/chat"}})
	c := node.Dial(nil)
	if got, want := c.Connect("/nowhere", nil), `44/nowhere,{"message":"Invalid namespace","data":{"code":"NAMESPACE_NOT_FOUND","message":"Invalid namespace"}}`; got != want {
		t.Errorf("answer %q, want %q", got, want)
	}
	if got := c.Connect("/", map[string]string{"token": node.Token("ana", brokertest.Everything)}); !strings.HasPrefix(got, "44") {
		t.Errorf("answer %q: \"/\" is served though it isn't among the namespaces", got)
	}
}

func TestTokenExpiresWhileConnected(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	issued, err := node.IssueToken(t.Context(), broker.TokenRequest{User: "ana", TTL: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c := node.JoinAs(issued.Token)
	c.Expect("sala:disconnect", `[{"code":"TOKEN_EXPIRED","reason":"the token has expired"}]`)
	c.ExpectDisconnect()
	if time.Now().Before(issued.ExpiresAt) {
		t.Error("disconnected before the token expired")
	}
	c.ExpectClose()
}

// A client may send CONNECT as soon as it has read the handshake, and an event as soon
// as it has read the answer. Neither is lost.
func TestNothingIsLostRightAfterConnect(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Rooms: broker.RoomEvents{JoinEvent: "join"}})
	raw := node.Token("ana", brokertest.Everything)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 250 {
				c := node.JoinAs(raw)
				if got := c.Call("join", "lobby"); got != ok {
					t.Errorf("join: %s", got)
				}
				c.Close()
			}
		})
	}
	wg.Wait()
}

// safeBuffer is a log that is written and read at the same time.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *safeBuffer) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Reset()
}

// A connection that ends while its socket is being admitted leaves nothing behind.
func TestNoGhostsOfConnectionsThatDie(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	connect := `40{"token":"` + node.Token("ana", broker.Permissions{Rooms: []string{"lobby"}}) + `"}`
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 250 {
				c := node.Dial(nil)
				c.Send(connect)
				c.Close()
			}
		})
	}
	wg.Wait()
	deadline := time.After(time.Minute)
	for {
		list, err := node.ListNodes(t.Context())
		nodes := list.Nodes
		if err != nil {
			t.Fatal(err)
		}
		if nodes[0].Sockets+nodes[0].Rooms == 0 {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%d sockets and %d rooms are left", nodes[0].Sockets, nodes[0].Rooms)
		}
	}
}
