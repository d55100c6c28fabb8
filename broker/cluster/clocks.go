package cluster

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// clocks knows the nodes that can't be heard because their clock and this node's
// differ by more than an envelope may be old. Such a node is there, has
// clients, and takes this one for absent in turn.
type clocks struct {
	log   *slog.Logger
	keep  time.Duration // for how long a node counts after it was heard last
	nodes func() int    // how many others can be heard

	mu      sync.Mutex
	refused map[NodeID]*refusal
}

// refusal is what is known of a node that can't be heard.
type refusal struct {
	skew   time.Duration // how far its clock is ahead of this node's
	sent   int64         // its latest time, in Unix milliseconds
	last   time.Time     // when it came
	logged time.Time
}

// logSkewEvery is how often the log names a node whose clock differs.
const logSkewEvery = 30 * time.Second

// refuse takes in that an envelope of a node was refused. One that isn't later than
// those before it may be a recording, which says nothing.
func (c *clocks) refuse(e *wire.Envelope, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy(now)
	id := NodeID(e.GetSender())
	r, ok := c.refused[id]
	if !ok {
		if len(c.refused) >= maxNodes {
			return
		}
		r = &refusal{}
		c.refused[id] = r
	}
	if e.GetSentUnixMs() <= r.sent {
		return
	}
	r.sent, r.last, r.skew = e.GetSentUnixMs(), now, time.UnixMilli(e.GetSentUnixMs()).Sub(now)
	if now.Sub(r.logged) < logSkewEvery {
		return
	}
	r.logged = now
	c.log.Error("the clock of another node differs too much from this one's, so neither can hear the other; set both clocks, for example by NTP",
		"node", string(id), "skew", r.describe(), "this_clock", now.UTC().Format(time.RFC3339), "that_clock", time.UnixMilli(r.sent).UTC().Format(time.RFC3339))
}

// describe says how far the node's clock is from this one's.
func (r *refusal) describe() string {
	if r.skew < 0 {
		return (-r.skew).Round(time.Second).String() + " behind"
	}
	return r.skew.Round(time.Second).String() + " ahead"
}

// heard takes in that a node can be heard.
func (c *clocks) heard(id NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.refused, id)
}

// tidy forgets those who have been silent. The caller holds mu.
func (c *clocks) tidy(now time.Time) {
	for id, r := range c.refused {
		if now.Sub(r.last) > c.keep {
			delete(c.refused, id)
		}
	}
}

// list returns the nodes that can't be heard, in order.
func (c *clocks) list(now time.Time) (ids []NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy(now)
	for id := range c.refused {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// trouble returns what is wrong with this node's clock: at least as many nodes
// have another time as have its own. Otherwise it is the others who are wrong.
func (c *clocks) trouble(now time.Time) error {
	heard := c.nodes()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy(now)
	if len(c.refused) <= heard {
		return nil
	}
	var worst *refusal
	for _, r := range c.refused {
		if worst == nil || r.skew.Abs() > worst.skew.Abs() {
			worst = r
		}
	}
	return fmt.Errorf("the clock of this node is wrong, or that of others: of %d nodes it differs too much, one is %s, and of %d it doesn't; they can't hear each other until their clocks are set, for example by NTP",
		len(c.refused), worst.describe(), heard)
}

// Refused returns the nodes that this one can't hear, because the clocks differ by
// more than [Options.MaxAge], in order. They are no longer among [Mesh.Nodes] after
// a while, but are there.
func (m *Mesh) ClockSkewed() []NodeID { return m.clocks.list(m.now()) }

// OutOfTime reports whether this node can't hear most others because of its clock.
func (m *Mesh) ClockWrong() bool { return m.clocks.trouble(m.now()) != nil }
