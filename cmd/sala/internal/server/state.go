package server

import (
	"context"
	"fmt"

	"github.com/salabroker/sala/broker/token"
)

// openState takes in what has to survive a restart, and keeps it until everything
// else has stopped.
func (s *Server) openState() error {
	folder := string(s.cfg.Flags.StateDir)
	if folder == "" {
		if s.cfg.Cluster == nil && !s.cfg.Flags.Dev {
			s.log.Info("which tokens are revoked is kept in memory alone, and forgotten at a restart; --state-dir keeps it")
		}
		return nil
	}
	journal, err := token.OpenJournal(folder, s.cfg.Broker.Tokens.Revocations())
	if err != nil {
		return fmt.Errorf("--state-dir %s: %w", folder, err)
	}
	s.onStop("state", stopGrace, func(context.Context) error { return journal.Close() })
	return nil
}
