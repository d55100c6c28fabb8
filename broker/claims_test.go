package broker

import (
	"encoding/json"
	"hash/maphash"
	"reflect"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/token"
)

// Sockets keep what their tokens say, and share what they may do if it is the same.
func TestClaimsAreKept(t *testing.T) {
	b := &Broker{grants: grants{seed: maphash.MakeSeed()}}
	names := func(name string) []string { return []string{"x", name} }
	now := time.Now().Round(time.Microsecond)
	kinds := []token.Grant{
		{},
		{Broadcast: true},
		{Namespaces: names("a")},
		{Rooms: names("a")},
		{Rooms: names("b")},
		{Rooms: []string{"xa"}},
		{Join: names("a")},
		{Publish: names("a")},
		{History: names("a")},
		{Presence: names("a")},
		{Data: json.RawMessage(`1`)},
		{Rooms: names("a"), Data: json.RawMessage(`1`)},
	}
	for _, g := range kinds {
		for _, c := range []token.Claims{
			{User: "ana", Grant: g},
			{User: "ana", ID: "7", IssuedAt: now, ExpiresAt: now.Add(time.Hour), Grant: g},
			{User: "ana", ExpiresAt: time.Unix(99_999_999_999, 0), Grant: g},
		} {
			kept := b.keepClaims(c)
			got := kept.of("ana")
			if !got.IssuedAt.Equal(c.IssuedAt) || !got.ExpiresAt.Equal(c.ExpiresAt) || got.ExpiresAt.IsZero() != c.ExpiresAt.IsZero() ||
				got.User != c.User || got.ID != c.ID || !reflect.DeepEqual(got.Grant, c.Grant) {
				t.Errorf("%+v is kept as %+v", c, got)
			}
		}
	}
	one, other := b.grants.share(kinds[3]), b.grants.share(token.Grant{Rooms: names("a")})
	if one != other {
		t.Error("two sockets with the same grant don't share it")
	}
	if n := testing.AllocsPerRun(100, func() { b.grants.share(kinds[3]) }); n > 0 {
		t.Errorf("a grant that is shared takes %v allocations", n)
	}
}
