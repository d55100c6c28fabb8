package broker

import (
	"context"
	"time"
)

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
			for _, s := range ns.index.Select(nil, everyone) {
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

// untilExpiry returns how long the socket's claims hold; ok is false if they
// have no end, as those of anonymous clients. The caller holds mu.
func (s *socket) untilExpiry() (left time.Duration, ok bool) {
	if s.claims.ExpiresAt.IsZero() {
		return 0, false
	}
	return s.claims.ExpiresAt.Sub(s.client.b.opts.Tokens.Now()), true
}
