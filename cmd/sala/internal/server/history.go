package server

import (
	"cmp"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/history"
)

// historyOptions returns the options with an engine: in memory for a single node. It returns nil if
// no room has a history.
func (s *Server) historyOptions(o *broker.Options) *broker.HistoryOptions {
	if o.History == nil {
		return nil
	}
	options := *o.History
	options.Engine = history.NewMemory(history.MemoryOptions{
		MaxBytes: cmp.Or(s.cfg.Flags.HistoryMaxBytes, o.MemoryLimit/4),
		Window:   o.IdempotencyWindow,
	})
	return &options
}
