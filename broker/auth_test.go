package broker_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// TestVerifyAgreesWithConnect tries tokens with good and odd claims both ways:
// VerifyToken accepts a token exactly if a client can connect with it to at least one
// namespace, and otherwise refuses it with the reason that the client gets.
func TestVerifyAgreesWithConnect(t *testing.T) {
	namespaces := []string{"/", "/chat"}
	node := brokertest.Start(t, broker.Options{Namespaces: namespaces, MaxRoomsPerSocket: 3})
	rnd := rand.New(rand.NewPCG(10, 10))
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	long := strings.Repeat("r", 256)
	choices := map[string][]any{
		"sub":  {"ana", 7, "", nil, long, "a\x00", true},
		"exp":  {in(time.Hour), in(-time.Hour), nil, "soon"},
		"nbf":  {nil, in(-time.Hour), in(time.Hour), "x"},
		"jti":  {nil, "id", 5, long, []int{1}, ""},
		"sala": {nil, map[string]any{}, "x", 7},
	}
	grants := map[string][]any{
		"namespaces": {nil, []string{}, []string{"/chat"}, []string{"/", "/chat"}, []string{"/elsewhere"}, []string{""}, "/"},
		"rooms":      {nil, []string{"a", "b"}, []any{7, "8"}, []string{""}, []string{"a\nb"}, []string{long}, []string{"a", "b", "c"}, []string{"a", "b", "c", "d"}, []string{"a", "a", "a", "a"}, "a", []any{true}},
		"join":       {nil, []string{"room-*"}, []string{"**"}, []string{"**:a"}, []string{"a*b"}, []string{""}, []any{7}, []string{long}},
		"publish":    {nil, []string{"chat:**"}, []string{"*a"}, []any{nil}},
		"history":    {nil, []string{"chat:*"}, []string{"**:a"}, 7},
		"presence":   {nil, []string{"**"}, []string{""}},
		"broadcast":  {nil, true, false, "true"},
		"data":       {nil, map[string]any{"a": 1}, 5},
	}
	pick := func(from map[string][]any, into jwt.MapClaims) jwt.MapClaims {
		for name, values := range from {
			value := values[0] // mostly a good one, so that the odd ones come one at a time
			if rnd.IntN(4) == 0 {
				value = values[rnd.IntN(len(values))]
			}
			if value != nil {
				into[name] = value
			}
		}
		return into
	}
	reasons := make(map[string]int)
	for range 600 {
		claims := pick(choices, jwt.MapClaims{})
		if _, odd := claims["sala"]; !odd || rnd.IntN(4) > 0 {
			claims["sala"] = pick(grants, jwt.MapClaims{})
		}
		raw := sign(t, jwt.SigningMethodHS256, []byte(brokertest.Secret), claims)
		verdict := "OK"
		_, err := node.VerifyToken(t.Context(), raw)
		var failed *broker.Error
		if errors.As(err, &failed) {
			verdict = failed.Reason
		}
		var answers []string
		for _, namespace := range namespaces {
			c := node.Dial(nil)
			answers = append(answers, reasonOf(c.Connect(namespace, map[string]string{"token": raw})))
			c.Close()
		}
		// A namespace that the token isn't for says so; the token is good all the same.
		agrees := slices.Contains(answers, verdict) && (verdict == "OK" || !slices.Contains(answers, "OK"))
		if !agrees {
			t.Errorf("%v: VerifyToken says %s, connects %q", claims, verdict, answers)
		}
		reasons[verdict]++
	}
	for _, reason := range []string{"OK", "TOKEN_INVALID", "TOKEN_EXPIRED", "TOKEN_NOT_YET_VALID", "NAMESPACE_DENIED", "TOO_MANY_ROOMS"} {
		if reasons[reason] == 0 {
			t.Errorf("none of the tokens is %s, which tests little: %v", reason, reasons)
		}
	}
}

var codeInAnswer = regexp.MustCompile(`"code":"([A-Z_]+)"`)

// reasonOf returns OK, or why a client wasn't let in.
func reasonOf(answer string) string {
	if strings.HasPrefix(answer, "40") {
		return "OK"
	}
	if code := codeInAnswer.FindStringSubmatch(answer); code != nil {
		return code[1]
	}
	return fmt.Sprintf("neither: %q", answer)
}

// TestIssuedTokensConnect: a client can connect with a token that the broker issued.
func TestIssuedTokensConnect(t *testing.T) {
	node := brokertest.Start(t, broker.Options{MaxRoomsPerSocket: 2})
	for _, p := range []broker.Permissions{
		{Rooms: []string{"a", "b", "c"}}, {Rooms: []string{""}}, {Join: []string{"a*b"}}, {Publish: []string{"**:a"}}, {Join: []string{strings.Repeat("x", 256)}}, {Namespaces: []string{"/other"}},
	} {
		_, err := node.IssueToken(t.Context(), broker.TokenRequest{User: "ana", Permissions: p})
		wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
	}
	node.JoinAs(node.Token("ana", broker.Permissions{Rooms: []string{"a", "b"}, Join: []string{"room-*", "chat:**"}}))
}

// TestOneGrammarOfPatterns: a pattern means the same in a token and in a key.
func TestOneGrammarOfPatterns(t *testing.T) {
	node := brokertest.Start(t, chat())
	c := node.JoinAs(node.Token("ana", broker.Permissions{Join: []string{"room-*"}, Publish: []string{"log:a*:**"}}))
	for room, allowed := range map[string]bool{"room-42": true, "room-": true, "room": false, "room-4:log": false, "aroom-4": false} {
		if got := c.Call("join", map[string]string{"room": room}); (got == ok) != allowed {
			t.Errorf("join %q: %s", room, got)
		}
	}
	for room, allowed := range map[string]bool{"log:abc": true, "log:a:b:c": true, "log:b": false, "log": false} {
		if got := c.Call("my_event", map[string]string{"room": room}); (got == ok) != allowed {
			t.Errorf("publish to %q: %s", room, got)
		}
	}
}
