package redishistory

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// serversEvery is how often the engine looks whether a server has started again.
const serversEvery = time.Second

// servers are the servers that are or were primaries, each start of a server on its own. A server
// that has started again, or has become the primary, may lack the last entries. Their offsets would
// be given to others, and readers wouldn't learn of the hole.
type servers struct {
	mu    sync.Mutex
	known map[string]bool
}

// watchServers looks for new servers until ctx ends.
func (e *Engine) watchServers(ctx context.Context) {
	tick := time.NewTicker(serversEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if client, err := e.client.Current(); err == nil {
			e.checkServers(ctx, client)
		}
	}
}

// checkServers takes all rooms for broken if a primary has started or another server has become
// one.
func (e *Engine) checkServers(ctx context.Context, client rueidis.Client) {
	var now []string
	for _, server := range client.Nodes() {
		if id := e.primary(ctx, server); id != "" {
			now = append(now, id)
		}
	}
	if e.servers.add(now) {
		e.log.Info("a server of the Redis is new or has started again; rooms begin a new epoch, because it may lack messages")
		e.broken.addAll()
	}
}

// add adds servers, and reports whether one of them is new and isn't among the first.
func (s *servers) add(now []string) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.known == nil
	if first && len(now) > 0 {
		s.known = make(map[string]bool)
	}
	for _, server := range now {
		if !s.known[server] {
			s.known[server], changed = true, !first
		}
	}
	return changed
}

// primary identifies the start of a server; empty if it isn't a primary or doesn't say.
func (e *Engine) primary(ctx context.Context, server rueidis.Client) string {
	ctx, cancel := context.WithTimeout(ctx, e.client.Timeout())
	defer cancel()
	id, role := "", ""
	for _, result := range server.DoMulti(ctx, server.B().Info().Section("server").Build(), server.B().Info().Section("replication").Build()) {
		text, err := result.ToString()
		if err != nil {
			return ""
		}
		for line := range strings.Lines(text) {
			switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
			case "run_id":
				id = value
			case "role":
				role = value
			}
		}
	}
	if role != "master" {
		return ""
	}
	return id
}
