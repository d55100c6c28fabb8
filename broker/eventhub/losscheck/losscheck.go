// Package losscheck finds out whether other nodes considered this one lost while it
// was out of touch, and so have already told backends that its sockets are gone.
package losscheck

import (
	"context"
	"sync"
	"time"
)

const (
	// uncertainAfter is how long this node may be out of touch with the others before
	// it has to ask whether they considered it lost. They wait for 4 s after its last
	// heartbeat, which was at most 1 s earlier.
	uncertainAfter = 2500 * time.Millisecond
	// checkInterval is the pause between two looks.
	checkInterval = 250 * time.Millisecond
	// askTimeout is how long to wait for the answers to one question.
	askTimeout = 2 * time.Second
	// askLimit is how long to wait in all for nodes that don't answer. Backends at
	// other nodes get no events of this node's clients meanwhile.
	askLimit = 4 * time.Second
	// maxHeld bounds the sockets whose end is held back.
	maxHeld = 50_000
)

// Options configures a [Check]. All fields are required. The functions may be
// called concurrently; Isolated and Incarnation with a lock held, so that they
// must not call back.
type Options struct {
	// Isolated reports whether this node can't reach the others.
	Isolated func() bool
	// Incarnation counts how often this node has learned that it was considered
	// lost.
	Incarnation func() uint64
	// AskLost asks the other nodes whether they consider this one lost. complete is
	// false if one of them didn't answer.
	AskLost func(ctx context.Context) (lost, complete bool)
	// Lost is called when other nodes did consider this one lost. Events about the
	// end of sockets that were here before since must not reach backends at other
	// nodes any more.
	Lost func(since time.Time)
}

// Check knows whether it is uncertain that other nodes considered this one lost. It
// becomes uncertain when the node was out of touch, because it couldn't reach the
// others or stood still, and ends when the others have answered.
//
// Meanwhile nothing is sent to backends at other nodes. Once the others can be
// reached again, the end of a socket that they may have reported is held back from
// all backends, for the moment that the answer takes. While they can't be reached,
// backends of this node learn of it at once. If the node was considered lost,
// backends elsewhere don't learn of these ends a second time.
//
// Its methods may be called concurrently.
type Check struct {
	opts Options // static

	// Guarded by mu.
	mu          sync.Mutex
	touched     time.Time // when the node was last seen to run and to reach the others
	incarnation uint64    // the node's then
	since       time.Time // since when it is uncertain; zero if it isn't
	asked       time.Time // when the others could be asked first; zero if they couldn't
	held        []func(alreadyPublished bool)
}

// New returns a check. Run must be called for uncertainty to end.
func New(o Options) *Check {
	return &Check{opts: o, touched: time.Now(), incarnation: o.Incarnation()}
}

// Uncertain reports whether other nodes may have considered this one lost.
func (c *Check) Uncertain() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.update(time.Now())
}

// update takes note of the time and reports whether it is uncertain. c.mu is held.
//
// A node that has stood still may learn that it was considered lost before the first update. So its
// incarnation is that of the time before.
func (c *Check) update(now time.Time) bool {
	isolated := c.opts.Isolated()
	if c.since.IsZero() && now.Sub(c.touched) > uncertainAfter {
		c.since = c.touched
	}
	if c.since.IsZero() && !isolated {
		c.touch(now)
	}
	if isolated {
		c.asked = time.Time{}
	}
	return !c.since.IsZero()
}

// touch notes that the node runs and reaches the others. c.mu is held.
func (c *Check) touch(now time.Time) { c.touched, c.incarnation = now, c.opts.Incarnation() }

// SocketEnded calls publish, which tells backends that a socket has ended: now, or
// once it is certain whether other nodes have told them already. came is when the
// socket connected to this node, or when this node took it over. Other nodes can only
// have reported sockets that came before the node was out of touch.
func (c *Check) SocketEnded(came time.Time, publish func(alreadyPublished bool)) {
	c.mu.Lock()
	hold := c.update(time.Now()) && came.Before(c.since) && !c.opts.Isolated() && len(c.held) < maxHeld
	if hold {
		c.held = append(c.held, publish)
	}
	c.mu.Unlock()
	if !hold {
		publish(false)
	}
}

// Run ends uncertainty until ctx ends. It is called once.
func (c *Check) Run(ctx context.Context) {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	defer c.end(false)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !c.Uncertain() || c.opts.Isolated() {
			continue
		}
		if lost, certain := c.ask(ctx); certain {
			c.end(lost)
		}
	}
}

// ask asks the other nodes whether they considered this one lost.
func (c *Check) ask(ctx context.Context) (lost, certain bool) {
	c.mu.Lock()
	if c.asked.IsZero() {
		c.asked = time.Now()
	}
	asked, incarnation := c.asked, c.incarnation
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	lost, complete := c.opts.AskLost(ctx)
	// Nodes that have let it join again meanwhile no longer consider it lost.
	lost = lost || c.opts.Incarnation() != incarnation
	return lost, lost || complete || time.Since(asked) > askLimit
}

// end ends the uncertainty.
func (c *Check) end(lost bool) {
	if lost {
		c.mu.Lock()
		since := c.since
		c.mu.Unlock()
		c.opts.Lost(since)
	}
	for held := c.take(); len(held) > 0; held = c.take() {
		for _, publish := range held {
			publish(lost)
		}
	}
}

// take returns what is held back. If that is nothing, the uncertainty is over.
func (c *Check) take() []func(alreadyPublished bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.held
	c.held = nil
	if len(held) == 0 {
		c.since, c.asked = time.Time{}, time.Time{}
		c.touch(time.Now())
	}
	return held
}
