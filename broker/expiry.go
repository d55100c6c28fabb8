package broker

import (
	"context"
	"errors"
	"time"

	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/token"
)

// renew puts the claims in the place of the socket's, and the socket into their
// rooms beside those that it is in, or does nothing if it can't do both.
func (s *socket) renew(claims token.Claims) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expired || s.gone.Load() {
		return errSocketGone()
	}
	_, err := s.ns.index.Join(s, claims.Rooms...)
	switch {
	case errors.Is(err, room.ErrTooManyRooms):
		return tooManyRooms(s.client.b.opts.MaxRoomsPerSocket)
	case err != nil:
		return errSocketGone()
	}
	s.claims = claims
	if !s.updated {
		s.showData(claims.Data)
	}
	// A socket without an end is anonymous, and no token is for its user.
	if left, ok := s.untilExpiry(); ok {
		s.expiry.Reset(left)
	}
	return nil
}

// expire ends the socket when its token does, unless the client has sent a
// fresh one meanwhile.
func (s *socket) expire() {
	s.mu.Lock()
	left, _ := s.untilExpiry()
	s.expired = left <= 0
	if !s.expired && !s.gone.Load() {
		s.expiry.Reset(left)
	}
	s.mu.Unlock()
	if left <= 0 {
		s.disconnect(token.ReasonExpired, "the token has expired")
	}
}

// startExpiry has expire called when the socket's token ends, unless the socket
// has ended already. end sets gone before it stops the timer, so that one of the
// two sees what the other has done.
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

// checkRevoked ends the socket if its token is revoked, and reports whether it
// was this call that did.
func (s *socket) checkRevoked() bool {
	s.mu.Lock()
	revoked := s.client.b.opts.Tokens.Revocations().Revoked(s.claims)
	s.mu.Unlock()
	return revoked && s.disconnect(token.ReasonRevoked, "the token has been revoked")
}

// untilExpiry returns how long the socket's claims hold; ok is false if they
// have no end, as those of anonymous clients. The caller holds mu.
func (s *socket) untilExpiry() (left time.Duration, ok bool) {
	if s.claims.ExpiresAt.IsZero() {
		return 0, false
	}
	return s.claims.ExpiresAt.Sub(s.client.b.opts.Tokens.Now()), true
}

const (
	// clockLook is how often the clock is looked at, and so the most that a token
	// outlives its end when the clock has jumped ahead.
	clockLook = 500 * time.Millisecond
	// clockJump is how far it must be off to have jumped.
	clockJump = 100 * time.Millisecond
)

// watchClock sets the timers of all sockets anew when the wall clock, by which
// tokens end, has gone another way than the one that timers run by: somebody has
// set it, or the machine was asleep. So a timer that would be too late is not.
// One that is too early looks at the clock itself. It returns when ctx ends.
func (b *Broker) watchClock(ctx context.Context) {
	look := time.NewTicker(clockLook)
	defer look.Stop()
	wall, steady := b.opts.Tokens.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		now := b.opts.Tokens.Now()
		// Round takes the steady reading out of both.
		jump := now.Round(0).Sub(wall.Round(0)) - time.Since(steady)
		if jump.Abs() < clockJump {
			continue
		}
		b.log.Warn("the clock has been set, or this machine was asleep; ends of tokens are looked at anew", "by", jump.String())
		wall, steady = now, time.Now()
		for _, ns := range b.namespaces {
			for _, s := range ns.index.Select(nil, Target{Everyone: true}) {
				s.resetExpiry()
			}
		}
	}
}

// resetExpiry has expire called when the socket's token ends by the clock as it
// is now.
func (s *socket) resetExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if left, ok := s.untilExpiry(); ok && s.expiry != nil && !s.gone.Load() {
		s.expiry.Reset(left)
	}
}
