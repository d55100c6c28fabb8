package main

import (
	"maps"

	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/chaos/internal/attacks"
	"github.com/salabroker/sala/chaos/internal/backends"
	"github.com/salabroker/sala/chaos/internal/clusters"
	"github.com/salabroker/sala/chaos/internal/connections"
	"github.com/salabroker/sala/chaos/internal/recovery"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// scenarios returns all scenarios in the order in which they run and are described.
func scenarios() []scenario.New {
	return []scenario.New{
		connections.NewStalled,
		connections.NewAbrupt,
		connections.NewDisconnects,
		connections.NewUpgrades,
		connections.NewWebSocketHandshakes,
		connections.NewPollingHandshakes,
		attacks.NewHostile,
		attacks.NewShares,
		connections.NewStorm,
		connections.NewTerminate,
		connections.NewResets,
		connections.NewFiles,
		recovery.New,
		backends.NewKill,
		clusters.NewKillNodes,
		clusters.NewKillRedis,
		clusters.NewRetries,
		clusters.NewFrozen,
		clusters.NewKillPairs,
		clusters.NewNetwork,
		clusters.NewRefusals,
		clusters.NewSentinel,
		clusters.NewRedisCluster,
		clusters.NewSkew,
		clusters.NewRolling,
		clusters.NewMembership,
		clusters.NewPresence,
		recovery.NewClustered,
		recovery.NewRolling,
	}
}

// roles returns what this program does as a child of itself.
func roles() map[string]process.Role {
	all := make(map[string]process.Role)
	for _, of := range []map[string]process.Role{attacks.Roles(), backends.Roles(), connections.Roles()} {
		maps.Copy(all, of)
	}
	return all
}
