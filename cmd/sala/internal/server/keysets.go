package server

import (
	"context"
	"sync"
)

// fetchKeys keeps the public keys for tokens up to date until the clients are gone. It doesn't wait
// for the first fetch; whoever verifies a token does.
func (s *Server) fetchKeys(ctx context.Context) {
	if len(s.cfg.KeySets) == 0 {
		return
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var fetching sync.WaitGroup
	for _, set := range s.cfg.KeySets {
		fetching.Go(func() { set.Run(running, s.log) })
	}
	s.onStop("token keys", stopGrace, func(context.Context) error {
		stop()
		fetching.Wait()
		return nil
	})
}
