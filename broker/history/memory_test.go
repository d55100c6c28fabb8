package history_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/history/historytest"
)

func TestMemory(t *testing.T) {
	for _, tt := range historytest.Tests() {
		t.Run(tt.Name, func(t *testing.T) {
			inBubble(t, history.MemoryOptions{}, func(t *testing.T, m *history.Memory) {
				tt.Run(t, historytest.Subject{Engine: m, Now: time.Now, Advance: advance})
			})
		})
	}
}

// advance lets time pass, and what is due happen.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in a bubble, this is how time passes
	synctest.Wait()
}

// inBubble runs a test with an engine that runs.
func inBubble(t *testing.T, o history.MemoryOptions, test func(*testing.T, *history.Memory)) {
	synctest.Test(t, func(t *testing.T) {
		m := history.NewMemory(o)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); m.Run(ctx) }()
		defer func() { stop(); <-done }()
		test(t, m)
	})
}

func room(name string) history.Room {
	return history.Room{Namespace: "/", Name: name, Messages: 100, TTL: time.Minute}
}

func entry(bytes int) history.Entry {
	return history.Entry{Event: "e", Args: json.RawMessage(`["` + strings.Repeat("x", bytes) + `"]`), Time: time.Now()}
}

// record appends an entry and returns its position.
func record(m *history.Memory, r history.Room, e history.Entry) (at history.Position) {
	m.Append([]history.Room{r}, e, func(p []history.Position, _ error) { at = p[0] })
	return at
}

func read(t *testing.T, m *history.Memory, r history.Room, q history.Query) history.Page {
	t.Helper()
	page, err := m.Read(t.Context(), r, q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// The room that was used least recently goes first and whole, and its readers learn that.
func TestEviction(t *testing.T) {
	inBubble(t, history.MemoryOptions{MaxBytes: 100_000}, func(t *testing.T, m *history.Memory) {
		a := record(m, room("a"), entry(30_000))
		b := record(m, room("b"), entry(30_000))
		read(t, m, room("a"), history.Query{Limit: 1}) // now b is the oldest
		record(m, room("c"), entry(50_000))
		if got := m.Stats(); got.Rooms != 2 || got.Evicted != 1 || got.Bytes > 100_000 || got.Bytes < 80_000 {
			t.Errorf("stats %+v", got)
		}
		if page := read(t, m, room("a"), history.Query{Since: &a, Limit: 1}); !page.Complete || page.End != a {
			t.Errorf("the room that stays: %+v", page)
		}
		page := read(t, m, room("b"), history.Query{Since: &b, Limit: 1})
		if page.Complete || page.End.Epoch == b.Epoch || page.End.Offset != 0 {
			t.Errorf("the room that went: %+v", page)
		}
	})
}

// Rooms that are read before they have entries go before rooms with entries, so readers of any
// number of names don't push messages out.
func TestEvictionBeginsWithEmptyRooms(t *testing.T) {
	inBubble(t, history.MemoryOptions{MaxBytes: 100_000}, func(t *testing.T, m *history.Memory) {
		a := record(m, room("a"), entry(30_000))
		for n := range 1000 {
			read(t, m, room(fmt.Sprint("empty ", n)), history.Query{Limit: 1})
		}
		if got := m.Stats(); got.Bytes > 100_000 || got.Evicted == 0 {
			t.Errorf("stats %+v", got)
		}
		if page := read(t, m, room("a"), history.Query{Since: &a, Limit: 1}); !page.Complete {
			t.Errorf("the room with an entry: %+v", page)
		}
	})
}

// A room that is too large alone loses its oldest entries, but not the newest.
func TestRoomTooLarge(t *testing.T) {
	inBubble(t, history.MemoryOptions{MaxBytes: 100_000}, func(t *testing.T, m *history.Memory) {
		var first history.Position
		for n := range 20 {
			if at := record(m, room("a"), entry(30_000)); n == 0 {
				first = at
			}
		}
		page := read(t, m, room("a"), history.Query{Since: &first, Limit: 100})
		if len(page.Entries) != 3 || page.Complete || page.End.Offset != 20 || page.End.Epoch != first.Epoch {
			t.Errorf("%d entries, complete %t, end %v", len(page.Entries), page.Complete, page.End)
		}
		record(m, room("a"), entry(200_000))
		if page := read(t, m, room("a"), history.Query{Limit: 100}); len(page.Entries) != 1 {
			t.Errorf("%d entries with one that is larger than all may be", len(page.Entries))
		}
	})
}

// Nothing is left of rooms that nobody uses, however many expire together.
func TestNothingIsLeft(t *testing.T) {
	inBubble(t, history.MemoryOptions{}, func(t *testing.T, m *history.Memory) {
		const rooms = 2500
		keyed := entry(10)
		keyed.IdempotencyKey = "key"
		for n := range rooms {
			record(m, room(fmt.Sprint(n)), entry(1000))
			record(m, room(fmt.Sprint(n)), keyed)
		}
		full := m.Stats()
		if full.Rooms != rooms || full.Bytes < rooms*1000 {
			t.Fatalf("stats %+v", full)
		}
		advance(2 * time.Minute)
		if got := m.Stats(); got.Rooms != rooms || got.Bytes > full.Bytes/2 {
			t.Errorf("when the entries have expired: %+v, before %+v", got, full)
		}
		advance(history.PositionKept + time.Minute)
		if got := m.Stats(); got.Rooms != 0 || got.Bytes != 0 || got.Evicted != 0 {
			t.Errorf("in the end: %+v", got)
		}
	})
}

// A message that goes to many rooms is in memory once.
func TestRoomsShareEntries(t *testing.T) {
	inBubble(t, history.MemoryOptions{}, func(t *testing.T, m *history.Memory) {
		e := entry(1000)
		m.Append([]history.Room{room("a"), room("b")}, e, func([]history.Position, error) {})
		a, b := read(t, m, room("a"), history.Query{Limit: 1}), read(t, m, room("b"), history.Query{Limit: 1})
		if &a.Entries[0].Entry().Args[0] != &b.Entries[0].Entry().Args[0] {
			t.Error("each room has its own copy")
		}
	})
}
