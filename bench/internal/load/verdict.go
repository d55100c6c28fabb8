package load

import (
	"fmt"
	"slices"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// verdict compares what was accepted with what each client has, knowing nothing of the servers but what they have said.
type verdict struct {
	emissions []emission // in the order in which they were sent
	witnesses *witnesses
	// owed says whether a message that was accepted is owed to a client that was connected all the while, though its report
	// was not complete.
	owed func(emission, *span) bool
	// excused says that a client need not be counted, since its server was taken for lost while it had no way to say otherwise;
	// nil for never.
	excused func(emission, *span) bool
	// grace is how long before the end of a connection what was accepted may be lost with it.
	grace time.Duration

	due      []int // how many clients were there for a message
	missing  int
	untold   int
	disorder int
	examples []string // of what went wrong
}

// maxExamples is how many are told.
const maxExamples = 5

// judge adds the figures.
func (v *verdict) judge(f job.Figures) {
	v.due = make([]int, len(v.emissions))
	answered := make(map[uint64]bool, len(v.emissions))
	for _, e := range v.emissions {
		answered[e.number] = e.accepted
	}
	for i, w := range v.witnesses.list {
		for _, s := range w.spans {
			v.order(i, s, answered)
			v.span(i, s)
		}
	}
	accepted, complete, short := 0, 0, 0
	for i, e := range v.emissions {
		if e.accepted {
			accepted++
		}
		if e.complete {
			complete++
			if int(e.matched) < v.due[i] {
				short++
				v.example("message %d was for %d clients, it was said, but %d were there", e.number, e.matched, v.due[i])
			}
		}
	}
	f[job.Clients] = float64(len(v.witnesses.list))
	f[job.Accepted], f[job.Complete], f[job.Short] = float64(accepted), float64(complete), float64(short)
	f[job.Received] = float64(v.witnesses.received())
	f[job.Missing], f[job.Untold], f[job.Disorder] = float64(v.missing), float64(v.untold), float64(v.disorder)
}

// order looks at one connection: none comes twice, and of each speaker's messages later ones come later. That isn't asked of
// one without an answer: the speaker did not wait for it before it sent the next.
func (v *verdict) order(client int, s *span, accepted map[uint64]bool) {
	last := make(map[int]uint64)
	seen := make(map[uint64]bool, len(s.got))
	for _, number := range s.got {
		from := speakerOf(number)
		if seen[number] || accepted[number] && number < last[from] {
			v.disorder++
			v.example("client %d got message %d again, or behind %d", client, number, last[from])
		}
		seen[number] = true
		if accepted[number] {
			last[from] = max(last[from], number)
		}
	}
}

// span looks for messages that one connection lacks.
func (v *verdict) span(client int, s *span) {
	got := make(map[uint64]struct{}, len(s.got))
	for _, number := range s.got {
		got[number] = struct{}{}
	}
	first, _ := slices.BinarySearchFunc(v.emissions, s.from, func(e emission, t time.Time) int { return e.begun.Compare(t) })
	for i := first; i < len(v.emissions); i++ {
		e := v.emissions[i]
		if !s.to.IsZero() && e.begun.After(s.to) {
			return
		}
		if !s.to.IsZero() && e.answered.Add(v.grace).After(s.to) {
			continue
		}
		if v.excused != nil && v.excused(e, s) {
			continue
		}
		v.due[i]++
		if _, ok := got[e.number]; ok || !e.accepted {
			continue
		}
		switch {
		case v.owed(e, s):
			v.missing++
		case e.complete:
			v.untold++
		default:
			continue
		}
		v.example("client %d at server %d lacks message %d, which server %d took %v (complete: %v), connected %v earlier",
			client, s.node+1, e.number, e.node+1, e.answered.Sub(e.begun), e.complete, e.begun.Sub(s.from))
	}
}

func (v *verdict) example(format string, args ...any) {
	if len(v.examples) < maxExamples {
		v.examples = append(v.examples, fmt.Sprintf(format, args...))
	}
}
