package presence

import (
	"container/heap"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// Run finds out what is unsettled, until ctx ends. It is called once.
func (t *Tracker) Run(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	slots := make(chan struct{}, maxCalls)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-t.wake:
		}
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		questions, next := t.take(time.Now())
		if len(questions) == 0 {
			<-slots
			timer.Reset(next)
			continue
		}
		asking.Go(func() {
			defer func() { <-slots }()
			t.ask(ctx, questions)
		})
		pause(ctx, gatherFor)
		timer.Reset(0)
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// question is a record as it was when the other nodes were asked.
type question struct {
	*record
	phase phase
	time  int64
	asked int64 // when that was, by the clock
	wire  *wire.PresenceQuestion
}

// take returns the questions that are due, and how long nothing else is if there are none. It
// forgets what was kept long enough.
func (t *Tracker) take(now time.Time) (due []question, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.agenda) > 0 && len(due) < maxQuestions {
		r := t.agenda[0]
		if wait := r.at.Sub(now); wait > 0 {
			return due, wait
		}
		if !r.isUnsettled() {
			t.remove(r)
			continue
		}
		heap.Pop(&t.agenda)
		if r.phase == waiting {
			r.phase, r.time = leaving, t.clock.next()
		}
		if r.tries == 0 {
			r.asked = now
		}
		r.tries++
		due = append(due, question{record: r, phase: r.phase, time: r.time, asked: t.clock.next(), wire: r.question()})
	}
	return due, time.Hour
}

// question returns what other nodes are asked. The tracker's mu is held.
func (r *record) question() *wire.PresenceQuestion {
	return &wire.PresenceQuestion{
		Place: r.place.Wire(), Time: r.time, Left: r.phase == leaving, Elsewhere: r.inherited, OnBehalf: r.onBehalf,
		LeftThere: r.leftThere,
	}
}

// ask asks the other nodes, and announces what follows.
func (t *Tracker) ask(ctx context.Context, questions []question) {
	ask := &wire.AskPresence{Questions: make([]*wire.PresenceQuestion, len(questions))}
	for i, q := range questions {
		ask.Questions[i] = q.wire
	}
	t.mu.Lock()
	ask.Clock = t.clock.next()
	t.mu.Unlock()
	answers, complete := t.opts.Ask(ctx, ask)
	t.mu.Lock()
	for node, all := range answers {
		t.clock.see(all.GetClock())
		if len(all.GetAnswers()) != len(questions) {
			delete(answers, node)
			complete = false
		}
	}
	t.mu.Unlock()
	nodes := slices.Sorted(maps.Keys(answers)) // so that the same events have the same outcome
	for i, q := range questions {
		var about []answer
		for _, node := range nodes {
			about = append(about, answerFrom(node, answers[node].GetAnswers()[i]))
		}
		t.decide(q, about, complete && ctx.Err() == nil)
	}
}

// decide acts on the answers to a question. Complete says that all nodes have answered.
func (t *Tracker) decide(q question, answers []answer, complete bool) {
	t.announcing.Lock()
	defer t.announcing.Unlock()
	local := t.opts.Local(q.place) // before the record; see Answer
	v, at := t.conclude(q, local, answers, complete, time.Now())
	if v == announce {
		t.opts.Announce(Change{Place: q.place, Left: q.phase == leaving, Time: time.Unix(0, at)})
	}
}

// conclude settles a question, or puts it off. It returns announce if this node announces the
// change, and the time of that by the clock.
func (t *Tracker) conclude(q question, local Local, answers []answer, complete bool, now time.Time) (v verdict, at int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := q.record
	if t.records[r.place] != r || r.phase != q.phase || r.time != q.time {
		return keepQuiet, 0 // it was settled meanwhile
	}
	switch {
	case r.phase == leaving && local == Present: // a session has come from another node
		t.remove(r)
		return keepQuiet, 0
	case r.phase == leaving && local == Moving: // one is about to
		t.pass(r, "")
		return keepQuiet, 0
	case !complete:
		r.doubt = now
	}
	v, to := r.judge(t.opts.Self, q.asked, answers)
	at = r.time // which judging may have changed
	if !r.isCertain(v, complete, t.closing, t.isLate(now), now) {
		t.depositReturned(r)
		t.set(r, t.inTime(now.Add(r.retryIn()), now))
		return keepQuiet, 0
	}
	switch {
	case r.phase == coming:
		if local == Absent && !r.gone { // nobody was interested when the user left
			r.gone, r.due = true, now
		}
		t.settle(r, now)
		return v, at
	case v == announce:
		r.rejoined, r.inherited, r.onBehalf = 0, false, false
		t.retain(r, left)
	case v == passOn || !r.inherited:
		t.pass(r, to)
	default:
		t.remove(r)
		t.opts.Deposit(r.place, false)
	}
	return v, at
}

// isCertain reports whether a verdict can be acted on. Complete says that all nodes have answered,
// closing that this one is about to end, and late that it can wait no longer.
func (r *record) isCertain(v verdict, complete, closing, late bool, now time.Time) bool {
	switch waited := now.Sub(r.asked); {
	case v == keepQuiet || v == passOn:
		return true
	case v == askLater:
		return false
	case r.phase == leaving:
		return complete
	case waited >= joinPatience || closing && (late || waited >= closePatience):
		return true
	case v == assume || closing:
		return complete
	}
	return r.doubt.IsZero() || complete && now.Sub(r.doubt) >= afterLoss
}

// retryIn returns when the other nodes are asked again.
func (r *record) retryIn() time.Duration {
	return min(retryAfter<<min(r.tries-1, 10), retryAtMost)
}
