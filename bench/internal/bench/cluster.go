package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/salabroker/sala/bench/line"
	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
)

// Cluster measures several servers that share a Redis. All messages are published at the first
// server.
type Cluster struct {
	// Clients is how many clients each server has.
	Clients int
	// Members is how many clients of one server the small rooms have, to which Calls messages go,
	// Batch of them every Every.
	Members int
	Every   time.Duration
	Batch   int
	Calls   int
	// Batches messages go to all clients of one server, one every Every, Rounds times.
	Batches int
	Rounds  int
	// Burst is how many messages go to all clients at once.
	Burst int
	// WarmupBatches is how many messages go to each room before anything is measured.
	WarmupBatches int
}

// The servers of a cluster by their part.
const (
	near = 0 // where messages are published
	far  = 1
)

// The rooms of a cluster.
const (
	roomNear      = "near"       // all clients of the near server
	roomFar       = "far"        // all clients of the far server
	roomNearFew   = "near-few"   // some clients of the near server
	roomFarFew    = "far-few"    // some clients of the far server
	roomScattered = "scattered-" // one client of each server; a number follows
)

const (
	// wideShare is how much slower messages go to all clients than to those of one of the servers.
	wideShare = 3
	// scatteredBatch is how many messages go at a time to rooms with one client on each server.
	scatteredBatch = 20
	// bursts is how many bursts are sent.
	bursts = 2
)

// clusterRun is a run of [Cluster].
type clusterRun struct {
	Cluster
	env       *environment
	cluster   *process.RunningCluster
	pools     []*load.Pool // by server
	publisher load.Publisher
	lost      uint64

	members  map[string][]int // how many clients a room has, by server
	number   uint64           // of the last message
	expected []uint64         // deliveries since the last reset, by server
	missing  uint64           // in all
	disorder uint64
	gone     uint64
}

func (b Cluster) run(ctx context.Context, env *environment, ready func()) (f results.Figures, err error) {
	r := &clusterRun{Cluster: b, env: env, members: make(map[string][]int)}
	defer r.close()
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	ready()
	if r.publisher, err = load.NewPublisher(ctx, r.cluster.Nodes[near].Target()); err != nil {
		return nil, err
	}
	f, err = r.measure(ctx)
	dropped, closeErr := r.publisher.Close()
	if err := errors.Join(err, closeErr, r.cluster.Err()); err != nil {
		return nil, err
	}
	f[Rejected], f[Missing] = float64(dropped), float64(r.missing)
	f[Disorder], f[Gone], f[Lost] = float64(r.disorder), float64(r.gone), float64(r.lost)
	return f, nil
}

// start starts the cluster and waits until nodes of Sala know each other.
func (r *clusterRun) start(ctx context.Context) (err error) {
	if r.cluster, err = process.StartCluster(ctx, r.env.Cluster); err != nil {
		return err
	}
	r.expected = make([]uint64, len(r.cluster.Nodes))
	for _, server := range r.cluster.Nodes {
		if server.Target().APIKey == "" {
			return nil
		}
		if err := load.AwaitNodes(ctx, server.Target(), len(r.cluster.Nodes)); err != nil {
			return err
		}
	}
	return nil
}

// close ends all clients and servers.
func (r *clusterRun) close() {
	for _, p := range r.pools {
		p.Close()
	}
	if r.cluster != nil {
		r.cluster.Stop()
	}
}

// roomsOf returns the rooms of a client of a server.
func (r *clusterRun) roomsOf(server, client int) []string {
	rooms := []string{load.Everyone, roomScattered + strconv.Itoa(client)}
	switch server {
	case near:
		rooms = append(rooms, roomNear)
		if client < r.Members {
			rooms = append(rooms, roomNearFew)
		}
	case far:
		rooms = append(rooms, roomFar)
		if client < r.Members {
			rooms = append(rooms, roomFarFew)
		}
	}
	return rooms
}

// connect connects clients to all servers.
func (r *clusterRun) connect(ctx context.Context) error {
	o, err := r.env.options(false)
	if err != nil {
		return err
	}
	o.Start = time.Now() // all pools share a clock
	for i, server := range r.cluster.Nodes {
		clients, err := load.NewClients(ctx, server.Target(), r.Clients, func(client int) []string { return r.roomsOf(i, client) })
		if err != nil {
			return err
		}
		for _, client := range clients {
			for _, room := range client.Rooms {
				if r.members[room] == nil {
					r.members[room] = make([]int, len(r.cluster.Nodes))
				}
				r.members[room][i]++
			}
		}
		c, err := load.NewConnector(server.Target(), o)
		if err != nil {
			return err
		}
		p, err := c.Pool(ctx, clients)
		if err != nil {
			return fmt.Errorf("server %d: %w", i+1, err)
		}
		r.pools = append(r.pools, p)
		r.lost += c.Lost()
	}
	return nil
}

// measure measures everything, after it has published to each room to warm up.
func (r *clusterRun) measure(ctx context.Context) (results.Figures, error) {
	f := results.Figures{}
	for _, room := range []string{roomNear, roomFar, load.Everyone} {
		if err := r.publish(ctx, 1, r.WarmupBatches, r.Every, room); err != nil {
			return nil, err
		}
	}
	if err := load.Sleep(ctx, r.env.Pause); err != nil {
		return nil, err
	}
	redis := r.cluster.Redis.Target().Listen
	before, err := readCommandsAtRest(ctx, redis)
	if err != nil {
		return nil, err
	}
	first := r.number
	for _, part := range []func(context.Context, results.Figures) error{r.latency, r.oneServer, r.allServers, r.smallRooms} {
		if err := part(ctx, f); err != nil {
			return nil, err
		}
	}
	after, err := readCommandsAtRest(ctx, redis)
	if err != nil {
		return nil, err
	}
	publishes, others := after.since(before)
	f[Publishes] = publishes / float64(r.number-first)
	f[Commands] = others / float64(r.number-first)
	return f, nil
}

// latency publishes to a few clients near and to as many far, in turn, so that whatever else
// happens affects both.
func (r *clusterRun) latency(ctx context.Context, f results.Figures) error {
	every := r.Every / time.Duration(max(r.Batch, 1))
	u, err := r.use(ctx, func() error {
		return r.publish(ctx, 1, r.Calls, every, roomNearFew, roomFarFew)
	})
	if err != nil {
		return err
	}
	for server, names := range [][2]string{near: {P50Near, P99Near}, far: {P50Far, P99Far}} {
		latency := r.pools[server].Latency()
		f[names[0]], f[names[1]] = load.Millis(latency.Quantile(0.50)), load.Millis(latency.Quantile(0.99))
	}
	f[P50More], f[P99More] = f[P50Far]-f[P50Near], f[P99Far]-f[P99Near]
	f[Busy] = float64(u.all+u.own) / float64(u.took) / float64(runtime.NumCPU())
	return nil
}

// oneServer publishes to all clients of one server, near and far in turn, and compares what it
// costs that server.
func (r *clusterRun) oneServer(ctx context.Context, f results.Figures) error {
	var here, there, publishing, redis time.Duration
	for range r.Rounds {
		n, err := r.use(ctx, func() error { return r.publish(ctx, 1, r.Batches, r.Every, roomNear) })
		if err != nil {
			return err
		}
		t, err := r.use(ctx, func() error { return r.publish(ctx, 1, r.Batches, r.Every, roomFar) })
		if err != nil {
			return err
		}
		here, there = here+n.servers[near], there+t.servers[far]
		publishing, redis = publishing+t.servers[near], redis+t.redis
	}
	emits := float64(r.Rounds * r.Batches)
	f[CPUNear] = load.Micros(here) / emits / float64(r.Clients)
	f[CPUFar] = load.Micros(there) / emits / float64(r.Clients)
	f[PublishCPU], f[RedisCPU] = load.Micros(publishing)/emits, load.Micros(redis)/emits
	return nil
}

// allServers publishes to all clients of all servers, paced and at once.
func (r *clusterRun) allServers(ctx context.Context, f results.Figures) error {
	all := float64(r.Clients * len(r.cluster.Nodes))
	batches := r.Batches / wideShare * r.Rounds
	paced, err := r.use(ctx, func() error { return r.publish(ctx, 1, batches, wideShare*r.Every, load.Everyone) })
	if err != nil {
		return err
	}
	f[AllPaced] = load.Micros(paced.all) / float64(batches) / all
	burst, err := r.use(ctx, func() error { return r.publish(ctx, r.Burst, bursts, 0, load.Everyone) })
	if err != nil {
		return err
	}
	f[AllBurst] = load.Micros(burst.all) / float64(bursts*r.Burst) / all
	return nil
}

// smallRooms publishes to rooms with one client on each server, where few share the cost of a
// message.
func (r *clusterRun) smallRooms(ctx context.Context, f results.Figures) error {
	rooms := make([]string, r.Clients)
	for i := range rooms {
		rooms[i] = roomScattered + strconv.Itoa(i)
	}
	batches := r.Batches * r.Rounds
	u, err := r.use(ctx, func() error { return r.publish(ctx, scatteredBatch, batches, r.Every, rooms...) })
	if err != nil {
		return err
	}
	f[AllScattered] = load.Micros(u.all) / float64(batches*scatteredBatch*len(r.cluster.Nodes))
	return nil
}

// publish publishes batches of messages to rooms in turn, at a pace or each batch once the one
// before has arrived. It waits until all have arrived and counts what has not.
func (r *clusterRun) publish(ctx context.Context, size, batches int, every time.Duration, rooms ...string) error {
	for i, p := range r.pools {
		p.Reset()
		r.expected[i] = 0
	}
	next := time.Now()
	for n := range batches {
		batch := make([]line.Message, size)
		now := r.pools[near].Clock()
		for i := range batch {
			room := rooms[(n*size+i)%len(rooms)]
			r.number++
			for server, members := range r.members[room] {
				r.expected[server] += uint64(members)
			}
			batch[i] = line.Message{Room: room, Payload: load.NewPayload(r.number, now)}
		}
		if err := r.publisher.Publish(batch); err != nil {
			return err
		}
		if every == 0 {
			if err := r.arrive(ctx); err != nil {
				return err
			}
			continue
		}
		next = next.Add(every)
		if err := load.Sleep(ctx, time.Until(next)); err != nil {
			return err
		}
	}
	if err := r.arrive(ctx); err != nil {
		return err
	}
	return r.count()
}

func (r *clusterRun) arrive(ctx context.Context) error {
	for i, p := range r.pools {
		if err := p.Await(ctx, r.expected[i], r.env.Timeout); err != nil {
			return err
		}
	}
	return nil
}

// count adds up what went wrong since the last reset.
func (r *clusterRun) count() error {
	for i, p := range r.pools {
		counts, err := p.Counts()
		if err != nil {
			return err
		}
		r.missing += r.expected[i] - min(counts.Deliveries, r.expected[i])
		r.disorder += counts.Disorder
		r.gone += counts.Gone
	}
	return nil
}

// usage is the CPU time of processes.
type usage struct {
	servers []time.Duration
	redis   time.Duration
	all     time.Duration // Redis and the servers
	own     time.Duration // of this process
	took    time.Duration
}

// use returns the CPU time that the processes use while do runs and a moment longer.
func (r *clusterRun) use(ctx context.Context, do func() error) (usage, error) {
	if err := load.Sleep(ctx, load.Trailing); err != nil {
		return usage{}, err
	}
	begin := time.Now()
	before, err := r.readUsage()
	if err != nil {
		return usage{}, err
	}
	if err := do(); err != nil {
		return usage{}, err
	}
	if err := load.Sleep(ctx, load.Trailing); err != nil {
		return usage{}, err
	}
	after, err := r.readUsage()
	if err != nil {
		return usage{}, err
	}
	u := usage{took: time.Since(begin), own: after.own - before.own, redis: after.redis - before.redis}
	u.all = u.redis
	for i := range after.servers {
		u.servers = append(u.servers, after.servers[i]-before.servers[i])
		u.all += u.servers[i]
	}
	return u, nil
}

// readUsage returns the CPU time that the processes have used until now.
func (r *clusterRun) readUsage() (u usage, err error) {
	u.own = process.OwnCPU()
	if u.redis, err = process.CPU(r.cluster.Redis.Target().PID); err != nil {
		return u, err
	}
	for _, server := range r.cluster.Nodes {
		cpu, err := process.CPU(server.Target().PID)
		if err != nil {
			return u, err
		}
		u.servers = append(u.servers, cpu)
	}
	return u, nil
}
