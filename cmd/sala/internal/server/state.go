package server

import (
	"context"
	"fmt"

	"github.com/salabroker/sala/broker/token"
)

// openState loads the state that survives restarts, and keeps saving it until everything else has
// stopped.
func (s *Server) openState() error {
	folder := string(s.cfg.Flags.StateDir)
	if folder == "" {
		if s.cfg.Cluster == nil && !s.cfg.Flags.Dev {
			s.log.Info("a restart forgets which tokens are revoked; set --state-dir to keep that")
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
