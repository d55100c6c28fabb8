package clusters

import (
	"testing"
	"time"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// TestVerdict: one client is connected to node 0 from second 10 to second 20, and the nodes 0 and 1
// accept messages.
func TestVerdict(t *testing.T) {
	zero := time.Now()
	at := func(seconds float64) time.Time { return zero.Add(time.Duration(seconds * float64(time.Second))) }
	sent := func(n uint64, node int, begun float64) message {
		return message{
			number: n<<8 | uint64(node), node: node, sent: at(begun), answered: at(begun + 0.5), accepted: true, complete: true, matched: 1,
		}
	}
	partial := func(m message) message { m.complete = false; return m }
	refused := func(m message) message { m.complete, m.accepted = false, false; return m }
	short := func(m message) message { m.matched = 0; return m }
	got := func(messages ...message) (numbers []uint64) {
		for _, m := range messages {
			numbers = append(numbers, m.number)
		}
		return numbers
	}
	first, second, far := sent(1, 0, 11), sent(2, 0, 12), sent(1, 1, 13)
	for name, test := range map[string]struct {
		messages                         []message
		got                              []uint64
		missing, untold, disorder, short float64
	}{
		"all is there":                 {[]message{first, second, far}, got(first, far, second), 0, 0, 0, 0},
		"one of its node's":            {[]message{first, second}, got(second), 1, 0, 0, 0},
		"one of its node, partial":     {[]message{partial(first)}, nil, 1, 0, 0, 0},
		"one of another node":          {[]message{far}, nil, 0, 1, 0, 0},
		"one of another node, partial": {[]message{partial(far)}, nil, 0, 0, 0, 0},
		"not accepted":                 {[]message{refused(first)}, nil, 0, 0, 0, 0},
		"before it was connected":      {[]message{sent(1, 0, 9.9)}, nil, 0, 0, 0, 0},
		"right before the end":         {[]message{sent(1, 0, 19)}, nil, 0, 0, 0, 0},
		"after the end":                {[]message{sent(1, 0, 21)}, nil, 0, 0, 0, 0},
		"twice":                        {[]message{first}, got(first, first), 0, 0, 1, 0},
		"in the wrong order":           {[]message{first, second}, got(second, first), 0, 0, 1, 0},
		"one unanswered, behind":       {[]message{refused(first), second}, got(second, first), 0, 0, 0, 0},
		"not counted in the reply":     {[]message{short(first)}, got(first), 0, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			client := &clusterClient{connections: []*connection{{node: 0, from: at(10), to: at(20), received: test.got}}}
			v := verdict{
				messages: test.messages,
				clients:  &clusterClients{list: []*clusterClient{client}},
				owed:     ownNode,
				grace:    time.Second,
			}
			f := results.Figures{}
			v.addTo(f)
			for figure, want := range map[string]float64{
				scenario.Missing: test.missing, figureUntold: test.untold, scenario.Disorder: test.disorder, figureShort: test.short,
			} {
				if f[figure] != want {
					t.Errorf("%s is %v, want %v: %q", figure, f[figure], want, v.examples)
				}
			}
		})
	}
}

func TestDifferentMembership(t *testing.T) {
	m := &membershipRun{rooms: map[string]map[string]bool{"a": {"x": true}, "b": {"x": true, "y": true}}}
	if n := different(map[string]int{"a": 1, "b": 2}, map[string]int{"b": 3, "c": 1}); n != 3 {
		t.Errorf("%d are different, want 3", n)
	}
	if n := m.compareRooms(nil); n != 2 {
		t.Errorf("%d rooms are different from none, want 2", n)
	}
}
