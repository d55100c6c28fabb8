package cluster

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
)

// maxCollectors bounds how many calls and publications wait for answers.
const maxCollectors = 10_000

// collectors are the calls and publications that wait for answers.
type collectors struct {
	mu   sync.Mutex
	last uint64
	byID map[uint64]*collector
}

// collector gathers the answers to one call or publication. collectors.mu guards all of it but id
// and done.
type collector struct {
	id   uint64
	done chan struct{} // closed when no further answer is to come

	replies []Reply
	seen    map[NodeID]struct{} // nodes that have answered

	// expected are the nodes that have not answered; nil while only their number is known.
	expected map[NodeID]struct{}
	gone     []NodeID // nodes that were expected and won't answer
	// receivers is how many subscribers got the message; -1 while that isn't known.
	receivers    int
	echoed       bool                // one of the receivers was this node itself
	absent       map[NodeID]struct{} // nodes that did not get the message, subscribed or not
	uninterested map[NodeID]struct{} // nodes that aren't subscribed
	surveyed     bool                // expected are the nodes that a survey has gone to
	err          error
	closed       bool
}

func newCollectors() *collectors {
	// Ids begin at a random number, so that a node that starts with the id of an earlier one, as in
	// tests, gets none of that one's answers.
	return &collectors{last: uint64(rand.Uint32()), byID: make(map[uint64]*collector)} //nolint:gosec // needn't be secret
}

// open starts to collect the answers of the expected nodes; nil if they aren't known. The error is
// [ErrOverloaded].
func (s *collectors) open(expected map[NodeID]struct{}) (*collector, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) >= maxCollectors {
		return nil, ErrOverloaded
	}
	s.last++
	c := &collector{
		id:        s.last,
		done:      make(chan struct{}),
		seen:      make(map[NodeID]struct{}),
		receivers: -1,
	}
	if expected != nil {
		c.expected = make(map[NodeID]struct{}, len(expected))
		for id := range expected {
			c.expected[id] = struct{}{}
		}
	}
	if expected == nil || len(expected) > 0 {
		s.byID[c.id] = c
	}
	return c, nil
}

// close stops collecting.
func (s *collectors) close(c *collector) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, c.id)
}

// add adds an answer and reports whether it was waited for.
func (s *collectors) add(id uint64, r Reply) bool {
	return s.update(id, func(c *collector) bool {
		if _, again := c.seen[r.Node]; again {
			return false
		}
		if _, asked := c.expected[r.Node]; c.expected != nil && !c.surveyed && !asked {
			return false
		}
		delete(c.expected, r.Node)
		c.seen[r.Node] = struct{}{}
		c.replies = append(c.replies, r)
		return true
	})
}

// echoed records that this node itself got the message.
func (s *collectors) echoed(id uint64) {
	s.update(id, func(c *collector) bool { c.echoed = true; return true })
}

// published records how many subscribers got the message, and which nodes did not.
func (s *collectors) published(id uint64, receivers int, absent []NodeID) {
	s.update(id, func(c *collector) bool {
		c.receivers = receivers
		for _, node := range absent {
			setAdd(&c.absent, node)
			if c.surveyed {
				delete(c.expected, node)
			}
		}
		return true
	})
}

// survey makes a collector that knows only the number of receivers expect the nodes instead, except
// those that have answered or did not get the message.
func (s *collectors) survey(id uint64, nodes map[NodeID]struct{}) {
	s.update(id, func(c *collector) bool {
		if c.expected != nil {
			return false
		}
		c.surveyed, c.expected = true, nodes
		maps.DeleteFunc(nodes, func(node NodeID, _ struct{}) bool { return c.settled(node) })
		return true
	})
}

// excuse records that a node isn't subscribed and won't answer.
func (s *collectors) excuse(id uint64, node NodeID) {
	s.update(id, func(c *collector) bool {
		setAdd(&c.uninterested, node)
		delete(c.expected, node)
		return true
	})
}

// foundForeign reports whether c is complete although fewer nodes have answered than there were
// receivers: the others aren't nodes.
func (s *collectors) foundForeign(c *collector) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.surveyed && c.err == nil && len(c.expected) == 0 && c.heard() < c.receivers
}

// drop records that a node won't answer.
func (s *collectors) drop(id uint64, node NodeID) {
	s.update(id, func(c *collector) bool { c.drop(node); return true })
}

// fail ends a collector with an error.
func (s *collectors) fail(id uint64, err error) {
	s.update(id, func(c *collector) bool { c.err = err; return true })
}

// nodeGone records that a node has gone and won't answer anything.
func (s *collectors) nodeGone(node NodeID) {
	s.updateAll(func(c *collector) { c.drop(node) })
}

// unavailable ends all collectors with [ErrUnavailable]: no more answers can come.
func (s *collectors) unavailable() {
	s.updateAll(func(c *collector) { c.err = ErrUnavailable })
}

func (s *collectors) update(id uint64, do func(*collector) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.byID[id]
	if !ok {
		return false
	}
	took := do(c)
	c.checkDone()
	return took
}

func (s *collectors) updateAll(do func(*collector)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.byID {
		do(c)
		c.checkDone()
	}
}

func (c *collector) drop(node NodeID) {
	if _, ok := c.expected[node]; ok {
		delete(c.expected, node)
		c.gone = append(c.gone, node)
	}
}

// settled reports whether a node has answered, did not get the message or isn't subscribed.
func (c *collector) settled(node NodeID) bool {
	_, seen := c.seen[node]
	_, absent := c.absent[node]
	_, uninterested := c.uninterested[node]
	return seen || absent || uninterested
}

func setAdd(set *map[NodeID]struct{}, node NodeID) {
	if *set == nil {
		*set = make(map[NodeID]struct{})
	}
	(*set)[node] = struct{}{}
}

// checkDone closes done if no further answer is to come. The caller holds collectors.mu.
func (c *collector) checkDone() {
	complete := c.err != nil || c.receivers >= 0 && c.heard() >= c.receivers
	if c.expected != nil {
		complete = complete || len(c.expected) == 0
	}
	if complete && !c.closed {
		c.closed = true
		close(c.done)
	}
}

// result closes c and returns its answers. others are the nodes of the cluster.
func (s *collectors) result(c *collector, others map[NodeID]struct{}) (Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, c.id)
	r := Result{Replies: c.replies, Missing: c.gone}
	switch {
	case c.expected == nil:
		r.Missing, r.Unnamed = c.unheard(others)
	case c.receivers < 0 || c.heard() < c.receivers:
		for id := range c.expected {
			r.Missing = append(r.Missing, id)
		}
	}
	for id := range c.absent {
		if _, ok := c.seen[id]; !ok {
			r.Missing = append(r.Missing, id)
		}
	}
	slices.Sort(r.Missing)
	return r, c.err
}

// unheard returns the nodes that haven't answered if only the number of receivers is known: by name
// if there are no more candidates than missing answers, otherwise their number.
func (c *collector) unheard(others map[NodeID]struct{}) (missing []NodeID, unnamed int) {
	var silent []NodeID
	for id := range others {
		if !c.settled(id) {
			silent = append(silent, id)
		}
	}
	if c.receivers < 0 {
		return silent, 0 // not sent in time
	}
	n := c.receivers - c.heard()
	switch {
	case n <= 0:
		return nil, 0
	case n < len(silent):
		return nil, n
	default:
		return silent, n - len(silent)
	}
}

// heard returns how many receivers have answered. This node itself doesn't need to.
func (c *collector) heard() int {
	if c.echoed {
		return len(c.seen) + 1
	}
	return len(c.seen)
}
