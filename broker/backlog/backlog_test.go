package backlog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/salabroker/sala/broker/engineio"
)

func (l *Backlog) offsets() (all []string) {
	c, i := l.first, l.start
	for range l.len {
		if i == chunkLen {
			c, i = c.next, 0
		}
		all = append(all, c.entries[i].event.offset)
		i++
	}
	return all
}

// model is a backlog as a list.
type model struct {
	entries []modelEntry
	evicted *modelEntry
}

type modelEntry struct {
	offset   string
	position uint64
	again    bool
	key      engineio.ConflationKey
	unsent   bool // no connection has had it
}

// replaces reports whether the later entry replaces the earlier one.
func (en modelEntry) replaces(earlier modelEntry) bool {
	return en.again && en.key != (engineio.ConflationKey{}) && en.key == earlier.key
}

// TestModel compares a backlog with a list, over random calls.
func TestModel(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { testModel(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func testModel(t *testing.T, r *rand.Rand) {
	budget := NewBudget(1 << 30)
	l := New(budget)
	limits := Limits{Events: 1 + r.IntN(200), Bytes: 1 << 20}
	var m model
	position := uint64(1)<<32 - 100 // so that its lower half wraps
	keys, away := 1+r.IntN(20), false
	push := func() {
		position += 1 + uint64(r.IntN(3))
		en := modelEntry{offset: fmt.Sprint("o", position), position: position, again: r.IntN(5) > 0, unsent: away}
		var f *engineio.Frame
		if en.again {
			en.key[0] = byte(r.IntN(keys))
			f = engineio.NewFrame([]byte("2[]")).Conflate(en.key)
		}
		e := budget.NewEvent(en.offset, f)
		if away {
			at := slices.IndexFunc(m.entries, func(earlier modelEntry) bool { return earlier.unsent && en.replaces(earlier) })
			if at >= 0 {
				m.entries = slices.Delete(m.entries, at, at+1)
			}
			if _, replaced := l.Keep(e, limits); replaced != (at >= 0) {
				t.Fatalf("replaced: %v, want %v", replaced, at >= 0)
			}
		} else {
			l.Push(e, position, limits)
		}
		e.Held(1)
		if len(m.entries) == limits.Events {
			if m.entries[0].again {
				m.evicted = &m.entries[0]
			}
			m.entries = m.entries[1:]
		}
		m.entries = append(m.entries, en)
	}
	for range 300 {
		switch r.IntN(14) {
		case 0:
			if away {
				continue
			}
			confirmed := position - uint64(r.IntN(2*limits.Events))
			l.Confirm(confirmed)
			m.entries = slices.DeleteFunc(m.entries, func(en modelEntry) bool { return en.position <= confirmed })
			if m.evicted != nil && m.evicted.position <= confirmed {
				m.evicted = nil
			}
		case 1:
			offset := fmt.Sprint("o", position-uint64(r.IntN(3*limits.Events)))
			at := slices.IndexFunc(m.entries, func(en modelEntry) bool { return en.offset == offset })
			want := at >= 0 || m.evicted == nil || m.evicted.offset == offset
			if got := l.Received(offset); got != want {
				t.Fatalf("Received %v, want %v", got, want)
			}
			if want {
				m.entries, m.evicted = m.entries[at+1:], nil
			}
		case 3:
			away = true
		case 4: // a queue has replaced a message
			if away || len(m.entries) == 0 {
				continue
			}
			replaced := m.entries[r.IntN(len(m.entries))].position
			l.Replaced(replaced)
			m.entries = slices.DeleteFunc(m.entries, func(en modelEntry) bool {
				return en.position == replaced && en.key != engineio.ConflationKey{}
			})
		case 2:
			away = false
			for i := len(m.entries) - 1; i >= 0; i-- {
				if slices.ContainsFunc(m.entries[i+1:], func(later modelEntry) bool { return later.replaces(m.entries[i]) }) {
					m.entries = slices.Delete(m.entries, i, i+1)
				}
			}
			var sent, want []string
			position++ // of the CONNECT packet
			at := position
			for i := range m.entries {
				if m.entries[i].again {
					at++
					want = append(want, m.entries[i].offset)
				}
				m.entries[i].position, m.entries[i].unsent = at, false
			}
			l.Resend(position, func(e *Event) uint64 {
				position++
				sent = append(sent, e.Offset())
				return position
			})
			if m.evicted != nil {
				m.evicted = nil
				l.Received(l.evictedOffset) // a client is never sent what isn't complete
			}
			if !slices.Equal(sent, want) {
				t.Fatalf("%v sent again, want %v", sent, want)
			}
		default:
			push()
		}
		var want []string
		for _, en := range m.entries {
			want = append(want, en.offset)
		}
		if got := l.offsets(); !slices.Equal(got, want) || l.Len() != len(want) {
			t.Fatalf("%d events %v, want %v", l.Len(), got, want)
		}
		if l.Complete() != (m.evicted == nil) {
			t.Fatalf("complete: %v", l.Complete())
		}
	}
	l.Close()
	if l.Bytes() != 0 || budget.Bytes() != 0 {
		t.Errorf("%d bytes in the backlog and %d in the budget, want none", l.Bytes(), budget.Bytes())
	}
}

// Backlogs of many goroutines share events, which they push, confirm and drop in any order, also
// before it is known how many hold an event. In the end nothing is counted.
func TestSharedEvents(t *testing.T) {
	budget := NewBudget(1 << 20)
	const backlogs, events = 8, 2000
	channels := make([]chan *Event, backlogs)
	var all sync.WaitGroup
	for i := range channels {
		channels[i] = make(chan *Event)
		all.Go(func() {
			l, position := New(budget), uint64(0)
			for e := range channels[i] {
				position++
				l.Push(e, position, Limits{Events: 200, Bytes: 1 << 20})
				if rand.IntN(50) == 0 {
					l.Confirm(position - uint64(rand.IntN(3)))
				}
				if rand.IntN(200) == 0 {
					l.Received(e.Offset())
				}
			}
			l.Close()
		})
	}
	for n := range events {
		e := budget.NewEvent(strconv.Itoa(n), engineio.NewFrame([]byte("2[]")))
		for _, c := range channels {
			c <- e
		}
		e.Held(backlogs)
	}
	for _, c := range channels {
		close(c)
	}
	all.Wait()
	if got := budget.Bytes(); got != 0 {
		t.Errorf("%d bytes are counted, want none", got)
	}
}

// Over the node's limit, a backlog keeps its share only.
func TestShares(t *testing.T) {
	const size = 1000
	budget := NewBudget(20 * size)
	frame := engineio.NewFrame(make([]byte, size-eventOverhead-64-11)) // as large as to make size bytes
	limits := Limits{Events: 1000, Bytes: 1 << 20}
	small, hog := New(budget), New(budget)
	defer small.Close()
	defer hog.Close()
	push := func(l *Backlog, n int) {
		for range n {
			e := budget.NewEvent("o", frame)
			l.Push(e, 1, limits)
			e.Held(1)
		}
	}
	push(&small, 5)
	push(&hog, 100)
	if hog.Complete() || hog.Len() > 16 {
		t.Errorf("the hog has %d events, complete: %v", hog.Len(), hog.Complete())
	}
	push(&small, 4)
	if !small.Complete() || small.Len() != 9 {
		t.Errorf("the other has %d events, complete: %v", small.Len(), small.Complete())
	}
}

// BenchmarkPushConfirm is what a healthy client costs.
func BenchmarkPushConfirm(b *testing.B) {
	budget := NewBudget(1 << 30)
	l := New(budget)
	defer l.Close()
	e := budget.NewEvent("AAAAAAAA.1", engineio.NewFrame([]byte(`2["event",{"n":1}]`)))
	limits := Limits{Events: 1024, Bytes: 1 << 20}
	position := uint64(0)
	for b.Loop() {
		position++
		l.Push(e, position, limits)
		if position%100 == 0 {
			l.Confirm(position)
		}
	}
	e.Held(int(position))
}
