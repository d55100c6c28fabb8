package load

import (
	"fmt"
	"slices"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// gap is a time in which there may have been no backend.
type gap struct{ from, to time.Time }

// answerVerdict compares what clients asked with what they heard, and with what backends were handed, knowing nothing of the
// server but what it has sent to them.
type answerVerdict struct {
	tally   *tally
	gaps    []gap
	members []*member

	examples []string // of what went wrong
}

// judge adds the figures.
func (v *answerVerdict) judge(f job.Figures) {
	v.answers(f)
	v.deliveries(f)
	if v.tally.stray > 0 {
		v.example("a client got %q", v.tally.example)
	}
}

// answers looks at what came of each event at its client.
func (v *answerVerdict) answers(f job.Figures) {
	var latency histogram
	for _, figure := range []string{
		job.Answered, job.NoHandler, job.HandlerLost, job.OtherCodes, job.Needless, job.Unanswered, job.Twice,
	} {
		f[figure] = 0
	}
	for i, q := range v.tally.questions {
		if q.answers == 0 {
			f[job.Unanswered]++
			v.example("event %d has no answer", i+1)
			continue
		}
		if q.answers > 1 {
			f[job.Twice]++
			v.example("event %d has %d answers", i+1, q.answers)
		}
		latency.record(q.answered.Sub(q.sent))
		switch q.code {
		case "":
			f[job.Answered]++
			continue
		case "NO_HANDLER":
			f[job.NoHandler]++
		case "HANDLER_LOST":
			f[job.HandlerLost]++
		default:
			f[job.OtherCodes]++
		}
		if !v.excused(q) {
			f[job.Needless]++
			v.example("event %d got %s after %v, though there was a backend", i+1, q.code, q.answered.Sub(q.sent))
		}
	}
	f[job.Asked] = float64(len(v.tally.questions))
	f[job.P50], f[job.P99] = millis(latency.quantile(0.50)), millis(latency.quantile(0.99))
	f[job.Stray] = float64(v.tally.stray)
}

// excused reports whether there may have been no backend at some time between question and answer.
func (v *answerVerdict) excused(q question) bool {
	return slices.ContainsFunc(v.gaps, func(g gap) bool { return q.sent.Before(g.to) && q.answered.After(g.from) })
}

// handover is one delivery of an event to a backend.
type handover struct {
	job.Handed
	to *member
}

// deliveries looks at what the backends were handed: in order by socket, to one backend as long as it lives, and nothing more
// than once and once again.
func (v *answerVerdict) deliveries(f job.Figures) {
	bySocket := make([][]handover, v.tally.clients)
	for _, m := range v.members {
		for _, h := range m.handed {
			if !v.tally.known(h.Number) {
				f[job.Stray]++
				continue
			}
			socket := v.tally.sender(h.Number)
			bySocket[socket] = append(bySocket[socket], handover{h, m})
		}
	}
	for _, figure := range []string{job.Redelivered, job.Repeated, job.Moved, job.Disorder} {
		f[figure] = 0
	}
	for _, list := range bySocket {
		slices.SortStableFunc(list, func(a, b handover) int { return a.At.Compare(b.At) }) // all have the machine's clock
		v.socket(f, list)
	}
}

// socket looks at the deliveries of one socket, in the order in which backends read them.
func (v *answerVerdict) socket(f job.Figures, list []handover) {
	type times struct{ first, again int }
	seen := make(map[uint64]times, len(list))
	var now *member
	var last, newest uint64 // of this backend; of all, those that were handed again aside
	for _, d := range list {
		if now != nil && now != d.to && (now.killed.IsZero() || d.At.Before(now.killed)) {
			f[job.Moved]++
			v.example("event %d went to another backend than its socket's, which was alive", d.Number)
		}
		if now != d.to {
			now, last = d.to, 0
		}
		n := seen[d.Number]
		if d.Redelivered {
			f[job.Redelivered]++
			n.again++
		} else {
			n.first++
		}
		seen[d.Number] = n
		if n.again > 1 || !d.Redelivered && n.first+n.again > 1 {
			f[job.Repeated]++
			v.example("event %d was handed out %d times, and %d times again", d.Number, n.first, n.again)
		}
		if d.Number <= last || !d.Redelivered && d.Number < newest {
			f[job.Disorder]++
			v.example("event %d was handed out behind %d", d.Number, max(last, newest))
		}
		last = max(last, d.Number)
		if !d.Redelivered {
			newest = max(newest, d.Number)
		}
	}
}

func (v *answerVerdict) example(format string, args ...any) {
	if len(v.examples) < maxExamples {
		v.examples = append(v.examples, fmt.Sprintf(format, args...))
	}
}
