package load

import (
	"testing"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// TestVerdict: one client at server 0, connected from second 10 to second 20, and messages of the servers 0 and 1.
func TestVerdict(t *testing.T) {
	zero := time.Now()
	at := func(seconds float64) time.Time { return zero.Add(time.Duration(seconds * float64(time.Second))) }
	say := func(n uint64, node int, begun float64) emission {
		return emission{
			number: n<<8 | uint64(node), node: node, begun: at(begun), answered: at(begun + 0.5), accepted: true, complete: true, matched: 1,
		}
	}
	partly := func(e emission) emission { e.complete = false; return e }
	refused := func(e emission) emission { e.complete, e.accepted = false, false; return e }
	short := func(e emission) emission { e.matched = 0; return e }
	got := func(emissions ...emission) (numbers []uint64) {
		for _, e := range emissions {
			numbers = append(numbers, e.number)
		}
		return numbers
	}
	first, second, far := say(1, 0, 11), say(2, 0, 12), say(1, 1, 13)
	for name, test := range map[string]struct {
		emissions                        []emission
		got                              []uint64
		missing, untold, disorder, short float64
	}{
		"all is there":             {[]emission{first, second, far}, got(first, far, second), 0, 0, 0, 0},
		"one of its server's":      {[]emission{first, second}, got(second), 1, 0, 0, 0},
		"one of its server, part":  {[]emission{partly(first)}, nil, 1, 0, 0, 0},
		"one of another":           {[]emission{far}, nil, 0, 1, 0, 0},
		"one of another, part":     {[]emission{partly(far)}, nil, 0, 0, 0, 0},
		"not accepted":             {[]emission{refused(first)}, nil, 0, 0, 0, 0},
		"before it was there":      {[]emission{say(1, 0, 9.9)}, nil, 0, 0, 0, 0},
		"right before its end":     {[]emission{say(1, 0, 19)}, nil, 0, 0, 0, 0},
		"after its end":            {[]emission{say(1, 0, 21)}, nil, 0, 0, 0, 0},
		"twice":                    {[]emission{first}, got(first, first), 0, 0, 1, 0},
		"in the wrong order":       {[]emission{first, second}, got(second, first), 0, 0, 1, 0},
		"one unanswered, behind":   {[]emission{refused(first), second}, got(second, first), 0, 0, 0, 0},
		"not counted in the reply": {[]emission{short(first)}, got(first), 0, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := &witness{spans: []*span{{node: 0, from: at(10), to: at(20), got: test.got}}}
			v := verdict{
				emissions: test.emissions,
				witnesses: &witnesses{list: []*witness{w}},
				owed:      func(e emission, s *span) bool { return e.node == s.node },
				grace:     time.Second,
			}
			f := job.Figures{}
			v.judge(f)
			for figure, want := range map[string]float64{
				job.Missing: test.missing, job.Untold: test.untold, job.Disorder: test.disorder, job.Short: test.short,
			} {
				if f[figure] != want {
					t.Errorf("%s is %v, want %v: %q", figure, f[figure], want, v.examples)
				}
			}
		})
	}
}

func TestDifferentMembership(t *testing.T) {
	m := &membership{rooms: map[string]map[string]bool{"a": {"x": true}, "b": {"x": true, "y": true}}}
	if n := different(map[string]int{"a": 1, "b": 2}, map[string]int{"b": 3, "c": 1}); n != 3 {
		t.Errorf("%d are different, want 3", n)
	}
	if n := m.compareRooms(nil); n != 2 {
		t.Errorf("%d rooms are different from none, want 2", n)
	}
}
