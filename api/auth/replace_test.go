package auth

import (
	"errors"
	"slices"
	"testing"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
)

const (
	keyOne   = "one-0123456789abcdef"
	keyTwo   = "two-0123456789abcdef"
	keyThree = "three-0123456789abcdef"
)

func parseAll(t *testing.T, entries ...string) (keys []Key) {
	t.Helper()
	for _, entry := range entries {
		key, err := ParseKey(entry)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func (a *Authenticator) callerOf(t *testing.T, secret string) *Caller {
	t.Helper()
	c, err := a.Authenticate([]string{"Bearer " + secret}, func() string { return "127.0.0.1:1" })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReplace(t *testing.T) {
	for _, tt := range []struct {
		name, after              string
		added, rescoped, revoked []string
		stays                    bool
		reason                   string
		code                     broker.Code
	}{
		{name: "the same", after: "one=" + keyOne + ":rooms:read,emit:/chat", stays: true},
		{name: "the same scopes in another order", after: "one=" + keyOne + ":emit:/chat,rooms:read", stays: true},
		{name: "more scopes", after: "one=" + keyOne + ":rooms:read,emit:/chat,events", rescoped: []string{"one"}, code: broker.CodeUnavailable, reason: apierror.ReasonAPIKeyChanged},
		{name: "without a limit", after: "one=" + keyOne + ":rooms:read,emit", rescoped: []string{"one"}, code: broker.CodeUnavailable, reason: apierror.ReasonAPIKeyChanged},
		{name: "another name", after: "uno=" + keyOne + ":rooms:read,emit:/chat", rescoped: []string{"uno"}, code: broker.CodeUnavailable, reason: apierror.ReasonAPIKeyChanged},
		{name: "another secret", after: "one=" + keyThree + ":rooms:read,emit:/chat", added: []string{"one"}, revoked: []string{"one"}, code: broker.CodeUnauthenticated, reason: apierror.ReasonAPIKeyInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := New(parseAll(t, "one="+keyOne+":rooms:read,emit:/chat", "two="+keyTwo), 1)
			if err != nil {
				t.Fatal(err)
			}
			one, two := a.callerOf(t, keyOne), a.callerOf(t, keyTwo)
			got, err := a.Replace(parseAll(t, tt.after, "two="+keyTwo))
			if err != nil || !slices.Equal(got.Added, tt.added) || !slices.Equal(got.Rescoped, tt.rescoped) || !slices.Equal(got.Revoked, tt.revoked) {
				t.Errorf("%+v, %v", got, err)
			}
			if a.callerOf(t, keyTwo) != two || two.Cause() != nil {
				t.Error("a key that stays has lost its calls")
			}
			if tt.stays {
				if a.callerOf(t, keyOne) != one || one.Cause() != nil {
					t.Error("the key has changed")
				}
				return
			}
			<-one.Ended()
			var cause *broker.Error
			if !errors.As(one.Cause(), &cause) || cause.Code != tt.code || cause.Reason != tt.reason {
				t.Errorf("the cause is %v", one.Cause())
			}
			if err := one.Admit("/sala.v1.RoomService/ListRooms"); !errors.Is(err, one.Cause()) {
				t.Errorf("a call that was on its way gets %v", err)
			}
			_, err = a.Authenticate([]string{"Bearer " + keyOne}, func() string { return "127.0.0.1:1" })
			if known := err == nil; known != (len(tt.revoked) == 0) {
				t.Errorf("the next call gets %v", err)
			}
		})
	}
}

func TestReplaceRefuses(t *testing.T) {
	a, err := New(parseAll(t, "one="+keyOne), 0)
	if err != nil {
		t.Fatal(err)
	}
	one := a.callerOf(t, keyOne)
	for name, keys := range map[string][]Key{"none": nil, "the same twice": parseAll(t, "a="+keyTwo, "b="+keyTwo)} {
		if _, err := a.Replace(keys); err == nil || a.callerOf(t, keyOne) != one || one.Cause() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
