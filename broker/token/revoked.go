package token

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// MaxTTL is how long a token that is issued here can live.
const MaxTTL = 30 * 24 * time.Hour

// Retention is how long a revocation is kept: until every token that was issued
// here before it has expired, whatever the clocks of other nodes say.
const Retention = MaxTTL + 2*skew

// maxRevocations bounds the memory of a [Revocations]: some 30 MB if all ids
// and users have the longest names.
const maxRevocations = 100_000

// ErrTooManyRevocations says that nothing more can be revoked until older
// revocations end. Whoever gets there takes away the secret instead.
var ErrTooManyRevocations = errors.New("too many tokens are revoked; replace the JWT secret that signed them instead")

// ErrNotKept says that something is revoked, but only until a restart.
var ErrNotKept = errors.New("the tokens are revoked, but this could not be saved in the state folder and a restart would forget it: check the log, then revoke them again")

// Revocation says that a token, or those of a user that were issued before some
// time, aren't valid any more.
type Revocation struct {
	// TokenID is the "jti" of the token. Empty if User is set.
	TokenID string
	// User is whose tokens are revoked. Empty if TokenID is set.
	User string
	// IssuedBefore limits it to the user's tokens that were issued earlier.
	IssuedBefore time.Time
	// Until is when the revocation is forgotten.
	Until time.Time
}

// Revocations remembers which tokens are revoked, each for 30 days: a token
// that is issued here has expired by then. It may be used concurrently.
type Revocations struct {
	// Static.
	now     func() time.Time
	limit   int
	journal *Journal // nil if what is revoked needn't survive a restart

	// Guarded by mu.
	mu     sync.RWMutex
	ids    map[string]time.Time // until when
	users  map[string]cutoff
	oldest time.Time // no entry ends before this
}

// cutoff is when a user's tokens began to count again.
type cutoff struct {
	issuedBefore, until time.Time
}

func newRevocations(now func() time.Time, limit int) *Revocations {
	return &Revocations{now: now, limit: limit, ids: make(map[string]time.Time), users: make(map[string]cutoff)}
}

// RevokeID revokes the token with an id, which isn't empty. The error is
// as Merge's.
func (r *Revocations) RevokeID(id string) error {
	return r.Merge([]Revocation{{TokenID: id, Until: r.now().Add(Retention)}})
}

// RevokeUser revokes the tokens of a user, who isn't empty, that were issued
// before a time. The zero time and any in the future mean now. The error is
// as Merge's.
func (r *Revocations) RevokeUser(user string, issuedBefore time.Time) error {
	now := r.now()
	if issuedBefore.IsZero() || issuedBefore.After(now) {
		issuedBefore = now
	}
	return r.Merge([]Revocation{{User: user, IssuedBefore: issuedBefore, Until: now.Add(Retention)}})
}

// Revoked reports whether a token that says this is revoked. One that doesn't
// say when it was issued counts as issued before every revocation of its user.
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

// Snapshot returns what is revoked, in no particular order, for another node to
// merge.
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

// Merge adds revocations; in what order and how often they come makes no
// difference. If there is a journal, they are in it then. The error is
// [ErrTooManyRevocations], and then as many are added as there is room for, or
// wraps [ErrNotKept], and then all are.
func (r *Revocations) Merge(revocations []Revocation) error {
	news, err := r.merge(revocations)
	if r.journal == nil || len(news) == 0 {
		return err
	}
	if failed := r.journal.add(news, r.Snapshot); failed != nil {
		return errors.Join(err, fmt.Errorf("%w (%w)", ErrNotKept, failed))
	}
	return err
}

// merge returns those that change something.
func (r *Revocations) merge(revocations []Revocation) (news []Revocation, err error) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range revocations {
		if !now.Before(v.Until) || r.has(v) {
			continue
		}
		if r.add(now, v) {
			news = append(news, v)
		} else {
			err = ErrTooManyRevocations
		}
	}
	return news, err
}

// has reports whether v says nothing new. The caller holds mu.
func (r *Revocations) has(v Revocation) bool {
	if v.TokenID != "" {
		return !r.ids[v.TokenID].Before(v.Until)
	}
	cut := r.users[v.User]
	return !cut.until.Before(v.Until) && !cut.issuedBefore.Before(v.IssuedBefore)
}

// add reports whether there was room. The caller holds mu.
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

// makeRoom forgets what has ended, if there is no room otherwise. The caller
// holds mu.
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

// issueTime returns when a token of the user that is made now says that it was
// issued. Tokens count whole seconds, so that one made right after a revocation
// would fall under it: it is dated ahead then, by a second at the most.
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
