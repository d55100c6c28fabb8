package history

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync/atomic"
	"time"
)

// ErrUnavailable is the error of an engine whose store can't be reached at the moment, or that has
// too much to do. Errors that wrap it say more.
var ErrUnavailable = errors.New("history: the store of the history can't be reached")

// PositionKept is how long a room's position is kept after its last message has expired.
const PositionKept = time.Hour

// Engine records messages of rooms and returns them. Its methods may be called concurrently. A
// [Room] comes from [Rules.Room], which decides whether a room has history at all.
type Engine interface {
	// Append starts to record an entry in each of the rooms, and calls done once, when that is
	// over. It never waits for anybody. It may keep the entry's slices, so the caller must not
	// change them afterwards.
	//
	// In a room, entries are recorded in the order of the calls of Append, and done is called in
	// that order for entries with the same rooms. The engine calls done before Append returns or
	// on a goroutine of its own, so done must not block.
	//
	// done gets the positions in the order of the rooms. A room in which the entry isn't recorded,
	// as far as the engine knows, has the zero Position, and then err is the reason for one of
	// them, which is [ErrUnavailable]. Such a room gets a new epoch as soon as the store can be
	// reached, and keeps its entries.
	//
	// An entry with an idempotency key is recorded once: for the time that the engine was made
	// with, an entry with the same identity isn't recorded again in a room. done gets its first
	// position then.
	Append(rooms []Room, e Entry, done func(positions []Position, err error))

	// Read returns entries of a room, and where the room's history ends. Its error is
	// [ErrUnavailable] or that of ctx. The entries share memory with others, so the caller must not
	// change them.
	Read(ctx context.Context, r Room, q Query) (Page, error)

	// Clear removes all entries of a room, whose next one begins a new epoch. Its error is
	// [ErrUnavailable] or that of ctx; then it isn't known whether they are removed.
	Clear(ctx context.Context, r Room) error

	// Run does what has to be done in the background until ctx ends. It must be called, once, and
	// returns when nothing of the engine is running any more. Appends that it leaves undone fail.
	Run(ctx context.Context)

	// Stats returns counts for metrics.
	Stats() Stats
}

// Position is a place in the history of a room. The zero Position is before everything.
type Position struct {
	// Epoch is the room's epoch. It contains letters, digits and dots only, at most 64 of them.
	Epoch string
	// Offset is the number of the last entry before the place. Entries count from 1 in each epoch
	// that begins empty, without gaps.
	Offset uint64
}

// Page is what [Engine.Read] returns.
type Page struct {
	// Entries are the entries, in the order in which they were recorded.
	Entries []Recorded
	// End is the position of the room's newest entry, whether or not it is among Entries. Its
	// offset is 0 if there hasn't been one in this epoch.
	End Position
	// Complete is false if something is missing: the query's position is of another epoch or beyond
	// the end, or entries between it and those that are kept are gone. Without a position it is
	// true.
	Complete bool
	// More is true if Limit or Bytes has cut off entries that are kept.
	More bool
}

// Stats are counts of one engine.
type Stats struct {
	// Local is true if the entries are in this process. Otherwise Rooms, Bytes and Evicted are
	// zero, because other processes share them.
	Local bool
	// Rooms is how many rooms have entries or a position, and Bytes roughly the memory that they
	// take.
	Rooms, Bytes int64
	// Appended and Failed count entries by room: those that were recorded, and those that weren't.
	Appended, Failed int64
	// Evicted counts rooms that were dropped because memory was short.
	Evicted int64
	// Malformed counts entries that were left out of a page because no node has written them.
	Malformed int64
}

// Epochs makes epochs. It may be used concurrently.
type Epochs struct {
	prefix string
	last   atomic.Uint64
}

// NewEpochs returns a source of epochs that no other source makes.
func NewEpochs() *Epochs { return &Epochs{prefix: rand.Text()[:12] + "."} }

// Next returns an epoch.
func (e *Epochs) Next() string { return e.prefix + strconv.FormatUint(e.last.Add(1), 36) }
