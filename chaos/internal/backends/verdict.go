package backends

import (
	"slices"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// gap is a time in which there may have been no backend.
type gap struct{ from, to time.Time }

// verdict compares what clients sent with what they and the backends received. It knows nothing
// else of the server.
type verdict struct {
	log      *eventLog
	gaps     []gap
	backends []*backendProcess

	examples observe.Examples // of what went wrong
}

// addTo adds the figures.
func (v *verdict) addTo(f results.Figures) {
	v.answers(f)
	v.deliveries(f)
	if v.log.stray > 0 {
		v.examples.Add("a client received %q", v.log.sample)
	}
}

// answers checks how each event was answered.
func (v *verdict) answers(f results.Figures) {
	var latency load.Histogram
	for _, figure := range []string{
		scenario.Answered, figureNoHandler, figureHandlerLost, figureOtherErrors, figureNeedless, scenario.Unanswered, scenario.AnsweredTwice,
	} {
		f[figure] = 0
	}
	for i, e := range v.log.events {
		if e.answers == 0 {
			f[scenario.Unanswered]++
			v.examples.Add("event %d has no answer", i+1)
			continue
		}
		if e.answers > 1 {
			f[scenario.AnsweredTwice]++
			v.examples.Add("event %d has %d answers", i+1, e.answers)
		}
		latency.Record(e.answered.Sub(e.sent))
		switch e.code {
		case "":
			f[scenario.Answered]++
			continue
		case "NO_HANDLER":
			f[figureNoHandler]++
		case "HANDLER_LOST":
			f[figureHandlerLost]++
		default:
			f[figureOtherErrors]++
		}
		if !v.excused(e) {
			f[figureNeedless]++
			v.examples.Add("event %d got %s after %v, although there was a backend", i+1, e.code, e.answered.Sub(e.sent))
		}
	}
	f[scenario.Asked] = float64(len(v.log.events))
	f[scenario.P50], f[scenario.P99] = load.Millis(latency.Quantile(0.50)), load.Millis(latency.Quantile(0.99))
	f[scenario.UnexpectedAcks] = float64(v.log.stray)
}

// excused reports whether there may have been no backend at some time between an event and its
// answer.
func (v *verdict) excused(e sentEvent) bool {
	return slices.ContainsFunc(v.gaps, func(g gap) bool { return e.sent.Before(g.to) && e.answered.After(g.from) })
}

// deliveryTo is a delivery to a backend.
type deliveryTo struct {
	delivery
	backend *backendProcess
}

// deliveries checks what the backends received: a socket's events in order, to one backend as long
// as it lives, and each event no more than once and once again.
func (v *verdict) deliveries(f results.Figures) {
	bySocket := make([][]deliveryTo, v.log.clients)
	for _, b := range v.backends {
		for _, d := range b.deliveries {
			if !v.log.known(d.Number) {
				f[scenario.UnexpectedAcks]++
				continue
			}
			socket := v.log.sender(d.Number)
			bySocket[socket] = append(bySocket[socket], deliveryTo{d, b})
		}
	}
	for _, figure := range []string{figureRedelivered, figureRepeated, figureMoved, scenario.Disorder} {
		f[figure] = 0
	}
	for _, list := range bySocket {
		slices.SortStableFunc(list, func(a, b deliveryTo) int { return a.At.Compare(b.At) }) // all processes share the clock
		v.socket(f, list)
	}
}

// socket checks the deliveries of one socket, in the order in which backends read them.
func (v *verdict) socket(f results.Figures, list []deliveryTo) {
	type times struct{ first, again int }
	seen := make(map[uint64]times, len(list))
	var current *backendProcess
	var last, newest uint64 // of the current backend; of all first deliveries
	for _, d := range list {
		if current != nil && current != d.backend && (current.killed.IsZero() || d.At.Before(current.killed)) {
			f[figureMoved]++
			v.examples.Add("event %d went to another backend than its socket's, which was alive", d.Number)
		}
		if current != d.backend {
			current, last = d.backend, 0
		}
		n := seen[d.Number]
		if d.Redelivered {
			f[figureRedelivered]++
			n.again++
		} else {
			n.first++
		}
		seen[d.Number] = n
		if n.again > 1 || !d.Redelivered && n.first+n.again > 1 {
			f[figureRepeated]++
			v.examples.Add("event %d was delivered %d times, and %d times as a redelivery", d.Number, n.first, n.again)
		}
		if d.Number <= last || !d.Redelivered && d.Number < newest {
			f[scenario.Disorder]++
			v.examples.Add("event %d was delivered after %d", d.Number, max(last, newest))
		}
		last = max(last, d.Number)
		if !d.Redelivered {
			newest = max(newest, d.Number)
		}
	}
}
