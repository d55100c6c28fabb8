package historytest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/history"
)

// from returns the offsets from first to last.
func from(first, last uint64) []uint64 {
	all := []uint64{}
	for o := first; o <= last; o++ {
		all = append(all, o)
	}
	return all
}

// Entries count from 1 in each room, within an epoch of the room's own.
func testPositions(t *testing.T, s Subject) {
	a, b := room("a", 100), room("b", 100)
	first := s.append(t, s.entry(1), a, b)
	if first[0].Offset != 1 || first[1].Offset != 1 || first[0].Epoch == first[1].Epoch {
		t.Errorf("first positions %v", first)
	}
	second := s.append(t, s.entry(2), b)
	if want := (history.Position{Epoch: first[1].Epoch, Offset: 2}); second[0] != want {
		t.Errorf("second position %v, want %v", second[0], want)
	}
	same := room("a", 100)
	same.Namespace = "/other"
	if p := s.append(t, s.entry(3), same)[0]; p.Offset != 1 || p.Epoch == first[0].Epoch {
		t.Errorf("the same name in another namespace: %v", p)
	}
	if len(first[0].Epoch) > 64 || strings.Trim(first[0].Epoch, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.") != "" {
		t.Errorf("the epoch is %q", first[0].Epoch)
	}
	if p := s.append(t, s.entry(4)); len(p) != 0 {
		t.Errorf("without rooms: %v", p)
	}
}

func testQueries(t *testing.T, s Subject) {
	r := room("r", 10)
	end := s.fill(t, r, 25) // 16 to 25 are kept
	at := func(offset uint64) *history.Position { return &history.Position{Epoch: end.Epoch, Offset: offset} }
	for name, tt := range map[string]struct {
		q        history.Query
		want     []uint64
		complete bool
		more     bool
	}{
		"last":              {history.Query{Limit: 3}, from(23, 25), true, true},
		"all":               {history.Query{Limit: 100}, from(16, 25), true, false},
		"exactly all":       {history.Query{Limit: 10}, from(16, 25), true, false},
		"none":              {history.Query{}, from(1, 0), true, true},
		"negative limit":    {history.Query{Limit: -1}, from(1, 0), true, true},
		"since":             {history.Query{Since: at(20), Limit: 100}, from(21, 25), true, false},
		"since, limited":    {history.Query{Since: at(20), Limit: 2}, from(21, 22), true, true},
		"since the end":     {history.Query{Since: at(25), Limit: 100}, from(1, 0), true, false},
		"since the oldest":  {history.Query{Since: at(15), Limit: 100}, from(16, 25), true, false},
		"since lost ones":   {history.Query{Since: at(14), Limit: 100}, from(16, 25), false, false},
		"since 0":           {history.Query{Since: at(0), Limit: 100}, from(16, 25), false, false},
		"since the start":   {history.Query{Since: &history.Position{}, Limit: 2}, from(16, 17), false, true},
		"beyond the end":    {history.Query{Since: at(26), Limit: 100}, from(16, 25), false, false},
		"far beyond":        {history.Query{Since: at(1<<64 - 1), Limit: 100}, from(16, 25), false, false},
		"other epoch":       {history.Query{Since: &history.Position{Epoch: "x", Offset: 20}, Limit: 100}, from(16, 25), false, false},
		"before":            {history.Query{Before: at(20), Limit: 2}, from(18, 19), true, true},
		"before, to start":  {history.Query{Before: at(20), Limit: 100}, from(16, 19), true, false},
		"before the oldest": {history.Query{Before: at(16), Limit: 100}, from(1, 0), true, false},
		"before lost ones":  {history.Query{Before: at(15), Limit: 100}, from(1, 0), false, false},
		"before the end":    {history.Query{Before: at(26), Limit: 1}, from(25, 25), true, true},
		"before beyond":     {history.Query{Before: at(27), Limit: 1}, from(25, 25), false, true},
		"before elsewhere":  {history.Query{Before: &history.Position{Epoch: "x", Offset: 20}, Limit: 2}, from(24, 25), false, true},
		"both":              {history.Query{Since: at(20), Before: at(18), Limit: 1}, from(21, 21), true, true},
	} {
		page := s.read(t, r, tt.q)
		if got := offsets(page); !slices.Equal(got, tt.want) || page.Complete != tt.complete || page.More != tt.more || page.End != end {
			t.Errorf("%s: %v, complete %t, more %t, end %v; want %v, %t, %t, %v", name, got, page.Complete, page.More, page.End, tt.want, tt.complete, tt.more, end)
		}
		for _, e := range page.Entries {
			if want := fmt.Sprintf("[%d]", e.Offset); string(e.Entry().Args) != want {
				t.Errorf("%s: entry %d is %s", name, e.Offset, e.Entry().Args)
			}
		}
	}
}

// A reader of a room without entries gets a position with which it misses nothing later.
func testIncomplete(t *testing.T, s Subject) {
	r := room("r", 3)
	page := s.read(t, r, history.Query{Limit: 10})
	if len(page.Entries) != 0 || !page.Complete || page.More || page.End.Epoch == "" || page.End.Offset != 0 {
		t.Fatalf("of nothing: %+v", page)
	}
	if again := s.read(t, r, history.Query{Since: &page.End, Limit: 10}); again.End != page.End || !again.Complete {
		t.Errorf("again: %+v, want the end %v", again, page.End)
	}
	if start := s.read(t, r, history.Query{Since: &history.Position{}, Limit: 10}); !start.Complete {
		t.Errorf("from the start: %+v", start)
	}
	if p := s.append(t, s.entry(1), r)[0]; p != (history.Position{Epoch: page.End.Epoch, Offset: 1}) {
		t.Errorf("the first position is %v after the end was %v", p, page.End)
	}
	s.fill(t, r, 2)
	if got := s.read(t, r, history.Query{Since: &page.End, Limit: 10}); !got.Complete || len(got.Entries) != 3 {
		t.Errorf("after three: %+v", got)
	}
	s.fill(t, r, 1)
	if got := s.read(t, r, history.Query{Since: &page.End, Limit: 10}); got.Complete || len(got.Entries) != 3 {
		t.Errorf("after four: %+v", got)
	}
	one := room("one", 1) // the last value
	s.fill(t, one, 7)
	if got := offsets(s.read(t, one, history.Query{Limit: 10})); !slices.Equal(got, from(7, 7)) {
		t.Errorf("a room of one: %v", got)
	}
}

// A page ends where the next entry would exceed the query's bytes, but has at least one entry.
func testLimits(t *testing.T, s Subject) {
	r := room("r", 100)
	large := s.entry(0)
	large.Args = json.RawMessage(`["` + strings.Repeat("x", 10_000) + `"]`)
	for range 50 {
		s.append(t, large, r)
	}
	for bytes, want := range map[int]int{1: 1, 10_000: 1, 25_000: 2, 202_000: 20, 1 << 30: 50} {
		page := s.read(t, r, history.Query{Limit: 100, Bytes: bytes})
		if got := offsets(page); !slices.Equal(got, from(uint64(51-want), 50)) || page.More != (want < 50) { //nolint:gosec // small
			t.Errorf("the last %d bytes: %v, more %t", bytes, got, page.More)
		}
		page = s.read(t, r, history.Query{Since: &history.Position{}, Limit: 100, Bytes: bytes})
		if got := offsets(page); !slices.Equal(got, from(1, uint64(want))) || page.More != (want < 50) || !page.Complete { //nolint:gosec // small
			t.Errorf("the first %d bytes: %v, more %t", bytes, got, page.More)
		}
	}
	if page := s.read(t, r, history.Query{Limit: 7, Bytes: 1 << 30}); len(page.Entries) != 7 {
		t.Errorf("%d entries, want 7", len(page.Entries))
	}
}

// Everything in an entry comes back.
func testEntries(t *testing.T, s Subject) {
	r := room("r\u00e9 {x} \"*", 100)
	now := s.Now().Truncate(time.Millisecond)
	entries := []history.Entry{
		{Event: "e", Time: now},
		{Event: "\u00e9\U0001F600 \"", Args: json.RawMessage(`[ {"a" :1e400} , null]`), Time: now},
		{
			Event: strings.Repeat("e", 255), Args: json.RawMessage(`[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`),
			Attachments: [][]byte{{0, 1, 255}, nil}, Time: now, ID: history.Identity{Node: "ABCDEFGHIJ", Number: 1<<64 - 1},
			IdempotencyKey: strings.Repeat("k", 255),
		},
		{Event: "e", Args: json.RawMessage("[" + strings.Repeat("1,", 100_000) + "1]"), Time: now},
	}
	for _, e := range entries {
		s.append(t, e, r)
	}
	page := s.read(t, r, history.Query{Limit: 100})
	if len(page.Entries) != len(entries) {
		t.Fatalf("%d entries, want %d", len(page.Entries), len(entries))
	}
	for i := range page.Entries {
		e := page.Entries[i].Entry()
		if !e.Time.Equal(entries[i].Time) {
			t.Errorf("the time of entry %d is %v, want %v", i, e.Time, entries[i].Time)
		}
		e.Time = entries[i].Time
		if !reflect.DeepEqual(e, entries[i]) {
			t.Errorf("entry %d is %+v, want %+v", i, e, entries[i])
		}
	}
}

// Entries expire one by one, and the position after them.
func testExpiry(t *testing.T, s Subject) {
	r := room("r", 100)
	s.fill(t, r, 2)
	s.Advance(40 * time.Second)
	third := s.append(t, s.entry(3), r)[0]
	s.Advance(40 * time.Second)
	since := func(offset uint64) history.Page {
		return s.read(t, r, history.Query{Since: &history.Position{Epoch: third.Epoch, Offset: offset}, Limit: 100})
	}
	for offset, complete := range map[uint64]bool{1: false, 2: true} {
		if got := since(offset); !slices.Equal(offsets(got), from(3, 3)) || got.Complete != complete || got.End != third {
			t.Errorf("since %d: %+v", offset, got)
		}
	}
	s.Advance(time.Minute)
	for offset, complete := range map[uint64]bool{2: false, 3: true} {
		if got := since(offset); len(got.Entries) != 0 || got.Complete != complete || got.End != third {
			t.Errorf("after all have expired, since %d: %+v", offset, got)
		}
	}
	s.Advance(30 * time.Minute)
	fourth := s.append(t, s.entry(4), r)[0]
	if want := (history.Position{Epoch: third.Epoch, Offset: 4}); fourth != want {
		t.Errorf("then came %v, want %v", fourth, want)
	}
	s.Advance(history.PositionKept + 2*time.Minute)
	if got := since(4); got.Complete || got.End.Epoch == third.Epoch || got.End.Offset != 0 {
		t.Errorf("after the position has expired: %+v", got)
	}
}

func testClear(t *testing.T, s Subject) {
	r, other := room("r", 100), room("other", 100)
	s.clear(t, r)
	before, kept := s.fill(t, r, 5), s.fill(t, other, 5)
	s.clear(t, r)
	page := s.read(t, r, history.Query{Since: &before, Limit: 100})
	if len(page.Entries) != 0 || page.Complete || page.End.Epoch == before.Epoch || page.End.Offset != 0 {
		t.Errorf("after Clear: %+v", page)
	}
	if p := s.append(t, s.entry(6), r)[0]; p != (history.Position{Epoch: page.End.Epoch, Offset: 1}) {
		t.Errorf("then came %v", p)
	}
	if page := s.read(t, other, history.Query{Since: &kept, Limit: 100}); !page.Complete || page.End != kept {
		t.Errorf("the other room: %+v", page)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Engine.Clear(ended, r); err == nil {
		t.Error("Clear with a context that has ended: no error")
	}
	if _, err := s.Engine.Read(ended, r, history.Query{Limit: 1}); err == nil {
		t.Error("Read with a context that has ended: no error")
	}
}

// A keyed entry is recorded once, even after it has been dropped or the room was cleared.
func testKeyed(t *testing.T, s Subject) {
	r, other := room("r", 3), room("other", 3)
	keyed := s.entry(1)
	keyed.IdempotencyKey = "key"
	first := s.append(t, keyed, r)[0]
	for _, rest := range []func(){
		func() {},
		func() { s.fill(t, r, 5) },
		func() { s.clear(t, r) },
		func() { s.Advance(2 * time.Minute) },
	} {
		rest()
		end := s.read(t, r, history.Query{}).End
		if again := s.append(t, keyed, r)[0]; again != first {
			t.Errorf("again: %v, want %v", again, first)
		}
		if now := s.read(t, r, history.Query{}).End; now != end {
			t.Errorf("the repeat was recorded at %v", now)
		}
	}
	both := s.append(t, keyed, other, r)
	if both[0].Offset != 1 || both[1] != first {
		t.Errorf("in another room, too: %v", both)
	}
	different := keyed
	different.ID.Number++ // another emit with the key: the engine doesn't judge that
	if p := s.append(t, different, r)[0]; p.Offset != 1 {
		t.Errorf("another identity: %v", p)
	}
	s.Advance(Window)
	if p := s.append(t, keyed, r)[0]; p.Offset != 2 {
		t.Errorf("after the window: %v", p)
	}
	unkeyed := s.entry(77)
	a, b := s.append(t, unkeyed, r)[0], s.append(t, unkeyed, r)[0]
	if b.Offset != a.Offset+1 {
		t.Errorf("without a key: %v, then %v", a, b)
	}
}

// Appends that don't wait for each other are recorded and done in the order of the calls.
func testOrder(t *testing.T, s Subject) {
	const goroutines, each = 8, 200
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		done [goroutines][]int
	)
	shared := room("shared", goroutines*each)
	for g := range goroutines {
		own := room(fmt.Sprint("own ", g), each)
		all.Go(func() {
			for i := range each {
				e := s.entry(g*each + i + 1)
				all.Add(1)
				s.Engine.Append([]history.Room{own, shared}, e, func(positions []history.Position, err error) {
					defer all.Done()
					mu.Lock()
					defer mu.Unlock()
					if err != nil || positions[0].Offset != uint64(i+1) { //nolint:gosec // an index
						t.Errorf("append %d of %d: %v, %v", i, g, positions, err)
					}
					done[g] = append(done[g], i)
				})
			}
		})
	}
	all.Wait()
	for g, is := range done {
		if len(is) != each || !slices.IsSorted(is) {
			t.Errorf("done for %d was called in the order %v", g, is)
		}
	}
	page := s.read(t, shared, history.Query{Since: &history.Position{}, Limit: goroutines * each})
	if len(page.Entries) != goroutines*each || !page.Complete {
		t.Fatalf("%d entries, complete %t", len(page.Entries), page.Complete)
	}
	var last [goroutines]uint64
	for _, e := range page.Entries {
		number := e.Entry().ID.Number
		g := (number - 1) / each
		if number <= last[g] {
			t.Fatalf("entry %d of %d comes after %d", number, g, last[g])
		}
		last[g] = number
	}
}

// Rooms of all sizes of the rule keep exactly the newest.
func testEnds(t *testing.T, s Subject) {
	for messages := 1; messages <= 20; messages++ {
		r := room(fmt.Sprint("r", messages), messages)
		for n := 1; n <= 45; n++ {
			s.append(t, s.entry(n), r)
			if n%7 != 0 && n != 45 {
				continue
			}
			want := from(uint64(max(1, n-messages+1)), uint64(n))
			if got := offsets(s.read(t, r, history.Query{Limit: 100})); !slices.Equal(got, want) {
				t.Fatalf("%d messages, %d appended: %v", messages, n, got)
			}
		}
	}
}
