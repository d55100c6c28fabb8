package simulation

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

// When the timers of a bubble fire on several processors, the race detector may crash:
// https://go.dev/issue/78156.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	m.Run()
}

// TestSimulate runs simulations. The environment says which: SIMULATE_SEED is the first
// seed, SIMULATE_N is how many seeds there are from it, and with SIMULATE_LOG every run
// prints its timeline.
func TestSimulate(t *testing.T) {
	first, n := number(t, "SIMULATE_SEED", 1), number(t, "SIMULATE_N", defaultSeeds)
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { simulate(t, uint64(seed)) })
	}
}

// TestRegressions repeats seeds that have failed. They mean something only as long as
// plans and actions are drawn as they were then: who changes that replaces them by
// tests of what they have found, or drops them.
func TestRegressions(t *testing.T) {
	for _, r := range []struct {
		seed  uint64
		found string
	}{
		{169, "a request to return that was late took the session from its client"},
		{3869, "a client was told that its session was lost, which moved while its node asked for it"},
		{12787, "messages came after later ones, because the node that had the session had missed them"},
		{27322, "a client got a message to a room that it had left while its session moved"},
		{200006, "an unreported message to a socket that had moved was lost with its first node, which drained"},
		{308458, "a client was sent away for good because a late request of its own had overtaken it"},
	} {
		t.Run(fmt.Sprintf("seed=%d", r.seed), func(t *testing.T) {
			simulate(t, r.seed)
			if t.Failed() {
				t.Logf("this seed has once found that %s", r.found)
			}
		})
	}
}

// number reads a number from the environment.
func number(t *testing.T, name string, without int) int {
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s is %q, which isn't a number", name, text)
	}
	return n
}

// simulate runs the simulation of a seed and reports what is wrong with it.
func simulate(t *testing.T, seed uint64) {
	cryptotest.SetGlobalRandom(t, seed)
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, seed: seed, h: newHistory(), offline: make(map[*client]bool)}
		w.rnd = w.source(0)
		w.plan = drawPlan(rand.New(rand.NewPCG(seed, 1<<33)))
		w.begin()
		w.run()
		w.settle()
		w.freeze()
		w.end()
		found := append(check(w.h, &w.plan), w.failed...)
		report(t, w, found)
	})
}

// maxReported bounds the violations that a failing run prints.
const maxReported = 10

// report fails the test if something was found, with what is needed to find out why.
func report(t *testing.T, w *world, found []string) {
	if len(found) == 0 && os.Getenv("SIMULATE_LOG") == "" {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s\n", w.seed, &w.plan)
	for _, l := range timeline(w.h) {
		fmt.Fprintf(&b, "%12s  %s\n", l.at.Round(time.Microsecond*100), l.text)
	}
	for _, text := range found[:min(len(found), maxReported)] {
		fmt.Fprintf(&b, "VIOLATION: %s\n", text)
	}
	if len(found) > maxReported {
		fmt.Fprintf(&b, "and %d more\n", len(found)-maxReported)
	}
	fmt.Fprintf(&b, "repeat it with: make simulate SEED=%d N=1\n", w.seed)
	if len(found) > 0 {
		t.Error(b.String())
		return
	}
	t.Log(b.String())
}

// timeline returns the lines of a history in the order of time.
func timeline(h *history) []line {
	lines := slices.Clone(h.lines)
	for _, m := range h.messages {
		text := fmt.Sprintf("%s: message %d to %s", m.publisher, m.id, describe(m.target))
		for _, flag := range []struct {
			set  bool
			name string
		}{{m.volatile, "volatile"}, {m.unreported, "unreported"}, {m.wantsAck, "with ack"}, {m.report.Partial, "partial"}, {m.err != nil, "failed"}, {m.end.seq == 0, "unanswered"}} {
			if flag.set {
				text += ", " + flag.name
			}
		}
		if m.end.seq != 0 {
			text += fmt.Sprintf(", took %s, report %d/%d", m.end.at-m.begin.at, m.report.Queued, m.report.Matched)
		}
		lines = append(lines, line{m.begin.at, text})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.at - b.at) })
	return lines
}
