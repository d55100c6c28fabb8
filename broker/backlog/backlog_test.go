package backlog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
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
	push := func() {
		position += 1 + uint64(r.IntN(3))
		en := modelEntry{fmt.Sprint("o", position), position, r.IntN(5) > 0}
		var f *engineio.Frame
		if en.again {
			f = engineio.NewFrame([]byte("2[]"))
		}
		e := budget.NewEvent(en.offset, f)
		l.Push(e, position, limits)
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
		switch r.IntN(12) {
		case 0:
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
		case 2:
			var sent, want []string
			position++ // of the CONNECT packet
			at := position
			for i := range m.entries {
				if m.entries[i].again {
					at++
					want = append(want, m.entries[i].offset)
				}
				m.entries[i].position = at
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
