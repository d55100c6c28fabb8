package outcome

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/eventhub"
)

func newRecorder() *Recorder { return NewRecorder("node", slog.New(slog.DiscardHandler), false) }

// denied is a refused event of a user.
func denied(user, name, code string) Event {
	return Event{
		Kind: Message, Namespace: "/", Socket: &eventhub.Socket{ID: "s", User: user, Address: "192.0.2.1:5"},
		Name: name, Result: Denied, Code: code, Args: []byte(`["secret"]`),
	}
}

func TestFilter(t *testing.T) {
	refused := Event{Kind: Refused, User: "ana", Namespace: "/", Result: Denied, Code: "X"}
	said := denied("ana", "say", "X")
	said.Room = "a"
	relayed := Event{Kind: Message, Namespace: "/chat", Socket: &eventhub.Socket{User: "ben"}, Name: "say", Result: Relayed}
	emit := Event{Kind: Emit, Namespace: "/", Name: "news", Result: Sent, Target: Target{Rooms: []string{"a", "b"}, Users: []string{"ana"}}}
	early := Event{Kind: Limit, Address: "192.0.2.1:1", Limit: "handshakes_per_ip", Result: Denied}
	all := []Event{refused, said, relayed, emit, early}
	for name, tt := range map[string]struct {
		filter Filter
		want   []int
	}{
		"nothing":           {Filter{}, []int{0, 1, 2, 3, 4}},
		"a kind":            {Filter{Kinds: []Kind{Refused, Emit}}, []int{0, 3}},
		"a namespace":       {Filter{Namespaces: []string{"/"}}, []int{0, 1, 3}},
		"a user":            {Filter{Users: []string{"ana"}}, []int{0, 1, 3}},
		"a room":            {Filter{Rooms: []string{"b"}}, []int{3}},
		"a user and a room": {Filter{Users: []string{"ana"}, Rooms: []string{"a"}}, []int{1, 3}},
		"a name":            {Filter{Names: []string{"news"}}, []int{0, 3, 4}},
		"problems":          {Filter{Problems: true}, []int{0, 1, 4}},
	} {
		var got []int
		for i := range all {
			if tt.filter.match(&all[i]) {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// Whoever causes many problems pushes out only their own.
func TestProblemsAreShared(t *testing.T) {
	r := newRecorder()
	r.Record(denied("ana", "join", "JOIN_DENIED"))
	for i := range 1000 {
		r.Record(denied("ben", fmt.Sprint("e", i), "NO_HANDLER"))
		r.Record(Event{Kind: Refused, Namespace: "/", Address: fmt.Sprintf("192.0.2.%d:1", i%256), Result: Denied, Code: fmt.Sprint("C", i)})
		r.Record(Event{Kind: Limit, Address: fmt.Sprintf("192.0.%d.%d:1", i/256, i%256), Limit: "events", Result: Denied})
	}
	ana := r.ProblemsOf("/", "ana")
	if len(ana) != 1 || ana[0].Code != "JOIN_DENIED" || ana[0].Node != "node" || ana[0].Args != nil || ana[0].Count != 1 {
		t.Errorf("of ana: %+v", ana)
	}
	ben := r.ProblemsOf("/", "ben")
	if len(ben) != problemsEach || ben[0].Name != "e999" || ben[problemsEach-1].Name != fmt.Sprint("e", 1000-problemsEach) {
		t.Errorf("of ben: %d, from %s", len(ben), ben[0].Name)
	}
	if len(r.problems.places) != 2 || len(r.refusals.places) != problemKeys || len(r.floods.places) != limitKeys {
		t.Errorf("%d users, %d addresses and %d limits are remembered", len(r.problems.places), len(r.refusals.places), len(r.floods.places))
	}
}

func TestTheSameProblemCounts(t *testing.T) {
	r := newRecorder()
	for range 3 {
		r.Record(denied("ana", "say", "NO_HANDLER"))
		r.Record(Event{Kind: Limit, Namespace: "/", User: "ben", Address: "192.0.2.7:1", Limit: "events", Result: Denied, Code: "RATE_LIMITED"})
	}
	if got := r.ProblemsOf("/", "ana"); len(got) != 1 || got[0].Count != 3 {
		t.Errorf("remembered %+v", got)
	}
	if got := r.Limits(); len(got) != 1 || got[0].Count != 3 || got[0].User != "ben" || got[0].Address != "192.0.2.7:1" || got[0].Limit != "events" {
		t.Errorf("limits: %+v", got)
	}
}

func TestEmitsAreRemembered(t *testing.T) {
	r := newRecorder()
	for i := range 10 {
		r.RecordEmit(&Emitted{Namespace: "/", Name: fmt.Sprint("e", i), Key: "web", Target: Target{Rooms: []string{"a", "b", "c", "d", "e"}}, Report: Report{Matched: i}})
	}
	r.RecordEmit(&Emitted{Namespace: "/", Name: "all", Target: Target{Everyone: true}})
	r.RecordEmit(&Emitted{Namespace: "/", Name: "to ana", Target: Target{Users: []string{"ana"}, Rooms: []string{"a"}}})
	r.RecordEmit(&Emitted{Namespace: "/other", Name: "elsewhere", Target: Target{Rooms: []string{"a"}}})
	got := r.EmitsTo("/", "ana", nil, "a")
	var names []string
	for _, e := range got {
		names = append(names, e.Name)
	}
	if want := []string{"to ana", "all", "e9", "e8", "e7"}; !slices.Equal(names, want) {
		t.Errorf("remembered %v, want %v", names, want)
	}
	if e := got[2]; e.Kind != Emit || e.Key != "web" || e.Report.Matched != 9 || !slices.Equal(e.Target.Rooms, []string{"a", "b", "c", "d"}) || e.Target.More != 1 {
		t.Errorf("an emit: %+v", e)
	}
	for i := range 2 * emitKeys {
		r.RecordEmit(&Emitted{Namespace: "/", Name: "e", Target: Target{Rooms: []string{fmt.Sprint(i)}}})
	}
	if n := len(r.emits.places); n != emitKeys {
		t.Errorf("%d rooms are remembered", n)
	}
}

func TestWatcherMissesWhatDoesNotFit(t *testing.T) {
	r := newRecorder()
	if r.Active() {
		t.Error("somebody watches a new recorder")
	}
	w, err := r.Watch("web", Filter{Users: []string{"ana"}})
	if err != nil || !r.Active() {
		t.Fatal(err, r.Active())
	}
	large := denied("ana", "large", "X")
	large.Args = bytes.Repeat([]byte("x"), 2*maxQueuedBytes)
	r.Record(large) // alone it fits, whatever its size
	for range 3 {
		r.Record(denied("ana", "say", "X"))
		r.Record(denied("ben", "say", "X"))
	}
	<-w.Ready()
	events, missed := w.Take()
	if len(events) != 1 || events[0].Name != "large" || missed != 3 {
		t.Errorf("%d events, %d missed", len(events), missed)
	}
	for range maxQueued + 5 {
		r.Record(denied("ana", "say", "X"))
	}
	if events, missed = w.Take(); len(events) != maxQueued || missed != 5 {
		t.Errorf("%d events, %d missed", len(events), missed)
	}
	r.Unwatch(w)
	r.Unwatch(w)
	<-w.Done()
	if r.Active() {
		t.Error("nobody watches, but the recorder is active")
	}
}

func TestWatchersAreBounded(t *testing.T) {
	r := newRecorder()
	owners := map[string]int{}
	for i := range 3 * MaxWatchers {
		owner := fmt.Sprint("key", i%3)
		if _, err := r.Watch(owner, Filter{}); err == nil {
			owners[owner]++
		}
		if w := r.watchRemote(Filter{}, make(chan struct{}, 1)); w != nil {
			owners["other nodes"]++
		}
	}
	for owner, n := range owners {
		if owner != "other nodes" && n > MaxWatchersOfOwner {
			t.Errorf("%s has %d", owner, n)
		}
	}
	if got := owners["key0"] + owners["key1"] + owners["key2"]; got != MaxWatchers {
		t.Errorf("%d watchers, want %d", got, MaxWatchers)
	}
}

// Names that are long may be secrets in the wrong place.
func TestDebugLog(t *testing.T) {
	var log bytes.Buffer
	r := NewRecorder("node", slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), true)
	if !r.Active() {
		t.Error("a recorder that logs must be told everything")
	}
	e := denied("ana", "say\x1b[31m", "NO_HANDLER")
	e.Room = strings.Repeat("k", maxLoggable+1)
	r.Record(e)
	for _, want := range []string{"msg=outcome kind=message namespace=/ socket=s user=ana", `event="say\x1b[31m"`, `room="(41 bytes)"`, "result=refused code=NO_HANDLER"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log has arguments:\n%s", &log)
	}
}

// With nobody watching, a message of a backend costs no memory.
func TestRecordingAnEmitAllocatesNothing(t *testing.T) {
	r := newRecorder()
	m := &Emitted{Namespace: "/", Name: "e", Key: "web", Target: Target{Rooms: []string{"a", "b"}, Users: []string{"ana"}}}
	for range emitsEach {
		r.RecordEmit(m)
	}
	if n := testing.AllocsPerRun(100, func() { r.RecordEmit(m) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// socketOf returns a socket of a user.
func socketOf(id, user string) *eventhub.Socket {
	return &eventhub.Socket{ID: id, User: user, Namespace: "/", Address: "192.0.2.1:5", Data: []byte(`{"plan":"pro"}`)}
}

// Drops of a socket are gathered for a moment, and then shown and remembered.
func TestDropsAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w, err := r.Watch("web", Filter{Problems: true})
		if err != nil {
			t.Fatal(err)
		}
		ana := socketOf("s", "ana")
		r.RecordDrop(ana, "queue full", "slow", 1)
		r.RecordDrop(ana, "queue full", "slow", 2)
		if events, _ := w.Take(); len(events) > 0 || len(r.DropsOf("/", "ana")) > 0 {
			t.Errorf("shown at once: %+v", events)
		}
		<-time.After(2 * gatherTime)
		events, missed := w.Take()
		if len(events) != 1 || missed > 0 || events[0].Report.Dropped != 3 || events[0].Reason != "queue full" || events[0].Kind != Drop || events[0].Node != "node" {
			t.Errorf("shown: %+v, missed %d", events, missed)
		}
		r.RecordDrop(ana, "queue full", "slow", 4)
		<-time.After(2 * gatherTime)
		r.RecordDrop(ana, "undelivered", "gone", 1)
		r.RecordDrop(socketOf("anonymous", ""), "undelivered", "gone", 1)
		<-time.After(2 * gatherTime)
		drops := r.DropsOf("/", "ana")
		if len(drops) != 2 || drops[0].Reason != "undelivered" || drops[1].Report.Dropped != 7 || drops[1].Count != 2 || drops[1].Socket.Data != nil {
			t.Errorf("remembered: %+v", drops)
		}
		if len(r.dropped.places) != 1 {
			t.Errorf("the drops of %d users are remembered, want those of ana", len(r.dropped.places))
		}
	})
}

// Drops of many sockets at once take no more memory than those of some; viewers learn that there are
// more.
func TestDropsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		all, err := r.Watch("web", Filter{})
		if err != nil {
			t.Fatal(err)
		}
		emits, err := r.Watch("web", Filter{Kinds: []Kind{Emit}})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for i := range 3 * maxGathered {
				r.RecordDrop(socketOf(fmt.Sprint("s", i), fmt.Sprint("user", i%(2*problemKeys))), "undelivered", "gone", 1)
			}
			<-time.After(2 * gatherTime)
			if events, missed := all.Take(); len(events) != maxGathered || missed != 2*maxGathered {
				t.Errorf("%d events, %d missed", len(events), missed)
			}
			if _, missed := emits.Take(); missed > 0 {
				t.Errorf("a viewer of emits has missed %d", missed)
			}
		}
		if n := len(r.dropped.places); n != problemKeys || r.drops.drops != nil {
			t.Errorf("the drops of %d users are remembered, and of %d sockets gathered", n, len(r.drops.drops))
		}
		if n := len(r.DropsOf("/", "user1")); n > problemsEach {
			t.Errorf("%d drops of a user are remembered", n)
		}
	})
}

// Drops that are gathered when the recorder is closed are shown at once, and no timer runs afterwards.
func TestCloseRecordsDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w, err := r.Watch("web", Filter{Problems: true})
		if err != nil {
			t.Fatal(err)
		}
		r.RecordDrop(socketOf("s", "ana"), "undelivered", "gone", 3)
		r.Close()
		if events, _ := w.Take(); len(events) != 1 || events[0].Report.Dropped != 3 {
			t.Errorf("shown: %+v", events)
		}
		for range 2 {
			r.RecordDrop(socketOf("s", "ana"), "undelivered", "gone", 1)
			<-time.After(2 * gatherTime)
			if events, _ := w.Take(); len(events) > 0 {
				t.Errorf("shown after the end: %+v", events)
			}
			r.Close()
			if events, _ := w.Take(); len(events) != 1 {
				t.Errorf("shown by another call: %+v", events)
			}
		}
	})
}

// Every drop is shown once, whoever records it while others are shown.
func TestDropsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w, err := r.Watch("web", Filter{})
		if err != nil {
			t.Fatal(err)
		}
		const workers, rounds = 8, 50
		var all sync.WaitGroup
		for i := range workers {
			all.Go(func() {
				for n := range rounds {
					r.RecordDrop(socketOf(fmt.Sprint("s", n%(i+1)), "ana"), "queue full", "slow", 1)
					<-time.After(gatherTime / 7)
				}
			})
		}
		all.Wait()
		r.Close()
		shown := 0
		events, missed := w.Take()
		for _, e := range events {
			shown += e.Report.Dropped
		}
		if shown != workers*rounds || missed > 0 {
			t.Errorf("%d drops are shown, %d missed, want %d", shown, missed, workers*rounds)
		}
	})
}

func BenchmarkRecordDrop(b *testing.B) {
	for _, sockets := range []int{1, 1000} {
		b.Run(fmt.Sprint(sockets, "_sockets"), func(b *testing.B) {
			r := newRecorder()
			defer r.Close()
			dropped := make([]*eventhub.Socket, sockets)
			for i := range dropped {
				dropped[i] = socketOf(fmt.Sprint("ABCDEFGHIJ", i), "ana")
			}
			b.RunParallel(func(pb *testing.PB) {
				for i := rand.IntN(sockets); pb.Next(); i++ {
					r.RecordDrop(dropped[i%sockets], "queue full", "slow", 1)
				}
			})
		})
	}
}
