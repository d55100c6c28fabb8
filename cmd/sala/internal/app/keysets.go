package app

import (
	"context"
	"sync"
)

// fetchKeys has the public keys of tokens fetched, and fetched again, until the
// clients are gone. It doesn't wait for them: tokens do.
func (a *App) fetchKeys(ctx context.Context) {
	if len(a.cfg.KeySets) == 0 {
		return
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var fetching sync.WaitGroup
	for _, set := range a.cfg.KeySets {
		fetching.Go(func() { set.Run(running, a.log) })
	}
	a.onStop("keys of tokens", stopGrace, func(context.Context) error {
		stop()
		fetching.Wait()
		return nil
	})
}
