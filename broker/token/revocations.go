package token

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// MaxTTL is the longest lifetime of a token issued here.
const MaxTTL = 30 * 24 * time.Hour

// Retention is how long a revocation is kept: until every token issued here before it has expired,
// with a margin for the clocks of other nodes.
const Retention = MaxTTL + 2*skew

// maxRevocations bounds the memory of [Revocations]: to about 30 MB if all ids and users have the
// longest names.
const maxRevocations = 100_000

// ErrTooManyRevocations says that nothing more can be revoked until older revocations end.
// Replacing the secret revokes all of its tokens.
var ErrTooManyRevocations = errors.New("too many tokens are revoked; replace the JWT secret that signed them instead")

// ErrNotKept says that something is revoked, but only until a restart.
var ErrNotKept = errors.New("the tokens are revoked, but this could not be saved in the state folder and a restart would forget it: check the log, then revoke them again")

// Revocation revokes one token, or the tokens of a user that were issued before some time. Either
// TokenID or User is set.
type Revocation struct {
	// TokenID is the "jti" of the token.
	TokenID string
	// User is the user whose tokens are revoked.
	User string
	// IssuedBefore limits a user's revocation to tokens issued earlier.
	IssuedBefore time.Time
	// Until is when the revocation ends.
	Until time.Time
}

// Revocations holds the revoked tokens, each for [Retention]. Its methods may be called
// concurrently.
type Revocations struct {
	// Static.
	now     func() time.Time
	limit   int
	journal *Journal // nil if revocations needn't survive a restart

	// Guarded by mu.
	mu     sync.RWMutex
	ids    map[string]time.Time // until when
	users  map[string]cutoff
	oldest time.Time // no entry ends earlier
}

// cutoff revokes the tokens of a user that were issued before a time.
type cutoff struct {
	issuedBefore, until time.Time
}

func newRevocations(now func() time.Time, limit int) *Revocations {
	return &Revocations{now: now, limit: limit, ids: make(map[string]time.Time), users: make(map[string]cutoff)}
}

// RevokeID revokes the token with an id, which must not be empty. Its errors are those of
// [Revocations.Merge].
func (r *Revocations) RevokeID(id string) error {
	return r.Merge([]Revocation{{TokenID: id, Until: r.now().Add(Retention)}})
}

// RevokeUser revokes the tokens of a user, which must not be empty, that were issued before a time.
// The zero time, and times in the future, mean now. Its errors are those of [Revocations.Merge].
func (r *Revocations) RevokeUser(user string, issuedBefore time.Time) error {
	now := r.now()
	if issuedBefore.IsZero() || issuedBefore.After(now) {
		issuedBefore = now
	}
	return r.Merge([]Revocation{{User: user, IssuedBefore: issuedBefore, Until: now.Add(Retention)}})
}

// Revoked reports whether a token with these claims is revoked. A token without the time of its
// issue counts as issued before every revocation of its user.
func (r *Revocations) Revoked(c Claims) bool {
	now := r.now()
	r.mu.RLock()
	defer r.mu.RUnlock()
	if until, ok := r.ids[c.ID]; ok && now.Before(until) {
		return true
	}
	cut, ok := r.users[c.User]
	return ok && now.Before(cut.until) && c.IssuedAt.Before(cut.issuedBefore)
}

// Snapshot returns all revocations in no particular order, for another node to merge.
func (r *Revocations) Snapshot() []Revocation {
	now := r.now()
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]Revocation, 0, len(r.ids)+len(r.users))
	for id, until := range r.ids {
		if now.Before(until) {
			all = append(all, Revocation{TokenID: id, Until: until})
		}
	}
	for user, cut := range r.users {
		if now.Before(cut.until) {
			all = append(all, Revocation{User: user, IssuedBefore: cut.issuedBefore, Until: cut.until})
		}
	}
	return all
}

// Merge adds revocations and writes them to the journal, if there is one. It is idempotent and
// commutative. If its error is [ErrTooManyRevocations], it has added as many as there is room for.
// If it wraps [ErrNotKept], it has added them, but not to the journal.
func (r *Revocations) Merge(revocations []Revocation) error {
	added, err := r.merge(revocations)
	if r.journal == nil || len(added) == 0 {
		return err
	}
	if failed := r.journal.add(added, r.Snapshot); failed != nil {
		return errors.Join(err, fmt.Errorf("%w (%w)", ErrNotKept, failed))
	}
	return err
}

// merge adds revocations and returns those that changed something.
func (r *Revocations) merge(revocations []Revocation) (added []Revocation, err error) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range revocations {
		if !now.Before(v.Until) || r.has(v) {
			continue
		}
		if r.add(now, v) {
			added = append(added, v)
		} else {
			err = ErrTooManyRevocations
		}
	}
	return added, err
}

// has reports whether v changes nothing. The caller holds mu.
func (r *Revocations) has(v Revocation) bool {
	if v.TokenID != "" {
		return !r.ids[v.TokenID].Before(v.Until)
	}
	cut := r.users[v.User]
	return !cut.until.Before(v.Until) && !cut.issuedBefore.Before(v.IssuedBefore)
}

// add adds v and reports whether there was room for it. The caller holds mu.
func (r *Revocations) add(now time.Time, v Revocation) bool {
	until, known := r.ids[v.TokenID]
	cut := r.users[v.User]
	if v.TokenID == "" {
		until, known = cut.until, !cut.until.IsZero()
	}
	if !known && !r.makeRoom(now) {
		return false
	}
	until = later(until, v.Until)
	if v.TokenID != "" {
		r.ids[v.TokenID] = until
	} else {
		r.users[v.User] = cutoff{issuedBefore: later(cut.issuedBefore, v.IssuedBefore), until: until}
	}
	if r.oldest.IsZero() || v.Until.Before(r.oldest) {
		r.oldest = v.Until
	}
	return true
}

// makeRoom removes entries that have ended if the limit is reached, and reports whether there is
// room. The caller holds mu.
func (r *Revocations) makeRoom(now time.Time) bool {
	if len(r.ids)+len(r.users) < r.limit {
		return true
	}
	if now.Before(r.oldest) {
		return false
	}
	r.oldest = time.Time{}
	keep := func(until time.Time) bool {
		if !now.Before(until) {
			return false
		}
		if r.oldest.IsZero() || until.Before(r.oldest) {
			r.oldest = until
		}
		return true
	}
	for id, until := range r.ids {
		if !keep(until) {
			delete(r.ids, id)
		}
	}
	for user, cut := range r.users {
		if !keep(cut.until) {
			delete(r.users, user)
		}
	}
	return len(r.ids)+len(r.users) < r.limit
}

// issueTime returns the time of issue for a new token of the user. Tokens have whole seconds, so a
// token issued right after a revocation would be revoked by it. Its time is then the next second.
func (r *Revocations) issueTime(user string) time.Time {
	at := r.now().Truncate(time.Second)
	r.mu.RLock()
	defer r.mu.RUnlock()
	if at.Before(r.users[user].issuedBefore) {
		at = at.Add(time.Second)
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
