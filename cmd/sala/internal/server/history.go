package server

import (
	"cmp"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/history/redishistory"
)

// clockDifference is more than the clocks of nodes may differ by. A history knows messages with
// idempotency keys for that much longer than any node repeats them.
const clockDifference = time.Minute

// historyOptions returns the options with an engine: in memory for a single node, in the Redis of
// its cluster for others. It returns nil if no room has a history.
func (s *Server) historyOptions(o *broker.Options) (*broker.HistoryOptions, error) {
	if o.History == nil {
		return nil, nil
	}
	options := *o.History
	window := o.IdempotencyWindow + clockDifference
	if c := s.cfg.Cluster; c != nil {
		engine, err := redishistory.New(redishistory.Options{
			Redis: redis.Options{URL: c.RedisURL, Logger: s.log}, Name: c.Name, Keys: c.Keys, Window: window,
		})
		if err != nil {
			return nil, err
		}
		options.Engine = engine
		return &options, nil
	}
	options.Engine = history.NewMemory(history.MemoryOptions{
		MaxBytes: cmp.Or(s.cfg.Flags.HistoryMaxBytes, o.MemoryLimit/4), Window: window,
	})
	return &options, nil
}
