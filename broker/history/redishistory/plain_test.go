package redishistory_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/history/redishistory"
)

// calls returns how often a server has carried out each command.
func calls(server *clustertest.Redis) map[string]int {
	found := make(map[string]int)
	for line := range strings.Lines(server.Must("INFO commandstats")) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		count, _, _ := strings.Cut(rest, ",")
		found[name], _ = strconv.Atoi(count)
	}
	return found
}

// Scripts are for the first message in a room. The others take one command each, and so do readers of
// the newest messages and those that have missed some.
func TestPlainCommands(t *testing.T) {
	server := clustertest.Start(t)
	e := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
	at := record(t, e, 1, room("r"))
	server.Must("CONFIG RESETSTAT")
	for n := range 50 {
		record(t, e, n+2, room("r"))
	}
	for _, q := range []history.Query{{Limit: 20}, {Limit: 100}, {Limit: 1}, {Since: &at, Limit: 50}} {
		page, err := e.Read(t.Context(), room("r"), q)
		if err != nil || !page.Complete || page.End.Offset != 51 || page.Entries[len(page.Entries)-1].Offset != 51 {
			t.Errorf("%+v: %+v, %v", q, page, err)
		}
		if more := q.Limit < 50; page.More != more || len(page.Entries) != min(q.Limit, 51) {
			t.Errorf("%+v: %d entries, more %t", q, len(page.Entries), page.More)
		}
	}
	got := calls(server)
	if got["xadd"] != 50 || got["xrevrange"] != 7 || got["eval"]+got["evalsha"] != 0 {
		t.Errorf("the server has carried out %v", got)
	}
}

// Another node doesn't know what has happened to a room that this one has cleared or broken, or that
// Redis has lost.
func TestOtherNodeIsBehind(t *testing.T) {
	server := clustertest.Start(t)
	a := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
	b := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
	client := connect(t, server)
	r := room("r")
	last := record(t, b, 1, r)
	for name, happens := range map[string]func(){
		"cleared": func() {
			if err := a.Clear(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		},
		"broken": func() {
			a.BreakAll()
			await(t, "the room to be repaired", a.AllRepaired)
		},
		"lost": func() {
			if err := client.Do(t.Context(), client.B().Del().Key(a.Key(r)).Build()).Error(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		kept := len(read(t, b, r, history.Query{}).Entries)
		happens()
		if name != "broken" {
			kept = 0
		}
		next := record(t, b, 2, r)
		page := read(t, a, r, history.Query{Since: &last})
		if next.Epoch == last.Epoch || page.End != next || page.Complete || len(page.Entries) != kept+1 {
			t.Errorf("%s: %v after %v, then %+v", name, next, last, page)
		}
		last = next
	}
}

// Whatever a reader takes for an epoch, it learns that something is missing.
func TestUnknownEpochs(t *testing.T) {
	server := clustertest.Start(t)
	e := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
	record(t, e, 1, room("r"))
	for _, epoch := range []string{"0", "7", "nope", "EDAKTNXGAVZ4.1", "18446744073709551615", "18446744073709551616", "99999999999999999999", "-1"} {
		p := history.Position{Epoch: epoch, Offset: 1}
		for _, q := range []history.Query{{Since: &p, Limit: 10}, {Before: &p, Limit: 10}} {
			page, err := e.Read(t.Context(), room("r"), q)
			if err != nil || page.Complete || len(page.Entries) != 1 {
				t.Errorf("%s: %+v, %v", epoch, page, err)
			}
		}
	}
}

// Epochs grow even if the clock of the server has been set back.
func TestEpochsGrow(t *testing.T) {
	server := clustertest.Start(t)
	e := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
	client := connect(t, server)
	r := room("r")
	record(t, e, 1, r)
	add := client.B().Arbitrary("XADD").Keys(e.Key(r)).Args("7999999999999999999-7", "m", "").Build()
	if err := client.Do(t.Context(), add).Error(); err != nil {
		t.Fatal(err)
	}
	if got := record(t, e, 2, r); got != (history.Position{Epoch: "7999999999999999999", Offset: 8}) {
		t.Errorf("in an epoch of the future: %v", got)
	}
	for _, want := range []string{"8000000000000000000", "8000000000000000001"} {
		if err := e.Clear(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if page := read(t, e, r, history.Query{}); page.End != (history.Position{Epoch: want}) || len(page.Entries) != 0 {
			t.Errorf("the next epoch: %+v", page)
		}
		if got := record(t, e, 3, r); got != (history.Position{Epoch: want, Offset: 1}) {
			t.Errorf("in the next epoch: %v", got)
		}
	}
}

// A node drops what has expired in the rooms in which it has recorded, if nobody else has recorded
// there since. The position stays.
func TestExpiredIsDropped(t *testing.T) {
	server := clustertest.Start(t)
	a, b := newSubject(t, server, redishistory.Options{}), newSubject(t, server, redishistory.Options{})
	alone, shared := room("alone"), room("shared")
	last := record(t, a.engine, 1, alone)
	record(t, a.engine, 1, shared)
	a.advance(t, 40*time.Minute)
	b.advance(t, 0)
	record(t, a.engine, 2, shared)
	late := record(t, b.engine, 3, shared)
	a.advance(t, time.Hour)
	for r, want := range map[history.Room]int64{alone: 0, shared: 1} {
		await(t, "what has expired to be dropped in "+r.Name, func() bool {
			n, err := a.client.Do(t.Context(), a.client.B().Xlen().Key(a.engine.Key(r)).Build()).AsInt64()
			return err == nil && n == want
		})
	}
	if page := read(t, b.engine, alone, history.Query{Since: &last}); !page.Complete || page.End != last || len(page.Entries) != 0 {
		t.Errorf("where all has expired: %+v", page)
	}
	if page := read(t, b.engine, shared, history.Query{}); page.End != late || !slices.Equal(args(page), []string{"[3]"}) {
		t.Errorf("where another node has recorded: %+v", page)
	}
}

// The end of a stream is put off while messages are recorded, but not with each of them.
func TestStreamIsKept(t *testing.T) {
	server := clustertest.Start(t)
	s := newSubject(t, server, redishistory.Options{})
	r := room("r")
	kept := (r.TTL + history.PositionKept).Milliseconds()
	server.Must("FLUSHALL") // so that time passes for this room alone
	first := record(t, s.engine, 1, r)
	server.Must("CONFIG RESETSTAT")
	for n := range 40 {
		s.advance(t, 6*time.Second)
		record(t, s.engine, n+2, r)
		left, err := s.client.Do(t.Context(), s.client.B().Pttl().Key(s.engine.Key(r)).Build()).AsInt64()
		if err != nil || left < kept-1000 {
			t.Fatalf("after %d messages, the stream is kept for %d ms, %v", n, left, err)
		}
	}
	if page := read(t, s.engine, r, history.Query{Since: &first}); !page.Complete || len(page.Entries) != 40 {
		t.Errorf("%d entries, complete %t", len(page.Entries), page.Complete)
	}
	if got := calls(server); got["xadd"] != 40 || got["eval"]+got["evalsha"] != 0 || got["pexpire"] > 40+4 {
		t.Errorf("the server has carried out %v", got) // the test moves the end 40 times
	}
}

// A room that is too large to be returned at once is read in parts, as far as the page may have them.
func TestLargeRoom(t *testing.T) {
	server := clustertest.Start(t)
	e := start(t, redishistory.Options{Redis: redis.Options{URL: server.URL(), Timeout: 20 * time.Second}})
	r := room("r")
	for n := range 10 {
		large := entry(n)
		large.Args = json.RawMessage(`["` + strings.Repeat("x", 900_000) + `"]`)
		done := make(chan result, 1)
		e.Append([]history.Room{r}, large, func(p []history.Position, err error) { done <- result{p, err} })
		if got := end(t, done); got.err != nil {
			t.Fatal(got.err)
		}
	}
	for bytes, want := range map[int]int{1: 1, 2_000_000: 2, 3_000_000: 3, 1 << 30: 10} {
		page, err := e.Read(t.Context(), r, history.Query{Limit: 100, Bytes: bytes})
		if err != nil || len(page.Entries) != want || page.More != (want < 10) || page.End.Offset != 10 || page.Entries[want-1].Offset != 10 {
			t.Errorf("%d bytes: %d entries, more %t, end %v, %v", bytes, len(page.Entries), page.More, page.End, err)
		}
	}
}

// A room that is read keeps its position, also if nothing was ever sent to it or all has expired.
func TestReadKeepsPosition(t *testing.T) {
	server := clustertest.Start(t)
	s := newSubject(t, server, redishistory.Options{})
	sent, never := room("sent"), room("never")
	for r, pause := range map[history.Room]time.Duration{never: 50 * time.Second, sent: history.PositionKept + 30*time.Minute} {
		if r == sent {
			record(t, s.engine, 1, r)
		}
		last := read(t, s.engine, r, history.Query{}).End
		for n := range 4 {
			s.advance(t, pause)
			if page := read(t, s.engine, r, history.Query{Since: &last}); page.End != last || !page.Complete {
				t.Errorf("%s, read %d: %+v, want %v", r.Name, n+1, page, last)
			}
		}
	}
}

// A reader goes through a room page by page, in either direction. Entries from before a new epoch keep
// their ids. Whatever the size of a page, each entry comes once and in order, and each page says that it
// is complete.
func TestPagesAcrossEpochs(t *testing.T) {
	e := start(t, redishistory.Options{Redis: redisOptions(clustertest.Start(t).URL())})
	r := room("paged")
	r.Messages = 1000
	var want []string
	for n := 1; n <= 230; n++ {
		if n == 5 || n == 90 || n == 91 || n == 200 {
			e.BreakAll()
			await(t, "new epochs", e.AllRepaired)
		}
		record(t, e, n, r)
		want = append(want, "["+strconv.Itoa(n)+"]")
	}
	for _, limit := range []int{1, 7, 100, 150, 1000} {
		got, at := []string(nil), history.Position{}
		for more := true; more; {
			page := readPage(t, e, r, history.Query{Since: &at, Limit: limit})
			got = append(got, args(page)...)
			at, more = history.Position{Epoch: page.End.Epoch, Offset: uint64(len(got))}, page.More
		}
		if !slices.Equal(got, want) {
			t.Errorf("forward by %d: %d entries: %v", limit, len(got), got)
		}
		page := readPage(t, e, r, history.Query{Limit: limit})
		got = args(page)
		for page.More {
			at = history.Position{Epoch: page.End.Epoch, Offset: uint64(len(want) - len(got) + 1)}
			page = readPage(t, e, r, history.Query{Before: &at, Limit: limit})
			got = append(args(page), got...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("backward by %d: %d entries: %v", limit, len(got), got)
		}
	}
}

// readPage reads a page that must be complete, and have entries.
func readPage(t *testing.T, e *redishistory.Engine, r history.Room, q history.Query) history.Page {
	t.Helper()
	page, err := e.Read(t.Context(), r, q)
	if err != nil || !page.Complete || len(page.Entries) == 0 {
		t.Fatalf("%d entries, complete: %v, error %v", len(page.Entries), page.Complete, err)
	}
	return page
}
