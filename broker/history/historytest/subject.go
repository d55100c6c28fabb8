package historytest

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/history"
)

// Subject is an engine under test, without entries.
type Subject struct {
	// Engine runs, and recognises keyed entries for [Window].
	Engine history.Engine
	// Now returns the engine's time, and Advance lets time pass.
	Now     func() time.Time
	Advance func(time.Duration)
	// Lose lets the store lose a part of what it has of a room; nil if it can't.
	Lose func(history.Room, Part)
	// EmptyKept is how long the position of a room is kept to which nothing was sent; 0 if as long as
	// that of others.
	EmptyKept time.Duration
}

// Window is how long engines under test recognise entries with an idempotency key.
const Window = 5 * time.Minute

// Part is what a store may lose of a room.
type Part int

// What a store may lose of a room.
const (
	All Part = iota
	Position
	Entries
)

// Test is a test of an engine.
type Test struct {
	Name string
	Run  func(*testing.T, Subject)
}

// Tests returns all tests. Each needs an engine of its own.
func Tests() []Test {
	return []Test{
		{"positions", testPositions},
		{"queries", testQueries},
		{"incomplete", testIncomplete},
		{"limits", testLimits},
		{"entries", testEntries},
		{"expiry", testExpiry},
		{"clear", testClear},
		{"keyed entries", testKeyed},
		{"order", testOrder},
		{"ends", testEnds},
		{"model", testModel},
	}
}

// room returns a room that keeps so many messages for a minute.
func room(name string, messages int) history.Room {
	return history.Room{Namespace: "/", Name: name, Messages: messages, TTL: time.Minute}
}

// entry returns an entry whose arguments are a number.
func (s Subject) entry(n int) history.Entry {
	return history.Entry{
		Event: "event", Args: json.RawMessage("[" + strconv.Itoa(n) + "]"), Time: s.Now(),
		ID: history.Identity{Node: "node", Number: uint64(n)}, //nolint:gosec // counts from 1
	}
}

// append records an entry and returns its positions.
func (s Subject) append(t *testing.T, e history.Entry, rooms ...history.Room) []history.Position {
	t.Helper()
	positions, err := s.tryAppend(e, rooms...)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return positions
}

func (s Subject) tryAppend(e history.Entry, rooms ...history.Room) (positions []history.Position, err error) {
	done := make(chan struct{})
	s.Engine.Append(rooms, e, func(p []history.Position, failed error) {
		positions, err = p, failed
		close(done)
	})
	select {
	case <-done:
		return positions, err
	case <-time.After(patience):
		return nil, errors.New("the append doesn't end")
	}
}

// patience is longer than anything should take.
const patience = 20 * time.Second

// fill records entries with the numbers from 1 to n and returns the last position.
func (s Subject) fill(t *testing.T, r history.Room, n int) (last history.Position) {
	t.Helper()
	for i := range n {
		last = s.append(t, s.entry(i+1), r)[0]
	}
	return last
}

// read reads a page.
func (s Subject) read(t *testing.T, r history.Room, q history.Query) history.Page {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	page, err := s.Engine.Read(ctx, r, q)
	if err != nil {
		t.Fatalf("Read(%+v): %v", q, err)
	}
	return page
}

func (s Subject) clear(t *testing.T, r history.Room) {
	t.Helper()
	if err := s.Engine.Clear(t.Context(), r); err != nil {
		t.Fatalf("Clear: %v", err)
	}
}

// offsets returns the offsets of the entries of a page.
func offsets(p history.Page) []uint64 {
	found := []uint64{}
	for _, e := range p.Entries {
		found = append(found, e.Offset)
	}
	return found
}
