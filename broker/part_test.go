package broker

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// What nodes say in whatever order, twice or never is counted once, and what is
// missing counts as gone.
func TestPartsOfOtherNodes(t *testing.T) {
	answers := func(n int) []*wire.Answer {
		all := make([]*wire.Answer, n)
		for i := range all {
			all[i] = &wire.Answer{Socket: "s", Args: json.RawMessage("[]")}
		}
		return all
	}
	const a, b = cluster.NodeID("AAAAAAAAAA"), cluster.NodeID("BBBBBBBBBB")
	for name, tt := range map[string]struct {
		say     func(*question)
		late    bool
		want    AckSummary
		settled bool
		short   []cluster.NodeID
	}{
		"the count first": {
			say: func(q *question) {
				q.askedAt(a, &wire.Count{Matched: 3})
				q.heardFrom(a, &wire.Answers{Asked: 3, Answers: answers(1)})
				q.heardFrom(a, &wire.Answers{Asked: 3, Answers: answers(1), End: &wire.Unanswered{TimedOut: 1}})
				q.askedAt(b, &wire.Count{})
			},
			want: AckSummary{Expected: 3, Answered: 2, TimedOut: 1}, settled: true,
		},
		"the count last": {
			say: func(q *question) {
				q.heardFrom(a, &wire.Answers{Asked: 2, Answers: answers(1), End: &wire.Unanswered{Disconnected: 1}})
				q.askedAt(a, &wire.Count{Matched: 2})
				q.heardFrom(a, &wire.Answers{Asked: 2, Answers: answers(2)}) // after its end
			},
			want: AckSummary{Expected: 2, Answered: 1, Disconnected: 1}, settled: true,
		},
		"more than there can be": {
			say: func(q *question) {
				q.heardFrom(a, &wire.Answers{Asked: 2, Answers: answers(5), End: &wire.Unanswered{TimedOut: 7, Dropped: 9}})
			},
			want: AckSummary{Expected: 2, Answered: 2}, settled: true,
		},
		"answers that were lost": {
			say: func(q *question) {
				q.heardFrom(a, &wire.Answers{Asked: 4, Answers: answers(1), End: &wire.Unanswered{Dropped: 1}})
			},
			want: AckSummary{Expected: 4, Answered: 1, Dropped: 1, Disconnected: 2}, settled: true, short: []cluster.NodeID{a},
		},
		"a node that refuses": {
			say:  func(q *question) { q.askedAt(a, &wire.Count{Matched: 3, Refused: 3}) },
			want: AckSummary{Expected: 3, Dropped: 3}, settled: true,
		},
		"a node that is lost": {
			say: func(q *question) {
				q.askedAt(a, &wire.Count{Matched: 2})
				q.heardFrom(a, &wire.Answers{Asked: 2, Answers: answers(1)})
				q.lose(a)
				q.lose(b) // which isn't asked
				q.heardFrom(a, &wire.Answers{Asked: 2, Answers: answers(1)})
			},
			want: AckSummary{Expected: 2, Answered: 1, Disconnected: 1}, settled: true, short: []cluster.NodeID{a},
		},
		"a node that is late": {
			say:  func(q *question) { q.askedAt(a, &wire.Count{Matched: 2}) },
			late: true,
			want: AckSummary{Expected: 2, Disconnected: 2}, short: []cluster.NodeID{a},
		},
		"a node that isn't waited for": {
			say:  func(q *question) { q.askedAt(a, &wire.Count{Matched: 2}) },
			want: AckSummary{Expected: 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQuestion(1, 0, 0)
			tt.say(q)
			if q.settled() != tt.settled {
				t.Errorf("settled is %v", q.settled())
			}
			var sum AckSummary
			whole, _ := q.endParts(tt.late, &sum)
			var short []cluster.NodeID
			for node, complete := range whole {
				if !complete {
					short = append(short, node)
				}
			}
			passed := q.take()
			if !reflect.DeepEqual(sum, tt.want) || len(passed) != sum.Answered || !reflect.DeepEqual(short, tt.short) {
				t.Errorf("the sum is %+v with %d answers, short of %v", sum, len(passed), short)
			}
		})
	}
}
