package token

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// naiveRevocations is the model of Revocations: a list of everything that was ever revoked.
type naiveRevocations []Revocation

func (n naiveRevocations) revoked(now time.Time, c Claims) bool {
	// A later revocation of the same token or user extends the earlier one, and the latest cutoff
	// counts.
	var cut time.Time
	live := false
	for _, v := range n {
		if !now.Before(v.Until) {
			continue
		}
		if v.TokenID != "" && v.TokenID == c.ID {
			return true
		}
		if v.User != "" && v.User == c.User {
			live, cut = true, later(cut, v.IssuedBefore)
		}
	}
	return live && c.IssuedAt.Before(cut)
}

func TestRevocationsAgainstModel(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(1_700_000_000, 0)
		clock := func() time.Time { return now }
		r, other := newRevocations(clock, 1000), newRevocations(clock, 1000)
		var model naiveRevocations
		var stale []Revocation // an older snapshot, which arrives late
		word := func() string { return fmt.Sprintf("w%d", rnd.IntN(12)) }
		for range 600 {
			switch rnd.IntN(6) {
			case 0:
				most := []time.Duration{time.Minute, 20 * time.Minute, 20 * 24 * time.Hour}[rnd.IntN(3)]
				now = now.Add(time.Duration(rnd.Int64N(int64(most))))
			case 1:
				id := word()
				must(t, r.RevokeID(id))
				model = append(model, Revocation{TokenID: id, Until: now.Add(Retention)})
			case 2:
				user := word()
				before := now.Add(time.Duration(rnd.Int64N(int64(2*time.Hour))) - time.Hour)
				must(t, r.RevokeUser(user, before))
				if before.After(now) {
					before = now
				}
				model = append(model, Revocation{User: user, IssuedBefore: before, Until: now.Add(Retention)})
			case 3: // another node merges it, perhaps twice and in any order
				snapshot := r.Snapshot()
				rnd.Shuffle(len(snapshot), func(i, j int) { snapshot[i], snapshot[j] = snapshot[j], snapshot[i] })
				must(t, other.Merge(snapshot))
				must(t, other.Merge(stale))
				stale = snapshot
				if a, b := names(other.Snapshot()), names(snapshot); !slices.Equal(a, b) {
					t.Fatalf("seed %d: a merged store has\n%v\nwant\n%v", seed, a, b)
				}
			default:
				c := Claims{ID: word(), User: word()}
				if rnd.IntN(4) > 0 {
					c.IssuedAt = now.Add(-time.Duration(rnd.Int64N(int64(2 * time.Hour))))
				}
				if got, want := r.Revoked(c), model.revoked(now, c); got != want {
					t.Fatalf("seed %d: Revoked(%+v) = %t, want %t", seed, c, got, want)
				}
			}
		}
	}
}

func names(all []Revocation) []string {
	var lines []string
	for _, v := range all {
		lines = append(lines, fmt.Sprint(v.TokenID, "|", v.User, "|", v.IssuedBefore, "|", v.Until))
	}
	slices.Sort(lines)
	return lines
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRevocationsAreBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := newRevocations(func() time.Time { return now }, 4)
	must(t, r.RevokeID("a"))
	must(t, r.RevokeUser("a", time.Time{}))
	now = now.Add(time.Hour)
	must(t, r.RevokeID("b"))
	must(t, r.RevokeUser("b", time.Time{}))
	for name, err := range map[string]error{"id": r.RevokeID("c"), "user": r.RevokeUser("c", time.Time{})} {
		if !errors.Is(err, ErrTooManyRevocations) {
			t.Errorf("one %s over the limit: %v", name, err)
		}
	}
	must(t, r.RevokeID("b")) // which takes no room
	must(t, r.RevokeUser("a", time.Time{}))
	if r.Revoked(Claims{ID: "c"}) || r.Revoked(Claims{User: "c"}) || !r.Revoked(Claims{User: "a"}) {
		t.Error("what had no room is revoked, or what had isn't")
	}
	now = now.Add(Retention - time.Hour) // the first "a" has ended
	must(t, r.RevokeID("c"))
	if err := r.RevokeID("d"); !errors.Is(err, ErrTooManyRevocations) {
		t.Errorf("there is room for one more after one has ended: %v", err)
	}
	if r.Revoked(Claims{ID: "a"}) || len(r.ids)+len(r.users) != 4 {
		t.Errorf("what has ended is still there: %v %v", r.ids, r.users)
	}
}

func TestRevokedTokensAreRefused(t *testing.T) {
	now := time.Unix(1_700_000_000, 500_000_000) // within a second
	ring, err := NewKeyring(Options{Keys: []Key{{Secret: []byte(strings.Repeat("s", 32))}}, Now: func() time.Time { return now }})
	must(t, err)
	issue := func(user string) (string, string) {
		t.Helper()
		raw, claims, err := ring.Issue(user, time.Hour, Grant{})
		must(t, err)
		return raw, claims.ID
	}
	verdict := func(raw string) string {
		t.Helper()
		_, err := ring.Verify(raw)
		var refusal *Refusal
		if errors.As(err, &refusal) {
			return refusal.Reason
		}
		must(t, err)
		return ""
	}
	first, id := issue("ana")
	second, _ := issue("ana")
	other, _ := issue("ben")
	must(t, ring.Revocations().RevokeID(id))
	if a, b, c := verdict(first), verdict(second), verdict(other); a != ReasonRevoked || b != "" || c != "" {
		t.Errorf("after revoking one token the verdicts are %q, %q, %q", a, b, c)
	}
	must(t, ring.Revocations().RevokeUser("ana", time.Time{}))
	third, _ := issue("ana") // in the second in which ana's tokens were revoked
	if a, b, c := verdict(second), verdict(third), verdict(other); a != ReasonRevoked || b != "" || c != "" {
		t.Errorf("after revoking a user's tokens the verdicts are %q, %q, %q", a, b, c)
	}
}
