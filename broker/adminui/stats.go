package adminui

import (
	"context"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// statsInterval is how often admins get to know how the nodes are doing. The page takes a node for
// unhealthy after 10 s.
const statsInterval = 2 * time.Second

// serverStats is how a node is doing, as the page gets it.
type serverStats struct {
	ServerID            string            `json:"serverId"`
	Hostname            string            `json:"hostname"`
	PID                 int64             `json:"pid"`
	Uptime              float64           `json:"uptime"` // seconds
	ClientsCount        int64             `json:"clientsCount"`
	PollingClientsCount int64             `json:"pollingClientsCount"`
	AggregatedEvents    []aggregated      `json:"aggregatedEvents"`
	Namespaces          []namespaceCounts `json:"namespaces"`
}

// aggregated counts something that happened since the last stats.
type aggregated struct {
	Timestamp int64  `json:"timestamp"` // milliseconds since 1970
	Type      string `json:"type"`
	SubType   string `json:"subType,omitempty"`
	Count     uint64 `json:"count"`
}

type namespaceCounts struct {
	Name         string `json:"name"`
	SocketsCount int64  `json:"socketsCount"`
}

// runStats sends admins how the nodes are doing until ctx ends.
func (s *Server) runStats(ctx context.Context) {
	tick := time.NewTimer(statsInterval)
	defer tick.Stop()
	var before map[string]*wire.AdminStats // by node
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.statsWake:
		case <-tick.C:
		}
		admins := s.signedIn()
		if len(admins) == 0 {
			tick.Stop()
			before = nil
			continue
		}
		before = s.sendStats(ctx, admins, before)
		tick.Reset(statsInterval)
	}
}

// sendStats sends admins how the nodes are doing and what has happened since before. It returns what
// is before the next time.
func (s *Server) sendStats(ctx context.Context, admins []*admin, before map[string]*wire.AdminStats) map[string]*wire.AdminStats {
	now := make(map[string]*wire.AdminStats)
	var total int64
	for _, node := range s.opts.Node.Stats(ctx) {
		now[node.GetNode()] = node
		for _, ns := range node.GetNamespaces() {
			total += ns.GetSockets()
		}
		events := happened(before[node.GetNode()], node, time.Now())
		for _, a := range admins {
			a.send(frame("server_stats", statsFor(a.account, node, events)))
		}
	}
	s.total.Store(total)
	notify(s.feedWake)
	return now
}

// statsFor returns what an account sees of a node: the sockets of namespaces only if it may read
// them.
func statsFor(account Account, node *wire.AdminStats, events []aggregated) serverStats {
	shown := serverStats{
		ServerID:            node.GetNode(),
		Hostname:            node.GetHostname(),
		PID:                 node.GetPid(),
		Uptime:              float64(node.GetUptimeMs()) / 1000,
		ClientsCount:        node.GetClients(),
		PollingClientsCount: node.GetPollingClients(),
		AggregatedEvents:    events,
		Namespaces:          []namespaceCounts{},
	}
	for _, ns := range node.GetNamespaces() {
		if account.Sees(ns.GetName()) {
			shown.Namespaces = append(shown.Namespaces, namespaceCounts{ns.GetName(), ns.GetSockets()})
		}
	}
	return shown
}

// happened returns what has happened at a node since before; nothing if that is nil.
func happened(before, now *wire.AdminStats, at time.Time) []aggregated {
	events := []aggregated{}
	if before == nil {
		return events
	}
	add := func(kind, sub string, from, to uint64) {
		if to > from {
			events = append(events, aggregated{Timestamp: at.UnixMilli(), Type: kind, SubType: sub, Count: to - from})
		}
	}
	add("rawConnection", "", before.GetOpened(), now.GetOpened())
	for reason, n := range now.GetClosed() {
		add("rawDisconnection", reason, before.GetClosed()[reason], n)
	}
	add("packetsIn", "", before.GetPacketsIn(), now.GetPacketsIn())
	add("packetsOut", "", before.GetPacketsOut(), now.GetPacketsOut())
	add("bytesIn", "", before.GetBytesIn(), now.GetBytesIn())
	add("bytesOut", "", before.GetBytesOut(), now.GetBytesOut())
	return events
}
