package cluster

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// clocks keeps the nodes whose envelopes are refused because their clock and this node's differ by
// more than [Options.MaxAge]. Such a node runs and has clients. It refuses this node's envelopes in
// turn.
type clocks struct {
	log   *slog.Logger
	keep  time.Duration // how long a node counts after its last envelope
	nodes func() int    // how many other nodes can be heard

	mu     sync.Mutex
	skewed map[NodeID]*skewedNode
}

// skewedNode is a node whose clock differs too much.
type skewedNode struct {
	skew   time.Duration // how far its clock is ahead of this node's
	sent   int64         // the time of its latest envelope, in Unix milliseconds
	last   time.Time     // when that envelope came
	logged time.Time
}

// logSkewEvery is how often a skewed node is logged.
const logSkewEvery = 30 * time.Second

// record records an envelope whose time differs too much. One that isn't later than earlier ones
// may be a recording, and is ignored.
func (c *clocks) record(e *wire.Envelope, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropSilent(now)
	id := NodeID(e.GetSender())
	r, ok := c.skewed[id]
	if !ok {
		if len(c.skewed) >= maxNodes {
			return
		}
		r = &skewedNode{}
		c.skewed[id] = r
	}
	if e.GetSentUnixMs() <= r.sent {
		return
	}
	r.sent, r.last, r.skew = e.GetSentUnixMs(), now, time.UnixMilli(e.GetSentUnixMs()).Sub(now)
	if now.Sub(r.logged) < logSkewEvery {
		return
	}
	r.logged = now
	c.log.Error("another node's clock differs too much from this one's, so the two can't communicate; set both clocks, for example with NTP",
		"node", string(id), "skew", r.describe(), "this_clock", now.UTC().Format(time.RFC3339), "that_clock", time.UnixMilli(r.sent).UTC().Format(time.RFC3339))
}

// describe returns how far the node's clock is from this one's.
func (r *skewedNode) describe() string {
	if r.skew < 0 {
		return (-r.skew).Round(time.Second).String() + " behind"
	}
	return r.skew.Round(time.Second).String() + " ahead"
}

// heard records that a node can be heard.
func (c *clocks) heard(id NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.skewed, id)
}

// dropSilent drops nodes that have been silent. The caller holds mu.
func (c *clocks) dropSilent(now time.Time) {
	for id, r := range c.skewed {
		if now.Sub(r.last) > c.keep {
			delete(c.skewed, id)
		}
	}
}

// list returns the skewed nodes, sorted.
func (c *clocks) list(now time.Time) (ids []NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropSilent(now)
	for id := range c.skewed {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// problem returns an error if this node's clock may be wrong: if its time differs from that of at
// least as many nodes as it agrees with, itself included. Otherwise the other clocks are wrong.
func (c *clocks) problem(now time.Time) error {
	heard := c.nodes()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropSilent(now)
	if len(c.skewed) <= heard {
		return nil
	}
	var worst *skewedNode
	for _, r := range c.skewed {
		if worst == nil || r.skew.Abs() > worst.skew.Abs() {
			worst = r
		}
	}
	return fmt.Errorf("the clock of this node or of others is wrong: it differs too much from %d nodes, of which one is %s, and agrees with %d; they can't communicate until their clocks are set, for example with NTP",
		len(c.skewed), worst.describe(), heard)
}

// ClockSkewed returns the nodes that this one can't communicate with because their clocks differ by
// more than [Options.MaxAge], sorted. After a while they are no longer among [Mesh.Nodes], but they
// still run.
func (m *Mesh) ClockSkewed() []NodeID { return m.clocks.list(m.now()) }

// ClockWrong reports whether this node can't communicate with most others because of clocks.
func (m *Mesh) ClockWrong() bool { return m.clocks.problem(m.now()) != nil }
