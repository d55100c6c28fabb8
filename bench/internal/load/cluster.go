package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/line"
	"github.com/salabroker/sala/bench/internal/proc"
)

// The servers of a cluster by what they do here: all messages are published at the first.
const (
	near = 0
	far  = 1
)

// Rooms of a cluster.
const (
	nearRoom  = "near"       // all clients of the first server
	farRoom   = "far"        // all of the second
	nearFew   = "near-few"   // some of the first server
	farFew    = "far-few"    // some of the second
	scattered = "scattered-" // one client of each server
)

const (
	// wideShare is how much slower messages go out to all clients of a cluster than to those of one server, who are a part.
	wideShare = 3
	// scatteredBatch is how many messages go out at a time to rooms with one member on each server.
	scatteredBatch = 20
	// bursts is how often a burst is sent.
	bursts = 2
)

// crossing is a Cluster job that runs.
type crossing struct {
	job       *job.Job
	stage     *stage
	pools     []*pool // of the clients, by server
	publisher publisher
	lost      uint64

	members  map[string][]int // how many a room has on each server
	sequence uint64
	emitted  uint64   // in all
	expected []uint64 // deliveries since the last reset, by server
	missing  uint64   // in all
	disorder uint64
	gone     uint64
}

// runCluster publishes through one server of a cluster to clients of this one and of others.
func runCluster(ctx context.Context, j *job.Job, connected func()) (f job.Figures, err error) {
	s, err := newStage(ctx, j)
	if err != nil {
		return nil, err
	}
	defer s.close()
	c := &crossing{job: j, stage: s, members: make(map[string][]int), expected: make([]uint64, len(s.nodes))}
	if err := s.together(ctx); err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	connected()
	if c.publisher, err = newPublisher(ctx, s.jobOf(near)); err != nil {
		return nil, err
	}
	f, err = c.measure(ctx)
	rejected, closeErr := c.publisher.close()
	if err := errors.Join(err, closeErr, s.broken()); err != nil {
		return nil, err
	}
	f[job.Rejected], f[job.Missing] = float64(rejected), float64(c.missing)
	f[job.Disorder], f[job.Gone], f[job.Lost] = float64(c.disorder), float64(c.gone), float64(c.lost)
	return f, nil
}

// roomsOf returns the rooms of a client of a server.
func (c *crossing) roomsOf(node, client int) []string {
	rooms := []string{everyone, scattered + strconv.Itoa(client)}
	switch node {
	case near:
		rooms = append(rooms, nearRoom)
		if client < c.job.Members {
			rooms = append(rooms, nearFew)
		}
	case far:
		rooms = append(rooms, farRoom)
		if client < c.job.Members {
			rooms = append(rooms, farFew)
		}
	}
	return rooms
}

// connect connects as many clients to each server.
func (c *crossing) connect(ctx context.Context) error {
	start := time.Now()
	for node := range c.stage.nodes {
		j := c.stage.jobOf(node)
		clients, err := newClients(ctx, j, func(i int) []string { return c.roomsOf(node, i) })
		if err != nil {
			return err
		}
		for _, client := range clients {
			for _, room := range client.rooms {
				if c.members[room] == nil {
					c.members[room] = make([]int, len(c.stage.nodes))
				}
				c.members[room][node]++
			}
		}
		connector, err := newConnector(j)
		if err != nil {
			return err
		}
		p, err := newPoolSince(connector.protocol, start)
		if err != nil {
			return err
		}
		c.pools = append(c.pools, p)
		if err := connector.connect(ctx, clients, attempts, p.add); err != nil {
			return fmt.Errorf("server %d: %w", node+1, err)
		}
		c.lost += connector.lost.Load()
	}
	return nil
}

func (c *crossing) close() {
	for _, p := range c.pools {
		p.close()
	}
}

// measure goes through all there is to measure, after it has done each once for warming up.
func (c *crossing) measure(ctx context.Context) (job.Figures, error) {
	f := job.Figures{}
	for _, room := range []string{nearRoom, farRoom, everyone} {
		if err := c.publish(ctx, 1, c.job.WarmupBatches, c.job.Every, room); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, c.job.Pause); err != nil {
		return nil, err
	}
	redis := c.job.Servers[0].Target.Listen
	before, err := readQuiet(ctx, redis)
	if err != nil {
		return nil, err
	}
	emitted := c.emitted
	for _, part := range []func(context.Context, job.Figures) error{c.latency, c.fanOut, c.wide, c.scattered} {
		if err := part(ctx, f); err != nil {
			return nil, err
		}
	}
	after, err := readQuiet(ctx, redis)
	if err != nil {
		return nil, err
	}
	publishes, others := after.since(before)
	f[job.Publishes] = publishes / float64(c.emitted-emitted)
	f[job.Commands] = others / float64(c.emitted-emitted)
	return f, nil
}

// latency publishes to a few clients near and to as many far, in turn, so that whatever else happens meets both.
func (c *crossing) latency(ctx context.Context, f job.Figures) error {
	every := c.job.Every / time.Duration(max(c.job.Batch, 1))
	usage, err := c.use(ctx, func() error {
		return c.publish(ctx, 1, c.job.Calls, every, nearFew, farFew)
	})
	if err != nil {
		return err
	}
	for node, names := range [][2]string{near: {job.P50Near, job.P99Near}, far: {job.P50Far, job.P99Far}} {
		_, latency, err := c.pools[node].snapshot()
		if err != nil {
			return err
		}
		f[names[0]], f[names[1]] = millis(latency.quantile(0.50)), millis(latency.quantile(0.99))
	}
	f[job.P50More], f[job.P99More] = f[job.P50Far]-f[job.P50Near], f[job.P99Far]-f[job.P99Near]
	f[job.Busy] = float64(usage.all+usage.load) / float64(usage.took) / float64(runtime.NumCPU())
	return nil
}

// fanOut publishes to all clients of one server, near and far in turn, and compares what the server takes that delivers.
func (c *crossing) fanOut(ctx context.Context, f job.Figures) error {
	var here, there, publishing, redis time.Duration
	for range c.job.Rounds {
		n, err := c.use(ctx, func() error { return c.publish(ctx, 1, c.job.Batches, c.job.Every, nearRoom) })
		if err != nil {
			return err
		}
		r, err := c.use(ctx, func() error { return c.publish(ctx, 1, c.job.Batches, c.job.Every, farRoom) })
		if err != nil {
			return err
		}
		here, there = here+n.nodes[near], there+r.nodes[far]
		publishing, redis = publishing+r.nodes[near], redis+r.redis
	}
	emits := float64(c.job.Rounds * c.job.Batches)
	f[job.CPUNear] = micros(here) / emits / float64(c.job.Clients)
	f[job.CPUFar] = micros(there) / emits / float64(c.job.Clients)
	f[job.PublishCPU], f[job.RedisCPU] = micros(publishing)/emits, micros(redis)/emits
	return nil
}

// wide publishes to all clients of all servers, paced and at once.
func (c *crossing) wide(ctx context.Context, f job.Figures) error {
	all := float64(c.job.Clients * len(c.stage.nodes))
	batches := c.job.Batches / wideShare * c.job.Rounds
	paced, err := c.use(ctx, func() error { return c.publish(ctx, 1, batches, wideShare*c.job.Every, everyone) })
	if err != nil {
		return err
	}
	f[job.AllPaced] = micros(paced.all) / float64(batches) / all
	burst, err := c.use(ctx, func() error { return c.publish(ctx, c.job.BurstOf, bursts, 0, everyone) })
	if err != nil {
		return err
	}
	f[job.AllBurst] = micros(burst.all) / float64(bursts*c.job.BurstOf) / all
	return nil
}

// scattered publishes to rooms with one member on each server: what a message costs is shared by few.
func (c *crossing) scattered(ctx context.Context, f job.Figures) error {
	rooms := make([]string, c.job.Clients)
	for i := range rooms {
		rooms[i] = scattered + strconv.Itoa(i)
	}
	batches := c.job.Batches * c.job.Rounds
	u, err := c.use(ctx, func() error { return c.publish(ctx, scatteredBatch, batches, c.job.Every, rooms...) })
	if err != nil {
		return err
	}
	f[job.AllScattered] = micros(u.all) / float64(batches*scatteredBatch*len(c.stage.nodes))
	return nil
}

// publish publishes batches of messages to the rooms in turn, at a pace or each batch as soon as the one before has
// arrived, waits until all has arrived and counts what hasn't.
func (c *crossing) publish(ctx context.Context, size, batches int, every time.Duration, rooms ...string) error {
	for node, p := range c.pools {
		p.reset()
		c.expected[node] = 0
	}
	next := time.Now()
	for n := range batches {
		batch := make([]line.Message, size)
		now := c.pools[near].clock()
		for i := range batch {
			room := rooms[(n*size+i)%len(rooms)]
			c.sequence++
			c.emitted++
			for node, members := range c.members[room] {
				c.expected[node] += uint64(members)
			}
			batch[i] = line.Message{Room: room, Payload: newPayload(c.sequence, now)}
		}
		if err := c.publisher.publish(batch); err != nil {
			return err
		}
		if every == 0 {
			if err := c.arrive(ctx); err != nil {
				return err
			}
			continue
		}
		next = next.Add(every)
		if err := pause(ctx, time.Until(next)); err != nil {
			return err
		}
	}
	if err := c.arrive(ctx); err != nil {
		return err
	}
	return c.count()
}

func (c *crossing) arrive(ctx context.Context) error {
	for node, p := range c.pools {
		if err := p.await(ctx, c.expected[node], c.job.Patience); err != nil {
			return err
		}
	}
	return nil
}

// count adds up what went wrong since the last reset. A message too many is one out of order.
func (c *crossing) count() error {
	for node, p := range c.pools {
		counts, _, err := p.snapshot()
		if err != nil {
			return err
		}
		c.missing += c.expected[node] - min(counts.deliveries, c.expected[node])
		c.disorder += counts.disorder
		c.gone += counts.gone
	}
	return nil
}

// usage is the CPU that processes have taken.
type usage struct {
	nodes      []time.Duration
	redis      time.Duration
	all        time.Duration // Redis and the servers
	load, took time.Duration
}

// use returns what the processes take while do runs, and a moment longer.
func (c *crossing) use(ctx context.Context, do func() error) (usage, error) {
	if err := pause(ctx, trailing); err != nil {
		return usage{}, err
	}
	begin := time.Now()
	before, err := c.read()
	if err != nil {
		return usage{}, err
	}
	if err := do(); err != nil {
		return usage{}, err
	}
	if err := pause(ctx, trailing); err != nil {
		return usage{}, err
	}
	after, err := c.read()
	if err != nil {
		return usage{}, err
	}
	u := usage{took: time.Since(begin), load: after.load - before.load, redis: after.redis - before.redis}
	u.all = u.redis
	for i := range after.nodes {
		u.nodes = append(u.nodes, after.nodes[i]-before.nodes[i])
		u.all += u.nodes[i]
	}
	return u, nil
}

// read returns what the processes have taken until now.
func (c *crossing) read() (u usage, err error) {
	if u.load, err = proc.CPU(os.Getpid()); err != nil {
		return u, err
	}
	if u.redis, err = proc.CPU(c.stage.redis.Target().PID); err != nil {
		return u, err
	}
	for _, node := range c.stage.nodes {
		cpu, err := proc.CPU(node.Target().PID)
		if err != nil {
			return u, err
		}
		u.nodes = append(u.nodes, cpu)
	}
	return u, nil
}
