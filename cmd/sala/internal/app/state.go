package app

import (
	"context"
	"fmt"

	"github.com/salabroker/sala/broker/token"
)

// openState takes in what has to survive a restart, and keeps it until everything
// else has stopped.
func (a *App) openState() error {
	folder := string(a.cfg.Flags.StateDir)
	if folder == "" {
		if a.cfg.Cluster == nil && !a.cfg.Flags.Dev {
			a.log.Info("which tokens are revoked is kept in memory alone, and forgotten at a restart; --state-dir keeps it")
		}
		return nil
	}
	journal, err := token.OpenJournal(folder, a.cfg.Broker.Tokens.Revocations())
	if err != nil {
		return fmt.Errorf("--state-dir %s: %w", folder, err)
	}
	a.onStop("state", stopGrace, func(context.Context) error { return journal.Close() })
	return nil
}
