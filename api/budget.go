package api

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
)

// budget bounds how many bytes calls hold, in total and for each caller, so that one caller
// leaves room for the others. Its methods may be called concurrently.
type budget struct {
	// Static.
	total, share int64

	debtors atomic.Int32 // callers that hold more than their share

	// Guarded by mu, which is held with no other lock.
	mu      sync.Mutex
	used    int64
	of      map[*auth.Caller]int64 // callers that hold something
	waiting []*claim               // in order of arrival
}

// claim is a call that waits for room.
type claim struct {
	by      *auth.Caller
	bytes   int64
	granted chan struct{} // closed when the bytes are granted
}

// newBudget returns a budget. Each caller may have half of it, but at least smallest.
func newBudget(total, smallest int64) *budget {
	share := max(total/2, smallest)
	return &budget{total: max(total, 2*share), share: share, of: make(map[*auth.Caller]int64)}
}

// try takes the bytes if there is room for them now.
func (b *budget) try(by *auth.Caller, bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.grant(by, bytes)
}

// take takes bytes, at most a share, as soon as there is room. It returns an error if there
// is none in time, or if ctx ends first.
func (b *budget) take(ctx context.Context, by *auth.Caller, bytes int64, patience time.Duration) error {
	b.mu.Lock()
	if b.grant(by, bytes) {
		b.mu.Unlock()
		return nil
	}
	c := &claim{by: by, bytes: bytes, granted: make(chan struct{})}
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var err error
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = tooBusy()
	}
	withdrawn := b.withdraw(c)
	if !withdrawn {
		return nil // granted at the last moment
	}
	return err
}

// give returns bytes that were taken.
func (b *budget) give(by *auth.Caller, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(by, -bytes)
	if len(b.waiting) == 0 {
		return
	}
	b.waiting = slices.DeleteFunc(b.waiting, func(c *claim) bool {
		granted := b.grant(c.by, c.bytes)
		if granted {
			close(c.granted)
		}
		return granted
	})
}

// grant takes the bytes if there is room. The caller holds mu.
func (b *budget) grant(by *auth.Caller, bytes int64) bool {
	if b.used+bytes > b.total || b.of[by]+bytes > b.share {
		return false
	}
	b.add(by, bytes)
	return true
}

// add changes what a caller holds. The caller holds mu.
func (b *budget) add(by *auth.Caller, bytes int64) {
	before := b.of[by]
	after := before + bytes
	b.used += bytes
	if after > 0 {
		b.of[by] = after
	} else {
		delete(b.of, by)
	}
	switch {
	case before <= b.share && after > b.share:
		b.debtors.Add(1)
	case before > b.share && after <= b.share:
		b.debtors.Add(-1)
	}
}

// owe takes bytes whether there is room for them or not.
func (b *budget) owe(by *auth.Caller, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(by, bytes)
}

// owes reports whether a caller holds more than its share. While nobody does, it takes no lock.
func (b *budget) owes(by *auth.Caller) bool {
	if b.debtors.Load() == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of[by] > b.share
}

// withdraw removes a claim and reports whether it was still waiting.
func (b *budget) withdraw(c *claim) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, c)
	if i < 0 {
		return false
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	return true
}

// tooBusy returns the error of a call for which there is no room.
func tooBusy() error {
	return apierror.Exhausted(apierror.ReasonTooManyRequests, "the calls in progress take all memory that is reserved for them, or for this API key; send fewer or smaller ones at a time, or try again in a moment", time.Second)
}

// tooMuchWork returns the error of a request that never fits.
func tooMuchWork(cost, most int64) error {
	return apierror.TooLarge("decoding the request would take about %s of memory, and at most %s are allowed: "+
		"send fewer elements at once, and arguments as argsJson (gRPC: args_json)", megabytes(cost), megabytes(most))
}

func megabytes(n int64) string { return fmt.Sprintf("%d MB", (n+999_999)/1_000_000) }
