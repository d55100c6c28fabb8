package cluster_test

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// logBuffer is a log that the test reads.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A node whose clock is wrong is missing by name for the others, and they for it. No node waits for
// it, and the log names the clock.
func TestClocksDiffer(t *testing.T) {
	for name, test := range map[string]struct {
		skew time.Duration
		late bool // its clock jumps after it has joined
		log  string
	}{
		"ahead":          {time.Minute, false, `skew="1m0s ahead"`},
		"behind":         {-time.Hour, false, `skew="1h0m0s behind"`},
		"jumps ahead":    {45 * time.Second, true, `skew="45s ahead"`},
		"jumps far back": {-24 * time.Hour, true, `skew="24h0m0s behind"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { clocksDiffer(t, test.skew, test.late, test.log) })
		})
	}
}

func clocksDiffer(t *testing.T, skew time.Duration, late bool, want string) {
	x := clustertest.NewExchange()
	room := cluster.RoomTopic("/", "lobby")
	var mu sync.Mutex
	var off time.Duration
	set := func(to time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		off = to
	}
	wrong := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(off)
	}
	if !late {
		set(skew)
	}
	var all []*clustertest.Node
	var logs []*logBuffer
	for i := range 3 {
		log := &logBuffer{}
		o := cluster.Options{
			Bus: x.Bus(), Keys: [][]byte{[]byte("a key for tests that is long enough")},
			Logger: slog.New(slog.NewTextHandler(log, nil)),
		}
		if i == 2 {
			o.Now = wrong
		}
		node := clustertest.StartNode(t, o)
		<-node.Ready()
		node.Join(room)
		all, logs = append(all, node), append(logs, log)
	}
	<-time.After(10 * time.Second)
	if late {
		all[2].AwaitNodes(all...)
		set(skew)
		<-time.After(1100 * time.Millisecond) // a heartbeat
	}
	a, b, odd := all[0], all[1], all[2]
	check := func(node *clustertest.Node, what string, result cluster.Result, err error, missing ...cluster.NodeID) {
		t.Helper()
		slices.Sort(missing)
		if err != nil || !slices.Equal(result.Missing, missing) || result.Unnamed > 0 {
			t.Errorf("%s of %s: %+v, %v; want %q missing", what, node.ID(), result, err, missing)
		}
	}
	for range 2 { // the second time, the nodes have taken each other for lost
		began := time.Now()
		result, err := a.PublishAndWait(t.Context(), cluster.Route{Topic: room}, nil)
		check(a, "the report", result, err, odd.ID())
		result, err = a.CallAll(t.Context(), nil)
		check(a, "the call", result, err, odd.ID())
		result, err = a.PublishAndWait(t.Context(), cluster.Route{Nodes: []cluster.NodeID{b.ID(), odd.ID()}}, nil)
		check(a, "the direct report", result, err, odd.ID())
		result, err = odd.PublishAndWait(t.Context(), cluster.Route{Topic: room}, nil)
		check(odd, "the report", result, err, a.ID(), b.ID())
		result, err = odd.CallAll(t.Context(), nil)
		check(odd, "the call", result, err, a.ID(), b.ID())
		if took := time.Since(began); took > 0 {
			t.Errorf("nodes that can't be heard are waited for, %v", took)
		}
		if refused := odd.ClockSkewed(); !slices.Equal(refused, sorted(a.ID(), b.ID())) {
			t.Errorf("%q are refused", refused)
		}
		<-time.After(20 * time.Second)
	}
	if err := odd.Health(); err == nil || !strings.Contains(err.Error(), "clock") || !odd.ClockWrong() {
		t.Errorf("the odd one's trouble is %v", err)
	}
	if err := a.Health(); err != nil || a.ClockWrong() {
		t.Errorf("one of two that agree is in trouble: %v", err)
	}
	if text := logs[0].String(); !strings.Contains(text, want) || !strings.Contains(text, string(odd.ID())) {
		t.Errorf("the log doesn't say %s of %s:\n%s", want, odd.ID(), text)
	}
	if text := logs[2].String(); !strings.Contains(text, string(a.ID())) || !strings.Contains(text, string(b.ID())) {
		t.Errorf("the odd one's log names no others:\n%s", text)
	}
	set(0)
	<-time.After(10 * time.Second)
	for _, node := range all {
		node.AwaitNodes(all...)
		if len(node.ClockSkewed()) > 0 || node.Health() != nil {
			t.Errorf("after the clock was set: %q are refused, %v", node.ClockSkewed(), node.Health())
		}
	}
}

// After a wrong clock has been set, no result looks complete that isn't while the nodes that have
// taken each other for lost rejoin.
func TestClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := clustertest.NewExchange()
		room := cluster.RoomTopic("/", "lobby")
		var off atomic.Int64
		var all []*clustertest.Node
		for i := range 3 {
			o := cluster.Options{
				Bus:  &clustertest.Laggy{Bus: x.Bus(), Lag: 20 * time.Millisecond, Random: rand.New(rand.NewPCG(uint64(i), 1))},
				Keys: [][]byte{[]byte("a key for tests that is long enough")},
			}
			if i == 2 {
				o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
			}
			node := clustertest.StartNode(t, o)
			<-node.Ready()
			node.Join(room)
			all = append(all, node)
		}
		all[2].AwaitNodes(all...)
		off.Store(int64(45 * time.Second))
		<-time.After(10 * time.Second)
		off.Store(0)
		for range 300 {
			for _, node := range all {
				ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
				result, err := node.PublishAndWait(ctx, cluster.Route{Topic: room}, nil)
				cancel()
				if err == nil && !result.Partial() && len(result.Replies) < 2 {
					t.Fatalf("a report of %s looks complete: %+v", node.ID(), result)
				}
			}
		}
		for _, node := range all {
			node.AwaitNodes(all...)
		}
	})
}

func sorted(ids ...cluster.NodeID) []cluster.NodeID {
	slices.Sort(ids)
	return ids
}
