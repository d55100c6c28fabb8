package server

import (
	"cmp"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/history/redishistory"
)

// historyOptions returns the options with an engine: in memory for a single node, in the Redis of
// its cluster for others. It returns nil if no room has a history.
func (s *Server) historyOptions(o *broker.Options) (*broker.HistoryOptions, error) {
	if o.History == nil {
		return nil, nil
	}
	options := *o.History
	if c := s.cfg.Cluster; c != nil {
		engine, err := redishistory.New(redishistory.Options{
			Redis: redis.Options{URL: c.RedisURL, Logger: s.log}, Name: c.Name, Keys: c.Keys, Window: o.IdempotencyWindow,
		})
		if err != nil {
			return nil, err
		}
		options.Engine = engine
		return &options, nil
	}
	options.Engine = history.NewMemory(history.MemoryOptions{
		MaxBytes: cmp.Or(s.cfg.Flags.HistoryMaxBytes, o.MemoryLimit/4), Window: o.IdempotencyWindow,
	})
	return &options, nil
}
