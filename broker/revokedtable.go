package broker

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/token"
)

// revokedTable keeps what is revoked in a table that all nodes share, for those
// that were not there when it was. What a node knows and the table doesn't, as
// the bus was down or has lost it, it adds whenever it has connected.
type revokedTable struct {
	// Static.
	b    *Broker
	wake chan struct{} // holds one if the table is to be looked at

	// Guarded by mu.
	mu       sync.Mutex
	unstored map[string]token.Revocation // what the table lacks, as far as is known
	joined   bool                        // a node has joined that may not know of them
}

const (
	// revokedName is the table's name.
	revokedName = "revoked"
	// revokedTimeout bounds one look at the table.
	revokedTimeout = 30 * time.Second
	// revokedAgain is when to try again after a failure.
	revokedAgain = 5 * time.Second
)

func newRevokedTable(b *Broker) *revokedTable {
	return &revokedTable{b: b, wake: make(chan struct{}, 1), unstored: make(map[string]token.Revocation)}
}

// look has the table looked at soon.
func (t *revokedTable) look() {
	select {
	case t.wake <- struct{}{}:
	default: // it is going to be
	}
}

// run looks at the table when it is time, until ctx ends.
func (t *revokedTable) run(ctx context.Context) {
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-again.C:
		}
		if err := t.sync(ctx); err != nil && ctx.Err() == nil && !t.b.Isolated() {
			t.b.log.Warn("what is revoked can't be shared with nodes that start later; trying again", "error", err, "unstored", t.lacks())
			t.tellJoined(ctx)
			again.Reset(revokedAgain)
		}
	}
}

// add puts one revocation into the table, and reports whether that is done. If not,
// it is added later. It takes half of the time that the caller has, so that the
// nodes can still be told.
func (t *revokedTable) add(ctx context.Context, r RevokeTokens) (stored bool) {
	ctx, cancel := context.WithTimeout(ctx, min(queryTimeout, waitAtMost(ctx, 2*queryTimeout)/2))
	defer cancel()
	v := token.Revocation{TokenID: r.TokenID, User: r.User, IssuedBefore: r.IssuedBefore, Until: time.Now().Add(token.Retention)}
	if err := t.put(ctx, v); err != nil {
		t.mu.Lock()
		t.unstored[revokedKey(v)] = v
		t.mu.Unlock()
		t.look()
		return false
	}
	return true
}

// setUnstored takes in what the table lacks of all that this node knows. One that is
// being added comes back with the next look, if it can't be stored.
func (t *revokedTable) setUnstored(lacking []token.Revocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.unstored)
	for _, v := range lacking {
		t.unstored[revokedKey(v)] = v
	}
}

// setStored takes in that the table has a revocation, or a later one of the same user.
func (t *revokedTable) setStored(v token.Revocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u, ok := t.unstored[revokedKey(v)]; ok && !u.IssuedBefore.After(v.IssuedBefore) {
		delete(t.unstored, revokedKey(v))
	}
}

// lacks returns how many revocations the table lacks, as far as is known.
func (t *revokedTable) lacks() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.unstored)
}

// nodeJoined has a new node told what the table can't tell it.
func (t *revokedTable) nodeJoined() {
	t.mu.Lock()
	t.joined = t.joined || len(t.unstored) > 0
	tell := t.joined
	t.mu.Unlock()
	if tell {
		t.look()
	}
}

// tellJoined tells the other nodes what the table lacks, if one has joined.
func (t *revokedTable) tellJoined(ctx context.Context) {
	t.mu.Lock()
	var news []token.Revocation
	if t.joined {
		news = slices.Collect(maps.Values(t.unstored))
	}
	t.joined = false
	t.mu.Unlock()
	for _, v := range news {
		r := RevokeTokens{TokenID: v.TokenID, User: v.User, IssuedBefore: v.IssuedBefore}
		result, err := t.b.ask(ctx, &wire.Query{Query: &wire.Query_Revoke{Revoke: revocationTo(r)}})
		if err != nil || result.Partial() {
			t.mu.Lock()
			t.joined = true // again with the next attempt
			t.mu.Unlock()
			return
		}
	}
}

func (t *revokedTable) put(ctx context.Context, v token.Revocation) error {
	m := &wire.Revoke{TokenId: v.TokenID, User: v.User, UntilUnixMs: v.Until.UnixMilli()}
	if v.User != "" {
		m.IssuedBeforeUnixMs = v.IssuedBefore.UnixMilli()
	}
	err := t.b.mesh.Put(ctx, revokedName, revokedKey(v), encode(m), time.Until(v.Until))
	if err == nil {
		t.setStored(v)
	}
	return err
}

// revokedKey is where a revocation stands in the table: each user has one place.
func revokedKey(v token.Revocation) string {
	if v.User != "" {
		return "user:" + v.User
	}
	return "token:" + v.TokenID
}

// sync brings this node and the table to the same, and has the other nodes do so too
// if it has added something.
func (t *revokedTable) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, revokedTimeout)
	defer cancel()
	stored, err := t.load(ctx)
	if err != nil {
		return err
	}
	var news, outdated []token.Revocation
	for _, v := range t.b.opts.Tokens.Revocations().Snapshot() {
		s, ok := stored[revokedKey(v)]
		switch {
		case !ok || s.IssuedBefore.Before(v.IssuedBefore.Truncate(time.Millisecond)):
			news = append(news, v)
		case s.outdated:
			outdated = append(outdated, v)
		}
	}
	t.setUnstored(news)
	for _, v := range slices.Concat(news, outdated) {
		if err := t.put(ctx, v); err != nil {
			return err
		}
	}
	if len(news) == 0 {
		return nil
	}
	// They may have looked before, or know something later of the same user that
	// is overwritten now: then they add it again, and it is this node's turn to look.
	_, err = t.b.ask(ctx, &wire.Query{Query: &wire.Query_LookAtRevoked{LookAtRevoked: &wire.LookAtRevoked{}}})
	return err
}

// storedRevocation is a revocation as it stands in the table.
type storedRevocation struct {
	token.Revocation
	outdated bool // signed with a key that may go
}

// load takes in what the table has, and disconnects whom it concerns.
func (t *revokedTable) load(ctx context.Context) (stored map[string]storedRevocation, err error) {
	entries, err := t.b.mesh.Entries(ctx, revokedName)
	if err != nil {
		return nil, err
	}
	revocations := t.b.opts.Tokens.Revocations()
	known := make(map[string]token.Revocation)
	for _, v := range revocations.Snapshot() {
		known[revokedKey(v)] = v
	}
	stored = make(map[string]storedRevocation, len(entries))
	var news []token.Revocation
	for key, entry := range entries {
		var m wire.Revoke
		if err := proto.Unmarshal(entry.Value, &m); err != nil {
			t.b.log.Error("an entry of what is revoked can't be read", "error", err)
			continue
		}
		v := token.Revocation{TokenID: m.GetTokenId(), User: m.GetUser(), Until: time.UnixMilli(m.GetUntilUnixMs())}
		if v.User != "" {
			v.IssuedBefore = time.UnixMilli(m.GetIssuedBeforeUnixMs())
		}
		stored[key] = storedRevocation{v, entry.Outdated}
		if k, ok := known[key]; !ok || k.IssuedBefore.Before(v.IssuedBefore) {
			news = append(news, v)
		}
	}
	if len(news) == 0 {
		return stored, nil
	}
	if err := revocations.Merge(news); err != nil {
		t.b.log.Error("what is revoked elsewhere is not all kept here", "error", err)
	}
	n := t.b.disconnectRevoked("")
	t.b.log.Info("learned what is revoked", "revocations", len(news), "disconnected", n)
	return stored, nil
}
