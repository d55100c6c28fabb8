package broker

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/token"
)

// renew replaces the socket's claims and adds it to rooms. It does both or nothing.
func (s *socket) renew(claims token.Claims, rooms []string) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expired || s.gone.Load() {
		return errSocketGone()
	}
	_, err := s.ns.index.Join(s, rooms...)
	switch {
	case errors.Is(err, room.ErrTooManyRooms):
		return tooManyRooms(s.b.opts.MaxRoomsPerSocket)
	case err != nil:
		return errSocketGone()
	}
	s.claims = s.b.keepClaims(claims)
	if s.session != nil {
		s.session.described = nil
	}
	if !s.updated {
		s.showData(claims.Data)
	}
	// A socket that doesn't expire is anonymous, and no token is for its user.
	if left, ok := s.untilExpiry(); ok {
		s.b.expiries.set(s, left)
	}
	return nil
}

// expire ends the socket when its token expires, unless the client has sent a new
// one meanwhile.
func (s *socket) expire() {
	s.mu.Lock()
	left, _ := s.untilExpiry()
	s.expired = left <= 0
	if !s.expired && !s.gone.Load() {
		s.b.expiries.set(s, left)
	}
	s.mu.Unlock()
	if left <= 0 {
		// Nobody returns with this token, but a client that is away may have a new one.
		s.disconnectAs(token.ReasonExpired, "the token has expired", tombstone{notRecovered: notRecoveredExpired})
	}
}

// startExpiry schedules expire, unless the socket has ended already. end sets gone
// before it cancels that, so that one of the two sees what the other has done.
func (s *socket) startExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if left, ok := s.untilExpiry(); ok && !s.gone.Load() {
		s.b.expiries.set(s, left)
	}
}

func (s *socket) stopExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.expiries.remove(s)
}

// checkRevoked ends the socket if its token is revoked, and reports whether this
// call ended it.
func (s *socket) checkRevoked() bool {
	s.mu.Lock()
	claims := s.claims.of(s.user)
	s.mu.Unlock()
	return s.b.opts.Tokens.Revocations().Revoked(claims) && s.disconnectAs(token.ReasonRevoked, "the token has been revoked", tombstone{})
}

// untilExpiry returns how long the socket's claims are valid. ok is false if they
// don't expire, as those of anonymous clients. s.mu is held.
func (s *socket) untilExpiry() (left time.Duration, ok bool) {
	expires := s.claims.expiresAt()
	if expires.IsZero() {
		return 0, false
	}
	return expires.Sub(s.b.opts.Tokens.Now()), true
}

const (
	// clockInterval is how often watchClock looks, and so how long a token can
	// outlive its expiry when the clock has jumped ahead.
	clockInterval = 500 * time.Millisecond
	// clockJump is the least difference that counts as a jump.
	clockJump = 100 * time.Millisecond
)

// watchClock reschedules the expiry of all sockets when the wall clock, by which tokens
// expire, and the monotonic clock, by which timers run, have diverged: somebody has
// set the clock, or the machine was asleep. One that comes too early checks the
// clock itself, so that this is for those that would come too late. It returns when
// ctx ends.
func (b *Broker) watchClock(ctx context.Context) {
	look := time.NewTicker(clockInterval)
	defer look.Stop()
	wall, steady := b.opts.Tokens.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		now := b.opts.Tokens.Now()
		// Round strips the monotonic reading.
		jump := now.Round(0).Sub(wall.Round(0)) - time.Since(steady)
		if jump.Abs() < clockJump {
			continue
		}
		b.log.Warn("the clock was set or the machine was asleep; rescheduling the expiry of tokens", "by", jump.String())
		wall, steady = now, time.Now()
		for _, ns := range b.namespaces {
			for _, s := range ns.index.Select(nil, Target{Everyone: true}) {
				s.resetExpiry()
			}
		}
	}
}

// resetExpiry reschedules expire by the clock as it is now.
func (s *socket) resetExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if left, ok := s.untilExpiry(); ok && s.b.expiries.has(s) && !s.gone.Load() {
		s.b.expiries.set(s, left)
	}
}

// expiries has sockets expire when their tokens do. All share one timer: one for each would be a
// part of what an idle client takes.
type expiries struct {
	mu    sync.Mutex
	queue expiryHeap
	timer *time.Timer // goes off at the first expiry, or earlier; nil before there was one
}

// expiry is a socket's entry in expiries.
type expiry struct {
	at    time.Duration // since the broker was started
	index int32         // in the heap, from 1; 0 if it isn't there
}

// latest bounds when a socket expires, so that sums don't overflow. Expire looks at the clock and
// begins again.
const latest = 100 * 365 * 24 * time.Hour

// set has a socket expire after left, and not when it was to expire before.
func (x *expiries) set(s *socket, left time.Duration) {
	left = min(left, latest)
	x.mu.Lock()
	defer x.mu.Unlock()
	s.expiry.at = time.Since(s.b.started) + left
	if i := s.expiry.index; i > 0 {
		heap.Fix(&x.queue, int(i)-1)
	} else {
		heap.Push(&x.queue, s)
	}
	if s.expiry.index == 1 {
		x.arm(left)
	}
}

// arm sets the timer. The caller holds mu.
func (x *expiries) arm(left time.Duration) {
	if x.timer == nil {
		x.timer = time.AfterFunc(left, x.expire)
	} else {
		x.timer.Reset(left)
	}
}

func (x *expiries) remove(s *socket) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if i := s.expiry.index; i > 0 {
		heap.Remove(&x.queue, int(i)-1)
	}
}

// has reports whether a socket is to expire.
func (x *expiries) has(s *socket) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return s.expiry.index > 0
}

// expire has the sockets expire whose time has come, and sets the timer for the next.
func (x *expiries) expire() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.queue) > 0 {
		first := x.queue[0]
		if left := first.expiry.at - time.Since(first.b.started); left > 0 {
			x.arm(left)
			return
		}
		heap.Pop(&x.queue)
		go first.expire()
	}
}

// expiryHeap orders sockets by their expiry.
type expiryHeap []*socket

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expiry.at < h[j].expiry.at }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].expiry.index, h[j].expiry.index = int32(i+1), int32(j+1) //nolint:gosec // bounded by file descriptors
}

func (h *expiryHeap) Push(x any) {
	s := x.(*socket)
	*h = append(*h, s)
	s.expiry.index = int32(len(*h)) //nolint:gosec // bounded by file descriptors
}

func (h *expiryHeap) Pop() any {
	old := *h
	last := len(old) - 1
	s := old[last]
	old[last] = nil
	*h = old[:last]
	s.expiry.index = 0
	return s
}
