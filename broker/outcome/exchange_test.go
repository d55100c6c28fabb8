package outcome

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// nodes are nodes that reach each other, unless they are old or deaf.
type nodes struct {
	all  map[cluster.NodeID]*Exchange
	old  map[cluster.NodeID]bool // don't know the call
	full map[cluster.NodeID]bool // take no more batches

	mu     sync.Mutex
	silent map[cluster.NodeID]bool // don't say any more what their watchers want
}

func (n *nodes) silence(id cluster.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent[id] = true
}

func (n *nodes) isSilent(id cluster.NodeID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.silent[id]
}

func newNodes(names ...cluster.NodeID) *nodes {
	n := &nodes{
		all: make(map[cluster.NodeID]*Exchange), old: make(map[cluster.NodeID]bool),
		full: make(map[cluster.NodeID]bool), silent: make(map[cluster.NodeID]bool),
	}
	for _, name := range names {
		n.all[name] = NewExchange(ExchangeOptions{
			Recorder: newRecorder(),
			Ask: func(_ context.Context, m *wire.WatchOutcomes) (c Coverage) {
				if n.isSilent(name) {
					return Coverage{}
				}
				for id, other := range n.all {
					if id == name {
						continue
					}
					if n.old[id] || other.Watch(name, proto.CloneOf(m)) != nil {
						c.Partial, c.Missing = true, append(c.Missing, string(id))
					}
				}
				return c
			},
			Send: func(to cluster.NodeID, batch *wire.OutcomeBatch) error {
				if n.full[to] {
					return errors.New("full")
				}
				n.all[to].Receive(name, proto.CloneOf(batch))
				return nil
			},
		})
	}
	return n
}

// bubble runs a test with nodes, in a bubble.
func bubble(t *testing.T, test func(t *testing.T, n *nodes), names ...cluster.NodeID) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(names...)
		ctx, cancel := context.WithCancel(t.Context())
		for _, x := range n.all {
			go x.Run(ctx)
		}
		test(t, n)
		cancel()
		synctest.Wait()
	})
}

func take(w *Watcher) (names []string, missed uint64) {
	time.Sleep(2 * batchDelay) //nolint:forbidigo // in a bubble
	synctest.Wait()
	events, missed := w.Take()
	for _, e := range events {
		names = append(names, e.Name)
	}
	return names, missed
}

func TestWatchersSeeOtherNodes(t *testing.T) {
	bubble(t, func(t *testing.T, n *nodes) {
		n.old["c"] = true
		a, b := n.all["a"], n.all["b"]
		w, err := a.o.Recorder.Watch("web", Filter{Users: []string{"ana"}})
		if err != nil {
			t.Fatal(err)
		}
		a.Tell(t.Context())
		if got := a.Coverage(); !got.Partial || !slices.Equal(got.Missing, []string{"c"}) {
			t.Errorf("missing: %+v", got)
		}
		b.o.Recorder.Record(denied("ana", "one", "X"))
		b.o.Recorder.Record(denied("ben", "two", "X"))
		if names, missed := take(w); !slices.Equal(names, []string{"one"}) || missed != 0 {
			t.Errorf("%v, %d missed", names, missed)
		}
		time.Sleep(2 * lease) //nolint:forbidigo // the watcher is renewed meanwhile
		b.o.Recorder.Record(denied("ana", "three", "X"))
		if names, _ := take(w); !slices.Equal(names, []string{"three"}) {
			t.Errorf("after a while: %v", names)
		}
		a.o.Recorder.Unwatch(w)
		a.Changed()
		synctest.Wait()
		if b.o.Recorder.Active() {
			t.Error("the other node goes on")
		}
	}, "a", "b", "c")
}

// Outcomes that are too many at their source are missed there, and counted.
func TestSourceBoundsWhatItSends(t *testing.T) {
	bubble(t, func(t *testing.T, n *nodes) {
		a, b := n.all["a"], n.all["b"]
		w, _ := a.o.Recorder.Watch("web", Filter{})
		a.Tell(t.Context())
		for i := range maxQueued + 7 {
			b.o.Recorder.Record(denied("ana", fmt.Sprint(i), "X"))
		}
		names, missed := take(w)
		if len(names) != maxQueued || missed != 7 {
			t.Errorf("%d events, %d missed", len(names), missed)
		}
		n.full["a"] = true
		b.o.Recorder.Record(denied("ana", "lost", "X"))
		_, _ = take(w)
		n.full["a"] = false
		b.o.Recorder.Record(denied("ana", "next", "X"))
		if names, missed := take(w); !slices.Equal(names, []string{"next"}) || missed != 1 {
			t.Errorf("%v, %d missed", names, missed)
		}
	}, "a", "b")
}

func TestLostNodesAreForgotten(t *testing.T) {
	for name, lose := range map[string]func(n *nodes){
		"it is known to be lost": func(n *nodes) { n.all["b"].Gone("a") },
		"it says nothing more": func(n *nodes) {
			n.silence("a")
			time.Sleep(lease + 2*renewEvery) //nolint:forbidigo // in a bubble
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *nodes) {
				_, _ = n.all["a"].o.Recorder.Watch("web", Filter{})
				n.all["a"].Tell(t.Context())
				if !n.all["b"].o.Recorder.Active() {
					t.Fatal("the other node doesn't know")
				}
				lose(n)
				synctest.Wait()
				if n.all["b"].o.Recorder.Active() {
					t.Error("the other node goes on")
				}
			}, "a", "b")
		})
	}
}

// An event means the same at another node.
func TestWire(t *testing.T) {
	e := denied("ana", "say", "X")
	e.Time, e.Took, e.Count, e.WantsAck, e.Room, e.Address = time.Unix(7, 8), time.Second, 3, true, "a", "192.0.2.1:1"
	e.Target = Target{Everyone: true, Rooms: []string{"r"}, Users: []string{"u"}, Sockets: []string{"s"}, More: 2}
	e.Report = Report{Matched: 4, Queued: 3, Kept: 2, Dropped: 1, Partial: true, Missing: []string{"m"}, OtherNodes: true}
	e.Key, e.Limit, e.Message, e.Groups, e.Attachments = "k", "l", "m", []string{"g", ""}, [][]byte{{1}}
	raw, err := proto.Marshal(ToWire(&e))
	if err != nil {
		t.Fatal(err)
	}
	var w wire.OutcomeEvent
	if err := proto.Unmarshal(raw, &w); err != nil {
		t.Fatal(err)
	}
	got := FromWire("b", &w)
	e.Node = "b"
	e.Socket.ConnectTime, e.Socket.Node = got.Socket.ConnectTime, got.Socket.Node
	if fmt.Sprintf("%+v", *got.Socket) != fmt.Sprintf("%+v", *e.Socket) {
		t.Errorf("the socket is %+v, want %+v", got.Socket, e.Socket)
	}
	got.Socket = e.Socket
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", e) {
		t.Errorf("%+v\nwant %+v", got, e)
	}
}
