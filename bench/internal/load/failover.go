package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/server"
)

const (
	// masterName is what sentinels call the master.
	masterName = "faults"
	// sentinelCount is how many there are.
	sentinelCount = 3
	// masterCount is how many masters a Redis Cluster has, each with a replica.
	masterCount = 3
	// replaced is how long a failover may take.
	replaced = 40 * time.Second
)

// redises are servers of Redis beside the job's.
type redises struct {
	dir     string
	log     string
	servers map[string]*server.Server // by address
	starts  map[string]*job.Command
	order   []string
}

func newRedises(j *job.Job) (*redises, error) {
	dir, err := os.MkdirTemp("", "sala-faults-")
	if err != nil {
		return nil, err
	}
	return &redises{
		dir: dir, log: j.Servers[0].Log, servers: make(map[string]*server.Server), starts: make(map[string]*job.Command),
	}, nil
}

// add starts a server with arguments beside the usual, and returns its address. A config file comes first.
func (r *redises) add(ctx context.Context, config string, args ...string) (string, error) {
	free, err := server.FreeAddresses(1)
	if err != nil {
		return "", err
	}
	host, port, _ := net.SplitHostPort(free[0])
	dir, err := os.MkdirTemp(r.dir, "")
	if err != nil {
		return "", err
	}
	all := []string{"--port", port, "--bind", host, "--dir", dir, "--daemonize", "no"}
	if config != "" {
		path := filepath.Join(dir, "redis.conf")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return "", err
		}
		all = append([]string{path, "--sentinel"}, all...)
	} else {
		all = append(all, "--save", "", "--appendonly", "no")
	}
	r.starts[free[0]] = &job.Command{
		Name: "redis " + free[0], Path: "redis-server", Args: append(all, args...), Wait: free, Log: r.log, Target: job.Target{Listen: free[0]},
	}
	r.order = append(r.order, free[0])
	return free[0], r.restart(ctx, free[0])
}

func (r *redises) restart(ctx context.Context, address string) error {
	s, err := server.Start(ctx, r.starts[address])
	if err == nil {
		r.servers[address] = s
	}
	return err
}

func (r *redises) stop() {
	for _, s := range r.servers {
		s.Kill()
	}
	_ = os.RemoveAll(r.dir) // in the folder for what is temporary
}

// sentinels are a master, its replica and the sentinels that choose which is which.
type sentinels struct {
	*redises
	data, watch []string // addresses
}

func (s *sentinels) start(ctx context.Context, j *job.Job) (err error) {
	if s.redises, err = newRedises(j); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	master, err := s.add(ctx, "")
	if err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(master)
	replica, err := s.add(ctx, "", "--replicaof", host+" "+port)
	if err != nil {
		return err
	}
	s.data = []string{master, replica}
	for range sentinelCount {
		watch, err := s.add(ctx, fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s 1000\n"+
			"sentinel failover-timeout %[1]s 3000\n", masterName, host, port))
		if err != nil {
			return err
		}
		s.watch = append(s.watch, watch)
	}
	return s.await(ctx, "the sentinels to know everybody", func(info string) bool {
		return strings.Contains(info, fmt.Sprintf("status=ok,address=%s,slaves=1,sentinels=%d", master, sentinelCount))
	})
}

func (s *sentinels) url(int) string {
	return fmt.Sprintf("redis://%s?master_set=%s&addr=%s", s.watch[0], masterName, strings.Join(s.watch[1:], "&addr="))
}

// await waits until all sentinels say what done looks for.
func (s *sentinels) await(ctx context.Context, what string, done func(info string) bool) error {
	return awaitAll(ctx, what, s.watch, "INFO sentinel", done)
}

func awaitAll(ctx context.Context, what string, addresses []string, words string, done func(string) bool) error {
	for begin := time.Now(); ; {
		said := 0
		for _, address := range addresses {
			if info, err := redisText(ctx, address, words); err == nil && done(info) {
				said++
			}
		}
		switch {
		case said == len(addresses):
			return nil
		case time.Since(begin) > replaced:
			return fmt.Errorf("waited in vain for %s", what)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// redisText sends words to a Redis and returns all of its answer.
func redisText(ctx context.Context, address, words string) (string, error) {
	host, port, _ := net.SplitHostPort(address)
	answer, err := exec.CommandContext(ctx, "redis-cli", append([]string{"-h", host, "-p", port}, strings.Fields(words)...)...).Output()
	return string(answer), err
}

// runSentinel replaces the master that sentinels watch, as an operator does and as a crash does.
func runSentinel(ctx context.Context, j *job.Job) (job.Figures, error) {
	s := &sentinels{}
	return runTroubleOn(ctx, j, s, verdict{owed: ownOnly}, func(t *trouble, ctx context.Context) error {
		for round := range j.Rounds {
			begin := time.Now()
			if err := s.replace(ctx, round%2 == 1); err != nil {
				return fmt.Errorf("failover %d: %w", round+1, err)
			}
			if _, err := t.whole(ctx); err != nil {
				return err
			}
			if round%2 == 1 {
				t.most(job.Resumed, time.Since(begin).Seconds())
			} else {
				t.most(job.Planned, time.Since(begin).Seconds())
			}
			t.figures[job.Kills]++
			if err := s.mend(ctx); err != nil {
				return err
			}
		}
		t.figures[job.Gone] = float64(t.witnesses.gone())
		return nil
	})
}

// replace has the other server become the master.
func (s *sentinels) replace(ctx context.Context, kill bool) error {
	master, replica := s.data[0], s.data[1]
	if kill {
		s.servers[master].Kill()
	} else if err := redisCall(ctx, s.watch[0], "SENTINEL FAILOVER "+masterName); err != nil {
		return err
	}
	s.data = []string{replica, master}
	return s.await(ctx, "the other to be the master", func(info string) bool { return strings.Contains(info, "address="+replica+",") })
}

// mend starts a server again that was killed, and waits until it is a replica.
func (s *sentinels) mend(ctx context.Context) error {
	select {
	case <-s.servers[s.data[1]].Ended():
		if err := s.restart(ctx, s.data[1]); err != nil {
			return err
		}
	default:
	}
	return awaitAll(ctx, "the replica", s.data[1:], "INFO replication", func(info string) bool {
		return strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up")
	})
}

// redisCluster is a Redis Cluster whose masters have a replica each.
type redisCluster struct {
	*redises
}

func (c *redisCluster) start(ctx context.Context, j *job.Job) (err error) {
	if c.redises, err = newRedises(j); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	for range 2 * masterCount {
		ports, err := server.FreeAddresses(1)
		if err != nil {
			return err
		}
		_, bus, _ := net.SplitHostPort(ports[0])
		if _, err := c.add(ctx, "", "--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-port", bus); err != nil {
			return err
		}
	}
	args := append([]string{"--cluster", "create"}, c.order...)
	create := exec.CommandContext(ctx, "redis-cli", append(args, "--cluster-replicas", "1", "--cluster-yes")...)
	if out, err := create.CombinedOutput(); err != nil {
		return fmt.Errorf("creating a Redis Cluster: %w: %s", err, out)
	}
	return c.well(ctx)
}

// well waits until all servers say that the cluster works and every replica follows.
func (c *redisCluster) well(ctx context.Context) error {
	return errors.Join(
		awaitAll(ctx, "the Redis Cluster to work", c.order, "CLUSTER INFO", func(info string) bool { return strings.Contains(info, "cluster_state:ok") }),
		awaitAll(ctx, "replicas to follow", c.order, "INFO replication", func(info string) bool {
			return strings.Contains(info, "role:master") && strings.Contains(info, "connected_slaves:1") || strings.Contains(info, "master_link_status:up")
		}),
	)
}

func (c *redisCluster) url(int) string {
	return fmt.Sprintf("redis://%s?addr=%s", c.order[0], strings.Join(c.order[1:], "&addr="))
}

// runRedisCluster replaces masters of a Redis Cluster by their replicas.
func runRedisCluster(ctx context.Context, j *job.Job) (job.Figures, error) {
	c := &redisCluster{}
	return runTroubleOn(ctx, j, c, verdict{owed: ownOnly}, func(t *trouble, ctx context.Context) error {
		for round := range j.Rounds {
			begin := time.Now()
			kill := round%2 == 1
			if err := c.replace(ctx, kill); err != nil {
				return fmt.Errorf("failover %d: %w", round+1, err)
			}
			if _, err := t.whole(ctx); err != nil {
				return err
			}
			if kill {
				t.most(job.Resumed, time.Since(begin).Seconds())
			} else {
				t.most(job.Planned, time.Since(begin).Seconds())
			}
			t.figures[job.Kills]++
			if err := c.well(ctx); err != nil {
				return err
			}
		}
		t.figures[job.Gone] = float64(t.witnesses.gone())
		return nil
	})
}

// replace has a replica become a master: it is asked to, or its master is killed, and started again.
func (c *redisCluster) replace(ctx context.Context, kill bool) error {
	for _, address := range c.order {
		info, err := redisText(ctx, address, "INFO replication")
		if err != nil {
			return err
		}
		if !strings.Contains(info, "role:slave") {
			continue
		}
		if !kill {
			err = redisCall(ctx, address, "CLUSTER FAILOVER")
			return errors.Join(err, c.promoted(ctx, address))
		}
		master := net.JoinHostPort(field(info, "master_host:"), field(info, "master_port:"))
		c.servers[master].Kill()
		if err := c.promoted(ctx, address); err != nil {
			return err
		}
		return c.restart(ctx, master)
	}
	return errors.New("there is no replica")
}

func (c *redisCluster) promoted(ctx context.Context, address string) error {
	return awaitAll(ctx, "a replica to become a master", []string{address}, "INFO replication", func(info string) bool {
		return strings.Contains(info, "role:master")
	})
}

// field returns what follows a name in the answer to INFO.
func field(info, name string) string {
	_, after, _ := strings.Cut(info, name)
	value, _, _ := strings.Cut(after, "\r")
	return strings.TrimSpace(value)
}
