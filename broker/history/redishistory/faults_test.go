package redishistory_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/history/redishistory"
)

func room(name string) history.Room {
	return history.Room{Namespace: "/", Name: name, Messages: 100, TTL: time.Hour}
}

func entry(n int) history.Entry {
	return history.Entry{
		Event: "e", Args: json.RawMessage("[" + strconv.Itoa(n) + "]"), Time: time.Now(), ID: history.Identity{Node: "node", Number: uint64(n)},
	}
}

// result is what an append has come to.
type result struct {
	positions []history.Position
	err       error
}

// begin begins an append.
func begin(e *redishistory.Engine, n int, rooms ...history.Room) <-chan result {
	done := make(chan result, 2) // one more than there should be
	e.Append(rooms, entry(n), func(p []history.Position, err error) { done <- result{p, err} })
	return done
}

// end waits for the end of an append.
func end(t *testing.T, done <-chan result) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("the append doesn't end")
		return result{}
	}
}

// record appends an entry.
func record(t *testing.T, e *redishistory.Engine, n int, r history.Room) history.Position {
	t.Helper()
	got := end(t, begin(e, n, r))
	if got.err != nil {
		t.Fatalf("append %d: %v", n, got.err)
	}
	return got.positions[0]
}

func read(t *testing.T, e *redishistory.Engine, r history.Room, q history.Query) history.Page {
	t.Helper()
	q.Limit = 1000
	page, err := e.Read(t.Context(), r, q)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return page
}

// args returns the arguments of a page's entries.
func args(p history.Page) (all []string) {
	for _, e := range p.Entries {
		all = append(all, string(e.Entry().Args))
	}
	return all
}

// While the server is gone, appends and reads fail. When it is back without data, the room begins
// again.
func TestServerRestarts(t *testing.T) {
	server := clustertest.Start(t)
	e := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
	before := record(t, e, 1, room("r"))
	server.Kill()
	if got := end(t, begin(e, 2, room("r"), room("s"))); !errors.Is(got.err, history.ErrUnavailable) || got.positions[0].Offset != 0 || got.positions[1].Offset != 0 {
		t.Errorf("append without a server: %+v", got)
	}
	if _, err := e.Read(t.Context(), room("r"), history.Query{Limit: 1}); !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("read without a server: %v", err)
	}
	if err := e.Clear(t.Context(), room("r")); !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("clear without a server: %v", err)
	}
	server.Restart()
	await(t, "appends to work again", func() bool { return end(t, begin(e, 3, room("r"))).err == nil })
	page := read(t, e, room("r"), history.Query{Since: &before})
	if page.Complete || page.End.Epoch == before.Epoch || !slices.Equal(args(page), []string{"[3]"}) {
		t.Errorf("after the restart: %+v", page)
	}
	if stats := e.Stats(); stats.Failed < 2 || stats.Appended != 2 || stats.Local {
		t.Errorf("stats %+v", stats)
	}
}

// A room whose append wasn't answered gets a new epoch and keeps its entries, even if this node
// doesn't use it again. Other rooms keep their epoch.
func TestBrokenRoom(t *testing.T) {
	for name, use := range map[string]func(*testing.T, *redishistory.Engine){
		"by itself": func(*testing.T, *redishistory.Engine) {},
		"by an append": func(t *testing.T, e *redishistory.Engine) {
			await(t, "an append", func() bool { return end(t, begin(e, 9, room("r"))).err == nil })
		},
		"by a read": func(t *testing.T, e *redishistory.Engine) {
			await(t, "a read", func() bool { _, err := e.Read(t.Context(), room("r"), history.Query{}); return err == nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := clustertest.Start(t)
			e := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
			other := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
			before, healthy := record(t, e, 1, room("r")), record(t, e, 1, room("healthy"))
			server.Freeze()
			if got := end(t, begin(e, 2, room("r"))); !errors.Is(got.err, history.ErrUnavailable) {
				t.Errorf("append to a frozen server: %+v", got)
			}
			if e.Broken() != 1 {
				t.Errorf("%d rooms are broken", e.Broken())
			}
			server.Thaw()
			use(t, e)
			await(t, "the room to be repaired", func() bool { return e.Broken() == 0 })
			page := read(t, other, room("r"), history.Query{Since: &before})
			if page.Complete || page.End.Epoch == before.Epoch || len(page.Entries) == 0 || string(page.Entries[0].Entry().Args) != "[1]" {
				t.Errorf("afterwards: %+v", page)
			}
			if page := read(t, other, room("healthy"), history.Query{Since: &healthy}); !page.Complete {
				t.Errorf("another room: %+v", page)
			}
		})
	}
}

// When too many rooms are broken to list them, all get a new epoch, on all servers.
func TestEverythingIsBroken(t *testing.T) {
	servers := clustertest.StartCluster(t)
	e := start(t, redishistory.Options{Redis: redisOptions(servers[0].URL())})
	before := make(map[string]history.Position)
	for n := range 60 {
		name := fmt.Sprint("r", n)
		before[name] = record(t, e, n, room(name))
	}
	e.BreakAll()
	await(t, "everything to be repaired", e.AllRepaired)
	for name, position := range before {
		page := read(t, e, room(name), history.Query{Since: &position})
		if page.Complete || page.End.Offset != 1 || len(page.Entries) != 1 {
			t.Errorf("%s: %+v", name, page)
		}
	}
}

// A server that starts again with what it has saved may lack the last entries, so rooms get a new
// epoch and keep their entries.
func TestServerKeepsData(t *testing.T) {
	server := clustertest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	e := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
	before := record(t, e, 1, room("r"))
	server.Restart()
	await(t, "a new epoch", func() bool {
		page, err := e.Read(t.Context(), room("r"), history.Query{Since: &before, Limit: 10})
		return err == nil && !page.Complete && page.End.Epoch != before.Epoch && slices.Equal(args(page), []string{"[1]"})
	})
}

// A replica that becomes the primary may lack the last entries, too.
func TestFailover(t *testing.T) {
	s := clustertest.StartSentinels(t)
	e := start(t, redishistory.Options{Redis: redisOptions(s.URL())})
	before := record(t, e, 1, room("r"))
	master := s.Master()
	master.Must("WAIT 1 5000")
	s.Failover()
	s.AwaitMaster(master)
	await(t, "a new epoch", func() bool {
		page, err := e.Read(t.Context(), room("r"), history.Query{Since: &before, Limit: 10})
		return err == nil && !page.Complete && page.End.Epoch != before.Epoch
	})
	await(t, "appends to work again", func() bool { return end(t, begin(e, 2, room("r"))).err == nil })
	if page := read(t, e, room("r"), history.Query{}); len(page.Entries) == 0 || string(page.Entries[0].Entry().Args) != "[1]" {
		t.Errorf("entries %q", args(page))
	}
}

// While one server of a Redis Cluster is gone, rooms of others are recorded without delay.
func TestShardFails(t *testing.T) {
	servers := clustertest.StartCluster(t)
	for _, server := range servers {
		server.Must("CONFIG SET cluster-require-full-coverage no")
	}
	e := start(t, redishistory.Options{Redis: redisOptions(servers[0].URL())})
	var dead, alive []history.Room
	for n := range 30 {
		r := room(fmt.Sprint("r", n))
		record(t, e, n, r)
		if redishistory.Slot(e.Key(r))*3/16384 == 1 {
			dead = append(dead, r)
		} else {
			alive = append(alive, r)
		}
	}
	servers[1].Kill()
	both := end(t, begin(e, 100, dead[0], alive[0]))
	if !errors.Is(both.err, history.ErrUnavailable) || both.positions[0].Offset != 0 || both.positions[1].Offset != 2 {
		t.Errorf("in a room of each: %+v", both)
	}
	for n, r := range alive {
		if got := end(t, begin(e, 200+n, r)); got.err != nil {
			t.Errorf("a room of a server that is there: %v", got.err)
		}
	}
	servers[1].Restart()
	clustertest.AwaitCluster(servers)
	await(t, "the room to be recorded again", func() bool { return end(t, begin(e, 300, dead[0])).err == nil })
}

// The appends that wait for a slow server are bounded. Further ones fail at once, and none ends twice.
func TestSlowServer(t *testing.T) {
	server := clustertest.Start(t)
	e := start(t, redishistory.Options{Redis: redisOptions(server.URL()), LaneBytes: 20_000})
	server.Freeze()
	var all []<-chan result
	for n := range 200 {
		all = append(all, begin(e, n, room("r")))
	}
	slow := 0
	for _, done := range all[len(all)-1:] {
		if got := end(t, done); got.err == nil || !strings.Contains(got.err.Error(), "too slow") {
			t.Errorf("the last of many: %v", got.err)
		}
	}
	for _, done := range all[:len(all)-1] {
		if got := end(t, done); got.err != nil && strings.Contains(got.err.Error(), "too slow") {
			slow++
		}
	}
	if slow < 100 {
		t.Errorf("only %d failed at once", slow)
	}
	server.Thaw()
	await(t, "appends to work again", func() bool { return end(t, begin(e, 1000, room("r"))).err == nil })
	for _, done := range all {
		select {
		case got := <-done:
			t.Fatalf("an append has ended twice: %+v", got)
		default:
		}
	}
}

// Appends that the engine leaves undone when it ends fail.
func TestEngineEnds(t *testing.T) {
	server := clustertest.Start(t)
	var all []<-chan result
	t.Run("while it runs", func(t *testing.T) {
		e := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
		server.Freeze()
		for n := range 2000 {
			all = append(all, begin(e, n, room("r")))
		}
	})
	for _, done := range all {
		if got := end(t, done); !errors.Is(got.err, history.ErrUnavailable) {
			t.Fatalf("an append: %+v", got)
		}
	}
	server.Thaw()
}

// A server that has forgotten the scripts gets them again, and appends stay in order.
func TestScriptsAreGone(t *testing.T) {
	server := clustertest.Start(t)
	e := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
	stop := make(chan struct{})
	var flushing sync.WaitGroup
	flushing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				server.Must("SCRIPT FLUSH")
			}
		}
	})
	r := room("r")
	r.Messages = 5000
	var all []<-chan result
	for n := range 5000 {
		all = append(all, begin(e, n, r))
		if n%50 == 0 {
			end(t, all[n])
		}
	}
	for n, done := range all {
		if n%50 == 0 {
			continue
		}
		if got := end(t, done); got.err != nil {
			t.Errorf("append %d: %v", n, got.err)
		}
	}
	close(stop)
	flushing.Wait()
	q := history.Query{Since: &history.Position{}, Limit: 5000}
	page, err := e.Read(t.Context(), r, q)
	if err != nil || len(page.Entries) != 5000 {
		t.Fatalf("%d entries, %v", len(page.Entries), err)
	}
	for n, got := range page.Entries {
		if got.Entry().ID.Number != uint64(n) {
			t.Fatalf("entry %d is number %d", n, got.Entry().ID.Number)
		}
	}
}

// Two nodes that record in one room at the same time agree on what is where.
func TestTwoNodes(t *testing.T) {
	servers := clustertest.StartCluster(t)
	a := start(t, redishistory.Options{Redis: redisOptions(servers[0].URL())})
	b := start(t, redishistory.Options{Redis: redisOptions(servers[1].URL())})
	r := room("r")
	r.Messages = 1000
	at := make(map[uint64]int)
	var all []<-chan result
	for n := range 400 {
		all = append(all, begin(a, n, r), begin(b, 1000+n, r))
	}
	for i, done := range all {
		got := end(t, done)
		if got.err != nil {
			t.Fatal(got.err)
		}
		number := i/2 + i%2*1000
		if other, taken := at[got.positions[0].Offset]; taken {
			t.Fatalf("%d and %d are both at %d", other, number, got.positions[0].Offset)
		}
		at[got.positions[0].Offset] = number
	}
	for _, e := range []*redishistory.Engine{a, b} {
		page := read(t, e, r, history.Query{Since: &history.Position{}})
		if len(page.Entries) != 800 || !page.Complete {
			t.Fatalf("%d entries, complete %t", len(page.Entries), page.Complete)
		}
		for _, entry := range page.Entries {
			if int(entry.Entry().ID.Number) != at[entry.Offset] {
				t.Fatalf("at %d is %d, want %d", entry.Offset, entry.Entry().ID.Number, at[entry.Offset])
			}
		}
	}
}

// Entries that no node has signed, or that were signed for another room, are left out, and the page
// isn't complete. Entries that are signed with an older key count.
func TestStrangersWrite(t *testing.T) {
	server := clustertest.Start(t)
	key := func(b byte) []byte { return []byte(strings.Repeat(string(b), 32)) }
	options := func(keys ...[]byte) redishistory.Options {
		return redishistory.Options{Redis: redisOptions(server.URL()), Keys: keys}
	}
	node, older, stranger := start(t, options(key('n'), key('o'))), start(t, options(key('o'))), start(t, options())
	r := room("r")
	first := record(t, older, 1, r)
	record(t, stranger, 2, r)
	record(t, node, 3, r)
	page := read(t, node, r, history.Query{Since: &first})
	if page.Complete || !slices.Equal(args(page), []string{"[3]"}) || node.Stats().Malformed != 1 {
		t.Errorf("%q, complete %t, stats %+v", args(page), page.Complete, node.Stats())
	}
	if page := read(t, node, r, history.Query{}); !slices.Equal(args(page), []string{"[1]", "[3]"}) {
		t.Errorf("all: %q", args(page))
	}

	from, to := node.Key(r), node.Key(room("other"))
	record(t, node, 4, room("other"))
	client := connect(t, server)
	if err := client.Do(t.Context(), client.B().Copy().Source(from).Destination(to).Replace().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if page := read(t, node, room("other"), history.Query{}); len(page.Entries) != 0 || page.Complete {
		t.Errorf("entries of another room: %q, complete %t", args(page), page.Complete)
	}
}

// Whatever others write to the keys of a room, a read fails with an error or leaves it out.
func TestMalformed(t *testing.T) {
	server := clustertest.Start(t)
	e := start(t, redishistory.Options{Redis: redisOptions(server.URL())})
	client := connect(t, server)
	for i, command := range [][]string{
		{"SET", "STREAM", "x"},
		{"XADD", "STREAM", "18446744073709551615-18446744073709551615", "m", "x"},
		{"XADD", "STREAM", "18446744073709551614-7", "m", "0123456789"},
		{"XADD", "STREAM", "18446744073709551614-0", "m", "0123456789"},
		{"XADD", "STREAM", "9000000000000000000-2", "s", "x"},
		{"XADD", "STREAM", "9000000000000000000-2", "a", "b", "c", "d"},
		{"XADD", "STREAM", "9000000000000000000-9000000000000000000", "m", ""},
		{"XSETID", "STREAM", "9000000000000000000-5"},
	} {
		r := room(fmt.Sprint("r", i))
		record(t, e, 1, r)
		command[1] = e.Key(r)
		if err := client.Do(t.Context(), client.B().Arbitrary(command[0]).Keys(command[1]).Args(command[2:]...).Build()).Error(); err != nil {
			t.Fatalf("%q: %v", command, err)
		}
		page, err := e.Read(t.Context(), r, history.Query{Limit: 10})
		if err == nil && len(page.Entries) > 1 || err != nil && !errors.Is(err, history.ErrUnavailable) {
			t.Errorf("%q: %+v, %v", command, page, err)
		}
	}
}

// The permissions that docs/scaling.md lists are enough.
func TestPermissions(t *testing.T) {
	server := clustertest.Start(t)
	server.Must("ACL SETUSER sala on >password ~sala:* ~{sala:* &sala:* -@all +hello +ping +client +role +cluster|slots +exists +set +del " +
		"+eval +evalsha +xadd +xrange +xrevrange +xtrim +xinfo|stream +memory|usage +time +get +pexpire +scan +info")
	e := start(t, redishistory.Options{Redis: redisOptions(strings.Replace(server.URL(), "//", "//sala:password@", 1))})
	keyed := entry(1)
	keyed.IdempotencyKey = "key"
	done := make(chan result, 1)
	e.Append([]history.Room{room("r")}, keyed, func(p []history.Position, err error) { done <- result{p, err} })
	if got := end(t, done); got.err != nil {
		t.Fatal(got.err)
	}
	short := room("r")
	short.TTL = 1 // what is there has expired
	if page := read(t, e, short, history.Query{}); len(page.Entries) != 0 {
		t.Errorf("entries %q", args(page))
	}
	record(t, e, 2, room("r"))
	read(t, e, room("r"), history.Query{})
	e.BreakAll()
	await(t, "everything to be repaired", e.AllRepaired)
	if err := e.Clear(t.Context(), room("r")); err != nil {
		t.Error(err)
	}
	record(t, e, 3, room("r"))
}

// Slots are those of the server.
func TestSlots(t *testing.T) {
	servers := clustertest.StartCluster(t)
	for _, key := range []string{"", "a", "{a}b", "b{a}c", "{}a", "{a", "a}", "{sala:history:/", "x{y}{z}", "{{a}}", "123456789"} {
		if key == "" {
			continue // can't be written as a word
		}
		if got := strconv.Itoa(redishistory.Slot(key)); got != servers[0].Must("CLUSTER KEYSLOT "+key) {
			t.Errorf("the slot of %q is %s", key, got)
		}
	}
}

// Clients choose which rooms they read, so what that leaves in Redis is gone soon.
func TestReadsLeaveLittle(t *testing.T) {
	server := clustertest.Start(t)
	s := newSubject(t, server, redishistory.Options{})
	sent, never := room("sent"), room("never")
	record(t, s.engine, 1, sent)
	for _, r := range []history.Room{sent, never} {
		read(t, s.engine, r, history.Query{})
	}
	for _, tt := range []struct {
		room      history.Room
		shortened bool
	}{{sent, false}, {never, true}} {
		left, err := s.client.Do(t.Context(), s.client.B().Pttl().Key(s.engine.Key(tt.room)).Build()).AsInt64()
		if err != nil || left <= 0 {
			t.Fatalf("%s is kept for %d ms, %v", tt.room.Name, left, err)
		}
		if shortened := left <= time.Minute.Milliseconds(); shortened != tt.shortened {
			t.Errorf("%s is kept for %d ms", tt.room.Name, left)
		}
	}
}
