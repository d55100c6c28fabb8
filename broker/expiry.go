package broker

import (
	"context"
	"errors"
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
	s.claims = claims
	if s.session != nil {
		s.session.described = nil
	}
	if !s.updated {
		s.showData(claims.Data)
	}
	// A socket that doesn't expire is anonymous, and no token is for its user.
	if left, ok := s.untilExpiry(); ok {
		s.expiry.Reset(left)
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
		s.expiry.Reset(left)
	}
	s.mu.Unlock()
	if left <= 0 {
		// Nobody returns with this token, but a client that is away may have a new one.
		s.disconnectAs(token.ReasonExpired, "the token has expired", tombstone{notRecovered: notRecoveredExpired})
	}
}

// startExpiry schedules expire, unless the socket has ended already. end sets gone
// before it stops the timer, so that one of the two sees what the other has done.
func (s *socket) startExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if left, ok := s.untilExpiry(); ok && !s.gone.Load() {
		s.expiry = time.AfterFunc(left, s.expire)
	}
}

func (s *socket) stopExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expiry != nil {
		s.expiry.Stop()
	}
}

// checkRevoked ends the socket if its token is revoked, and reports whether this
// call ended it.
func (s *socket) checkRevoked() bool {
	s.mu.Lock()
	revoked := s.b.opts.Tokens.Revocations().Revoked(s.claims)
	s.mu.Unlock()
	return revoked && s.disconnectAs(token.ReasonRevoked, "the token has been revoked", tombstone{})
}

// untilExpiry returns how long the socket's claims are valid. ok is false if they
// don't expire, as those of anonymous clients. s.mu is held.
func (s *socket) untilExpiry() (left time.Duration, ok bool) {
	if s.claims.ExpiresAt.IsZero() {
		return 0, false
	}
	return s.claims.ExpiresAt.Sub(s.b.opts.Tokens.Now()), true
}

const (
	// clockInterval is how often watchClock looks, and so how long a token can
	// outlive its expiry when the clock has jumped ahead.
	clockInterval = 500 * time.Millisecond
	// clockJump is the least difference that counts as a jump.
	clockJump = 100 * time.Millisecond
)

// watchClock resets the timers of all sockets when the wall clock, by which tokens
// expire, and the monotonic clock, by which timers run, have diverged: somebody has
// set the clock, or the machine was asleep. A timer that fires too early checks the
// clock itself, so that this is for timers that would fire too late. It returns when
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
	if left, ok := s.untilExpiry(); ok && s.expiry != nil && !s.gone.Load() {
		s.expiry.Reset(left)
	}
}
