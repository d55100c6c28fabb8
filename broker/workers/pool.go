// Package workers runs functions on goroutines of their own, and keeps goroutines for a moment
// that have ended one. The stack of a new goroutine grows with what it calls, which copies it each
// time: that was a tenth of what it cost to answer a call of another node.
package workers

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxIdle is how many goroutines a pool keeps.
	maxIdle = 64
	// idleTime is how long it keeps one that has nothing to do.
	idleTime = 100 * time.Millisecond
)

// Pool runs functions. Its methods may be called concurrently.
type Pool struct {
	next   chan func() // is received from by the goroutines that are kept
	idle   atomic.Int32
	closed chan struct{}
	close  func()
}

// New returns a pool. It has no goroutines until it is used, nor a moment after that.
func New() *Pool {
	p := &Pool{next: make(chan func()), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

// Close ends the goroutines that have nothing to do, and keeps none from now on.
func (p *Pool) Close() { p.close() }

// Go runs f on a goroutine where nothing else runs. It never waits.
func (p *Pool) Go(f func()) {
	select {
	case p.next <- f:
	default:
		go p.run(f)
	}
}

// run runs f, and what comes next.
func (p *Pool) run(f func()) {
	alarm := time.NewTimer(idleTime)
	defer alarm.Stop()
	for f != nil {
		f()
		f = p.wait(alarm)
	}
}

// wait returns the next function; nil if enough goroutines wait, if none comes for a while, or once
// the pool is closed.
func (p *Pool) wait(alarm *time.Timer) (f func()) {
	defer p.idle.Add(-1)
	if p.idle.Add(1) > maxIdle {
		return nil
	}
	alarm.Reset(idleTime)
	select {
	case f = <-p.next:
		return f
	case <-alarm.C:
	case <-p.closed:
	}
	return nil
}
