package losscheck

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a node that can be cut off, and what other nodes answer it.
type fixture struct {
	*Check
	isolated    atomic.Bool
	incarnation atomic.Uint64
	lost        atomic.Bool // other nodes consider this one lost
	silent      atomic.Bool // other nodes don't answer
	lostSince   []time.Time

	mu        sync.Mutex
	published []string
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := stopped()
	f.run(t)
	return f
}

// stopped returns a node that stands still.
func stopped() *fixture {
	f := &fixture{}
	f.Check = New(Options{
		Isolated:    f.isolated.Load,
		Incarnation: f.incarnation.Load,
		AskLost: func(context.Context) (lost, complete bool) {
			return f.lost.Load() && !f.silent.Load(), !f.silent.Load()
		},
		Lost: func(since time.Time) { f.lostSince = append(f.lostSince, since) },
	})
	return f
}

// run has the node go on.
func (f *fixture) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// end lets a socket end that connected before or after the node was cut off.
func (f *fixture) end(name string, connected time.Time) {
	f.SocketEnded(connected, func(already bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.published = append(f.published, fmt.Sprint(name, " ", already))
	})
}

func (f *fixture) want(t *testing.T, want ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if fmt.Sprint(f.published) != fmt.Sprint(want) {
		t.Errorf("published: %q, want %q", f.published, want)
	}
	f.published = nil
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// cutOff cuts the node off for d.
func (f *fixture) cutOff(d time.Duration) {
	f.isolated.Store(true)
	pass(d)
	f.isolated.Store(false)
}

// A node that has stood still has joined the others again before it takes note of the time.
func TestJoinsAgainBeforeItIsUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := time.Now().Add(-time.Second)
		f := stopped()
		pass(5 * time.Second)
		f.incarnation.Add(1)
		f.end("a", before)
		f.run(t)
		pass(time.Second)
		f.want(t, "a true")
		if f.Uncertain() {
			t.Error("it stays uncertain")
		}
	})
}

func TestCheck(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, f *fixture, before time.Time){
		"certain": func(t *testing.T, f *fixture, before time.Time) {
			f.cutOff(2 * time.Second)
			f.end("a", before)
			f.want(t, "a false")
			if f.Uncertain() {
				t.Error("it is uncertain after two seconds")
			}
		},
		"cut off and not lost": func(t *testing.T, f *fixture, before time.Time) {
			f.isolated.Store(true)
			pass(3 * time.Second)
			f.end("meanwhile", before)
			f.want(t, "meanwhile false") // backends of this node learn of it
			f.isolated.Store(false)
			f.end("old", before)
			f.end("new", time.Now())
			f.want(t, "new false")
			pass(time.Second)
			f.want(t, "old false")
			if f.Uncertain() || len(f.lostSince) > 0 {
				t.Error("it is still uncertain, or lost")
			}
		},
		"cut off and lost": func(t *testing.T, f *fixture, before time.Time) {
			f.lost.Store(true)
			f.cutOff(3 * time.Second)
			f.end("old", before)
			f.want(t)
			pass(time.Second)
			f.want(t, "old true")
			if len(f.lostSince) != 1 || f.lostSince[0].Before(before) {
				t.Errorf("lost since %v, want once since the node was cut off", f.lostSince)
			}
			f.end("later", time.Now())
			f.want(t, "later false")
		},
		"rejoined before it asks": func(t *testing.T, f *fixture, before time.Time) {
			f.isolated.Store(true)
			pass(3 * time.Second)
			f.incarnation.Add(1)
			f.isolated.Store(false)
			f.end("old", before)
			pass(time.Second)
			f.want(t, "old true")
		},
		"no answers": func(t *testing.T, f *fixture, before time.Time) {
			f.silent.Store(true)
			f.cutOff(3 * time.Second)
			f.end("old", before)
			pass(3 * time.Second)
			f.want(t)
			pass(2 * time.Second)
			f.want(t, "old false")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				before := time.Now()
				f := start(t)
				pass(time.Second)
				test(t, f, before)
			})
		})
	}
}
