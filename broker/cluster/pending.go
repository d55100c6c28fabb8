package cluster

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
)

// maxPending bounds how many questions wait for answers.
const maxPending = 10_000

// pending are the questions that wait for answers.
type pending struct {
	mu      sync.Mutex
	last    uint64
	waiters map[uint64]*waiter
}

// waiter is one question. All of it but id and done is guarded by pending.mu.
type waiter struct {
	id   uint64
	done chan struct{} // closed when nothing more is to come

	replies []Reply
	seen    map[NodeID]struct{} // who has answered

	// expected are those who haven't; nil while only their number matters.
	expected map[NodeID]struct{}
	gone     []NodeID // those of them that won't
	// receivers is how many subscribers got the question; -1 while it isn't known.
	receivers int
	echoed    bool                // one of them was this node's own
	absent    map[NodeID]struct{} // nodes that did not get it, interested or not
	excused   map[NodeID]struct{} // nodes that are not interested
	surveyed  bool                // expected are those whom a survey has gone to
	err       error
	closed    bool
}

func newPending() *pending {
	// Ids don't begin at 1, so that those of a node that starts anew with an
	// old id, as tests do, are others.
	return &pending{last: uint64(rand.Uint32()), waiters: make(map[uint64]*waiter)} //nolint:gosec // needn't be secret
}

// open begins a question to those expected; nil if it isn't known who.
func (p *pending) open(expected map[NodeID]struct{}) (*waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiters) >= maxPending {
		return nil, ErrOverloaded
	}
	p.last++
	w := &waiter{
		id:        p.last,
		done:      make(chan struct{}),
		seen:      make(map[NodeID]struct{}),
		receivers: -1,
	}
	if expected != nil {
		w.expected = make(map[NodeID]struct{}, len(expected))
		for id := range expected {
			w.expected[id] = struct{}{}
		}
	}
	if expected == nil || len(expected) > 0 {
		p.waiters[w.id] = w
	}
	return w, nil
}

// close ends a question.
func (p *pending) close(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiters, w.id)
}

// answered takes an answer in and reports whether somebody waits for it.
func (p *pending) answered(id uint64, r Reply) bool {
	return p.with(id, func(w *waiter) bool {
		if _, again := w.seen[r.Node]; again {
			return false
		}
		if _, asked := w.expected[r.Node]; w.expected != nil && !w.surveyed && !asked {
			return false
		}
		delete(w.expected, r.Node)
		w.seen[r.Node] = struct{}{}
		w.replies = append(w.replies, r)
		return true
	})
}

// echoed takes in that this node itself got the question.
func (p *pending) echoed(id uint64) {
	p.with(id, func(w *waiter) bool { w.echoed = true; return true })
}

// expect takes in how many got the question, and which nodes did not.
func (p *pending) expect(id uint64, receivers int, absent []NodeID) {
	p.with(id, func(w *waiter) bool {
		w.receivers = receivers
		for _, node := range absent {
			setAdd(&w.absent, node)
			if w.surveyed {
				delete(w.expected, node)
			}
		}
		return true
	})
}

// survey turns a question of which only the number of receivers is known into one
// to the nodes named, but for those that have answered or did not get it.
func (p *pending) survey(id uint64, nodes map[NodeID]struct{}) {
	p.with(id, func(w *waiter) bool {
		if w.expected != nil {
			return false
		}
		w.surveyed, w.expected = true, nodes
		maps.DeleteFunc(nodes, func(node NodeID, _ struct{}) bool { return w.accounted(node) })
		return true
	})
}

// excuse takes in that a node isn't interested in what it is asked about.
func (p *pending) excuse(id uint64, node NodeID) {
	p.with(id, func(w *waiter) bool {
		setAdd(&w.excused, node)
		delete(w.expected, node)
		return true
	})
}

// strangers reports whether w is complete though fewer nodes have answered than it had
// receivers: the others are no nodes.
func (p *pending) strangers(w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return w.surveyed && w.err == nil && len(w.expected) == 0 && w.heard() < w.receivers
}

// absent takes in that a node didn't get the question.
func (p *pending) absent(id uint64, node NodeID) {
	p.with(id, func(w *waiter) bool { w.lose(node); return true })
}

// fail ends a question with an error.
func (p *pending) fail(id uint64, err error) {
	p.with(id, func(w *waiter) bool { w.err = err; return true })
}

// lost takes in that a node is gone and won't answer any more.
func (p *pending) lost(node NodeID) {
	p.each(func(w *waiter) { w.lose(node) })
}

// unavailable fails everything: no answer can come any more.
func (p *pending) unavailable() {
	p.each(func(w *waiter) { w.err = ErrUnavailable })
}

func (p *pending) with(id uint64, do func(*waiter) bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, ok := p.waiters[id]
	if !ok {
		return false
	}
	took := do(w)
	w.settle()
	return took
}

func (p *pending) each(do func(*waiter)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.waiters {
		do(w)
		w.settle()
	}
}

func (w *waiter) lose(node NodeID) {
	if _, ok := w.expected[node]; ok {
		delete(w.expected, node)
		w.gone = append(w.gone, node)
	}
}

// accounted reports whether it is known of a node that it has answered, that it
// won't, or that it did not get the question.
func (w *waiter) accounted(node NodeID) bool {
	_, seen := w.seen[node]
	_, absent := w.absent[node]
	_, excused := w.excused[node]
	return seen || absent || excused
}

func setAdd(set *map[NodeID]struct{}, node NodeID) {
	if *set == nil {
		*set = make(map[NodeID]struct{})
	}
	(*set)[node] = struct{}{}
}

// settle closes done if nothing more is to come. The caller holds pending.mu.
func (w *waiter) settle() {
	complete := w.err != nil || w.receivers >= 0 && w.heard() >= w.receivers
	if w.expected != nil {
		complete = complete || len(w.expected) == 0
	}
	if complete && !w.closed {
		w.closed = true
		close(w.done)
	}
}

// result returns what w has got. Others are the nodes that are there.
func (p *pending) result(w *waiter, others map[NodeID]struct{}) (Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiters, w.id)
	r := Result{Replies: w.replies, Missing: w.gone}
	switch {
	case w.expected == nil:
		r.Missing, r.Unnamed = w.unheard(others)
	case w.receivers < 0 || w.heard() < w.receivers:
		for id := range w.expected {
			r.Missing = append(r.Missing, id)
		}
	}
	for id := range w.absent {
		if _, ok := w.seen[id]; !ok {
			r.Missing = append(r.Missing, id)
		}
	}
	slices.Sort(r.Missing)
	return r, w.err
}

// unheard returns who hasn't answered a question of which only the number of receivers is
// known: by name if there are no more nodes than that, else their number.
func (w *waiter) unheard(others map[NodeID]struct{}) (missing []NodeID, unnamed int) {
	var silent []NodeID
	for id := range others {
		if !w.accounted(id) {
			silent = append(silent, id)
		}
	}
	if w.receivers < 0 {
		return silent, 0 // not even sent in time
	}
	n := w.receivers - w.heard()
	switch {
	case n <= 0:
		return nil, 0
	case n < len(silent):
		return nil, n
	default:
		return silent, n - len(silent)
	}
}

// heard returns how many receivers have been heard of.
func (w *waiter) heard() int {
	if w.echoed {
		return len(w.seen) + 1
	}
	return len(w.seen)
}
