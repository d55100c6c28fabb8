package clusters

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

const (
	// masterName is what sentinels call the master.
	masterName = "faults"
	// sentinelCount is how many sentinels there are.
	sentinelCount = 3
	// masterCount is how many masters a Redis Cluster has, each with a replica.
	masterCount = 3
	// failoverTimeout is how long a failover may take.
	failoverTimeout = 40 * time.Second
)

// Failovers are what the scenarios with failovers share.
type Failovers struct {
	Traffic
	// Failovers is how many there are, alternately planned and after a kill.
	Failovers int
}

func newFailovers(quick bool) Failovers { return Failovers{traffic(quick), rounds(quick, 4, 2)} }

// info returns the parts of a description that both scenarios share.
func (s Failovers) info(name, title, description string) scenario.Info {
	return scenario.Info{
		Name: name, Title: title, Description: s.describe() + description + ownAndComplete,
		Limits: limits(
			keptConnections(),
			scenario.Limit{Figure: figurePlanned, Max: 15, What: "seconds until all clients received messages of all nodes again, planned"},
			scenario.Limit{Figure: scenario.Resumed, Max: 20, What: "seconds until all clients received messages of all nodes again, killed"},
		),
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%s; %.0f failovers", summary(f), f[scenario.Kills])
		},
	}
}

// replicatedRedis is a Redis with replicas.
type replicatedRedis interface {
	redisSetup
	// failOver makes a replica the master, as an operator does or by killing the master.
	failOver(ctx context.Context, kill bool) error
	// repair restores what was killed.
	repair(ctx context.Context) error
}

func (s Failovers) run(ctx context.Context, env *scenario.Env, redis replicatedRedis) (results.Figures, error) {
	o := options{traffic: s.Traffic, redis: redis, verdict: verdict{owed: ownNode}}
	return run(ctx, env, o, func(r *chaosRun, ctx context.Context) error {
		for n := range s.Failovers {
			figure, kill := figurePlanned, n%2 == 1
			if kill {
				figure = scenario.Resumed
			}
			begin := time.Now()
			if err := redis.failOver(ctx, kill); err != nil {
				return fmt.Errorf("failover %d: %w", n+1, err)
			}
			if _, err := r.awaitComplete(ctx); err != nil {
				return err
			}
			r.figures.Raise(figure, time.Since(begin).Seconds())
			r.figures[scenario.Kills]++
			if err := redis.repair(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// Sentinel has sentinels replace the Redis of a cluster.
type Sentinel struct{ Failovers }

// NewSentinel returns the scenario.
func NewSentinel(quick bool) scenario.Scenario { return &Sentinel{newFailovers(quick)} }

// Info implements [scenario.Scenario].
func (s *Sentinel) Info() scenario.Info {
	return s.info("sentinel", "Sentinels replace the Redis", fmt.Sprintf("The nodes know three sentinels, which replace the Redis by its replica %d times: alternately because an "+
		"operator asks for it (`SENTINEL FAILOVER`) and because the Redis was killed. The sentinels take it for dead after 1 s. ",
		s.Failovers.Failovers))
}

// Run implements [scenario.Scenario].
func (s *Sentinel) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	return s.run(ctx, env, &sentinels{})
}

// sentinels are a master, its replica and the sentinels that watch them. It implements
// [replicatedRedis].
type sentinels struct {
	*redisServers
	master, replica string   // addresses
	watching        []string // addresses of the sentinels
}

func (s *sentinels) start(ctx context.Context, c process.Cluster) (err error) {
	if s.redisServers, err = newRedisServers(c); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.master, err = s.add(ctx); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(s.master)
	if s.replica, err = s.add(ctx, "--replicaof", host+" "+port); err != nil {
		return err
	}
	for range sentinelCount {
		address, err := s.addSentinel(ctx, fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s 1000\n"+
			"sentinel failover-timeout %[1]s 3000\n", masterName, host, port))
		if err != nil {
			return err
		}
		s.watching = append(s.watching, address)
	}
	return s.await(ctx, "the sentinels to know each other", fmt.Sprintf("status=ok,address=%s,slaves=1,sentinels=%d", s.master, sentinelCount))
}

func (s *sentinels) url(int) string {
	return fmt.Sprintf("redis://%s?master_set=%s&addr=%s", s.watching[0], masterName, strings.Join(s.watching[1:], "&addr="))
}

// await waits until the information of all sentinels contains text.
func (s *sentinels) await(ctx context.Context, what, text string) error {
	return awaitInfo(ctx, what, s.watching, "INFO sentinel", func(info string) bool { return strings.Contains(info, text) })
}

func (s *sentinels) failOver(ctx context.Context, kill bool) error {
	if kill {
		s.servers[s.master].Kill()
	} else if err := redisCall(ctx, s.watching[0], "SENTINEL FAILOVER "+masterName); err != nil {
		return err
	}
	s.master, s.replica = s.replica, s.master
	return s.await(ctx, "the other Redis to be the master", "address="+s.master+",")
}

// repair starts the replica if it was killed, and waits until it follows the master.
func (s *sentinels) repair(ctx context.Context) error {
	select {
	case <-s.servers[s.replica].Ended():
		if err := s.restart(ctx, s.replica); err != nil {
			return err
		}
	default:
	}
	return awaitInfo(ctx, "the replica", []string{s.replica}, "INFO replication", func(info string) bool {
		return strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up")
	})
}

// RedisCluster has a Redis Cluster replace its masters.
type RedisCluster struct{ Failovers }

// NewRedisCluster returns the scenario.
func NewRedisCluster(quick bool) scenario.Scenario { return &RedisCluster{newFailovers(quick)} }

// Info implements [scenario.Scenario].
func (s *RedisCluster) Info() scenario.Info {
	return s.info("redis-cluster", "A Redis Cluster replaces its masters", fmt.Sprintf("The Redis is a Redis Cluster of three masters with a replica each. %d times a replica takes over: alternately "+
		"because an operator asks for it (`CLUSTER FAILOVER`) and because its master was killed. The cluster takes a master for dead after "+
		"1.5 s. ", s.Failovers.Failovers))
}

// Run implements [scenario.Scenario].
func (s *RedisCluster) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	return s.run(ctx, env, &shardedRedis{})
}

// shardedRedis is a Redis Cluster whose masters have a replica each. It implements
// [replicatedRedis].
type shardedRedis struct {
	*redisServers
}

func (c *shardedRedis) start(ctx context.Context, commands process.Cluster) (err error) {
	if c.redisServers, err = newRedisServers(commands); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	for range 2 * masterCount {
		free, err := process.FreeAddresses(1)
		if err != nil {
			return err
		}
		_, bus, _ := net.SplitHostPort(free[0])
		if _, err := c.add(ctx, "--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-port", bus); err != nil {
			return err
		}
	}
	args := append([]string{"--cluster", "create"}, c.order...)
	create := exec.CommandContext(ctx, "redis-cli", append(args, "--cluster-replicas", "1", "--cluster-yes")...)
	if out, err := create.CombinedOutput(); err != nil {
		return fmt.Errorf("creating a Redis Cluster: %w: %s", err, out)
	}
	return c.repair(ctx)
}

func (c *shardedRedis) url(int) string {
	return fmt.Sprintf("redis://%s?addr=%s", c.order[0], strings.Join(c.order[1:], "&addr="))
}

// repair waits until all servers report that the cluster works and that each replica follows its
// master.
func (c *shardedRedis) repair(ctx context.Context) error {
	return errors.Join(
		awaitInfo(ctx, "the Redis Cluster to work", c.order, "CLUSTER INFO", func(info string) bool { return strings.Contains(info, "cluster_state:ok") }),
		awaitInfo(ctx, "replicas to follow", c.order, "INFO replication", func(info string) bool {
			return strings.Contains(info, "role:master") && strings.Contains(info, "connected_slaves:1") || strings.Contains(info, "master_link_status:up")
		}),
	)
}

// failOver makes a replica a master. A killed master is started again.
func (c *shardedRedis) failOver(ctx context.Context, kill bool) error {
	for _, address := range c.order {
		info, err := redisInfo(ctx, address, "INFO replication")
		if err != nil {
			return err
		}
		if !strings.Contains(info, "role:slave") {
			continue
		}
		if !kill {
			return errors.Join(redisCall(ctx, address, "CLUSTER FAILOVER"), c.awaitPromotion(ctx, address))
		}
		master := net.JoinHostPort(infoField(info, "master_host:"), infoField(info, "master_port:"))
		c.servers[master].Kill()
		if err := c.awaitPromotion(ctx, address); err != nil {
			return err
		}
		return c.restart(ctx, master)
	}
	return errors.New("there is no replica")
}

func (c *shardedRedis) awaitPromotion(ctx context.Context, address string) error {
	return awaitInfo(ctx, "a replica to become a master", []string{address}, "INFO replication", func(info string) bool {
		return strings.Contains(info, "role:master")
	})
}
