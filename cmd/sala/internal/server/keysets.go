package server

import (
	"context"
	"sync"
)

// fetchKeys has the public keys of tokens fetched, and fetched again, until the
// clients are gone. It doesn't wait for them: tokens do.
func (s *Server) fetchKeys(ctx context.Context) {
	if len(s.cfg.KeySets) == 0 {
		return
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var fetching sync.WaitGroup
	for _, set := range s.cfg.KeySets {
		fetching.Go(func() { set.Run(running, s.log) })
	}
	s.onStop("keys of tokens", stopGrace, func(context.Context) error {
		stop()
		fetching.Wait()
		return nil
	})
}
