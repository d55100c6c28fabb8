// Package revocation shares the tokens that are revoked among the nodes of a
// cluster: with those that run, and through a table with those that start later.
package revocation

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/token"
)

const (
	// tableName is the name of the table.
	tableName = "revoked"
	// syncTimeout bounds one synchronisation with the table.
	syncTimeout = 30 * time.Second
	// retryDelay is the pause after a synchronisation that failed.
	retryDelay = 5 * time.Second
)

// Options configures a [Table]. All fields are required. The functions may be
// called concurrently.
type Options struct {
	// Tokens are the revocations that this node knows of.
	Tokens *token.Revocations
	// Mesh has the table.
	Mesh *cluster.Mesh
	// Tell sends a revocation to all other nodes, and reports whether all have got
	// it.
	Tell func(ctx context.Context, v token.Revocation) bool
	// SyncOthers has all other nodes call [Table.Sync].
	SyncOthers func(ctx context.Context) error
	// Learned is called after this node has learned of revocations. It disconnects
	// the sockets that they concern, and returns how many there were.
	Learned func() int
	// Isolated reports whether this node can't reach the others.
	Isolated func() bool
	Logger   *slog.Logger
}

// Table keeps this node's revocations and those of a table that all nodes share
// in step. If this node knows of one that the table lacks, because the bus was
// down or has lost its data, it adds it whenever it has connected. Its methods
// may be called concurrently.
type Table struct {
	// Static.
	opts Options
	wake chan struct{} // holds one value if a synchronisation is due

	// Guarded by mu.
	mu       sync.Mutex
	unstored map[string]token.Revocation // those the table is known to lack
	joined   bool                        // a node has joined that may not know of them
}

// New returns a table. Run must be called for it to do anything.
func New(o Options) *Table {
	return &Table{opts: o, wake: make(chan struct{}, 1), unstored: make(map[string]token.Revocation)}
}

// Sync has Run synchronise this node with the table soon. It doesn't wait.
func (t *Table) Sync() {
	select {
	case t.wake <- struct{}{}:
	default: // it is due already
	}
}

// Run synchronises whenever that is due, until ctx ends. It is called once.
func (t *Table) Run(ctx context.Context) {
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-retry.C:
		}
		err := t.sync(ctx)
		if err != nil && ctx.Err() == nil && !t.opts.Isolated() {
			t.opts.Logger.Warn("revocations can't be stored for nodes that start later; trying again", "error", err, "unstored", t.Unstored())
			t.tellJoined(ctx)
			retry.Reset(retryDelay)
		}
	}
}

// Add stores one revocation in the table and reports whether that succeeded. If
// not, Run stores it later. The caller bounds the time with ctx.
func (t *Table) Add(ctx context.Context, v token.Revocation) (stored bool) {
	if err := t.put(ctx, v); err != nil {
		t.mu.Lock()
		t.unstored[keyOf(v)] = v
		t.mu.Unlock()
		t.Sync()
		return false
	}
	return true
}

// Unstored returns how many revocations the table is known to lack.
func (t *Table) Unstored() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.unstored)
}

// NodeJoined tells a node that has joined what it can't find in the table.
func (t *Table) NodeJoined() {
	t.mu.Lock()
	t.joined = t.joined || len(t.unstored) > 0
	tell := t.joined
	t.mu.Unlock()
	if tell {
		t.Sync()
	}
}

// tellJoined tells the other nodes what the table lacks, if one has joined.
func (t *Table) tellJoined(ctx context.Context) {
	t.mu.Lock()
	var unstored []token.Revocation
	if t.joined {
		unstored = slices.Collect(maps.Values(t.unstored))
	}
	t.joined = false
	t.mu.Unlock()
	for _, v := range unstored {
		if !t.opts.Tell(ctx, v) {
			t.mu.Lock()
			t.joined = true // the next attempt tells them again
			t.mu.Unlock()
			return
		}
	}
}

// setUnstored replaces the set of revocations that the table lacks. One that is
// being added at the same time returns with the next synchronisation if it can't
// be stored.
func (t *Table) setUnstored(lacking []token.Revocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.unstored)
	for _, v := range lacking {
		t.unstored[keyOf(v)] = v
	}
}

// setStored notes that the table has v, or a later revocation of the same user.
func (t *Table) setStored(v token.Revocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u, ok := t.unstored[keyOf(v)]; ok && !u.IssuedBefore.After(v.IssuedBefore) {
		delete(t.unstored, keyOf(v))
	}
}

func (t *Table) put(ctx context.Context, v token.Revocation) error {
	raw, err := proto.Marshal(ToWire(v))
	if err != nil {
		return err
	}
	err = t.opts.Mesh.Put(ctx, tableName, keyOf(v), raw, time.Until(v.Until))
	if err == nil {
		t.setStored(v)
	}
	return err
}

// keyOf returns the key of a revocation in the table. Each user has one entry.
func keyOf(v token.Revocation) string {
	if v.User != "" {
		return "user:" + v.User
	}
	return "token:" + v.TokenID
}

// sync brings this node and the table to the same state, and has the other nodes
// do the same if it has added something.
func (t *Table) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	stored, err := t.load(ctx)
	if err != nil {
		return err
	}
	var lacking, outdated []token.Revocation
	for _, v := range t.opts.Tokens.Snapshot() {
		s, ok := stored[keyOf(v)]
		switch {
		case !ok || s.IssuedBefore.Before(v.IssuedBefore.Truncate(time.Millisecond)):
			lacking = append(lacking, v)
		case s.outdated:
			outdated = append(outdated, v)
		}
	}
	t.setUnstored(lacking)
	for _, v := range slices.Concat(lacking, outdated) {
		if err := t.put(ctx, v); err != nil {
			return err
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	// Other nodes may have read the table before. Or they know of a later
	// revocation of the same user, which this node has overwritten: then they add
	// it again, and this node reads it.
	return t.opts.SyncOthers(ctx)
}

// storedRevocation is an entry of the table.
type storedRevocation struct {
	token.Revocation
	outdated bool // signed with a key that may be removed soon
}

// load reads the table and adds to this node's revocations what it didn't know.
func (t *Table) load(ctx context.Context) (stored map[string]storedRevocation, err error) {
	entries, err := t.opts.Mesh.Entries(ctx, tableName)
	if err != nil {
		return nil, err
	}
	known := make(map[string]token.Revocation)
	for _, v := range t.opts.Tokens.Snapshot() {
		known[keyOf(v)] = v
	}
	stored = make(map[string]storedRevocation, len(entries))
	var news []token.Revocation
	for key, entry := range entries {
		var m wire.Revoke
		if err := proto.Unmarshal(entry.Value, &m); err != nil {
			t.opts.Logger.Error("a stored revocation can't be read", "error", err)
			continue
		}
		v := FromWire(&m)
		stored[key] = storedRevocation{v, entry.Outdated}
		if k, ok := known[key]; !ok || k.IssuedBefore.Before(v.IssuedBefore) {
			news = append(news, v)
		}
	}
	if len(news) == 0 {
		return stored, nil
	}
	if err := t.opts.Tokens.Merge(news); err != nil {
		t.opts.Logger.Error("this node can't keep all revocations of the others", "error", err)
	}
	disconnected := t.opts.Learned()
	t.opts.Logger.Info("learned of revocations", "revocations", len(news), "disconnected", disconnected)
	return stored, nil
}

// ToWire returns the form in which nodes send and store a revocation.
func ToWire(v token.Revocation) *wire.Revoke {
	m := &wire.Revoke{TokenId: v.TokenID, User: v.User, UntilUnixMs: v.Until.UnixMilli()}
	if v.User != "" {
		m.IssuedBeforeUnixMs = v.IssuedBefore.UnixMilli()
	}
	return m
}

// FromWire is the inverse of [ToWire].
func FromWire(m *wire.Revoke) token.Revocation {
	v := token.Revocation{TokenID: m.GetTokenId(), User: m.GetUser(), Until: time.UnixMilli(m.GetUntilUnixMs())}
	if v.User != "" {
		v.IssuedBefore = time.UnixMilli(m.GetIssuedBeforeUnixMs())
	}
	return v
}
