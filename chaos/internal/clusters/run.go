package clusters

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Traffic configures the clients and publishers of a run.
type Traffic struct {
	// Clients is how many clients are connected to each node.
	Clients int
	// Every is the time between two messages of a node's publisher.
	Every time.Duration
}

// traffic returns the usual traffic.
func traffic(quick bool) Traffic {
	if quick {
		return Traffic{5, 10 * time.Millisecond}
	}
	return Traffic{20, 10 * time.Millisecond}
}

// describe starts the description of a scenario.
func (t Traffic) describe() string {
	return fmt.Sprintf("Three nodes share one Redis and have %d clients each, all in one room. A publisher for each node emits to the room every "+
		"%.0f ms, or as soon as the node has answered. ", t.Clients, load.Millis(t.Every))
}

// ownAndComplete says what most scenarios demand.
const ownAndComplete = "Each client must receive each message that its own node accepted, and each message that all nodes counted."

// rounds returns n in a full run and q in a quick one.
func rounds(quick bool, n, q int) int {
	if quick {
		return q
	}
	return n
}

// Figures about messages in clusters.
const (
	figureComplete = "complete"      // messages that all nodes counted
	figureUntold   = "untold"        // deliveries of such messages that are missing
	figureShort    = "short"         // such messages that matched too few clients
	figureNoticed  = "noticed_s"     // until the other nodes noticed that one was gone, seconds at most
	figureAway     = "away_s"        // without a connection, seconds at most
	figurePlanned  = "planned_s"     // until service was complete again after a planned failover, seconds at most
	figureSpinning = "spinning"      // CPU of the idle nodes without Redis, percent of one processor
	figureTold     = "told_s"        // until a backend knew of all clients of killed nodes, seconds at most
	figureEnds     = "ends"          // clients of killed nodes of which backends must be told
	figureUnsaid   = "ends_unsaid"   // those of which they were not
	figureOps      = "operations"    // changes of membership
	figureWrong    = "wrong_answers" // to them
	figureApart    = "members_apart" // sockets and rooms that a node lists differently from the model
)

// limits returns the limits for messages in a cluster, after further ones.
func limits(further ...scenario.Limit) []scenario.Limit {
	return append(further,
		scenario.Zero(scenario.Missing, "messages that clients lack"),
		scenario.Zero(figureUntold, "messages that clients lack although all nodes counted them"),
		scenario.Zero(figureShort, "messages that all nodes counted, but for too few clients"),
		scenario.Zero(scenario.Disorder, "messages that came twice, or after a later one of the same publisher"),
	)
}

// keptConnections is the limit of scenarios in which no client may lose its connection.
func keptConnections() scenario.Limit {
	return scenario.Zero(scenario.Gone, "clients that lost their connection")
}

// resumedWithin is the limit for how soon all clients must receive messages of all nodes again.
func resumedWithin(seconds float64) scenario.Limit {
	return scenario.Limit{Figure: scenario.Resumed, Max: seconds, What: "seconds until all clients received messages of all nodes again"}
}

// summary tells what came of the messages.
func summary(f results.Figures) string {
	return fmt.Sprintf("%.0f messages accepted, of which all nodes counted %.0f; %.0f received by %.0f clients",
		f[scenario.Accepted], f[figureComplete], f[scenario.Received], f[scenario.Clients])
}

// chaosRun is a run in which something happens to a cluster while messages go to all clients.
type chaosRun struct {
	cluster    *testCluster
	clients    *clusterClients
	publishers *publishers
	timeout    time.Duration
	figures    results.Figures
	refusal    error // why a message was refused that should have been accepted
}

// redisSetup replaces the cluster's Redis by something else.
type redisSetup interface {
	// start starts what is needed before the nodes are started.
	start(ctx context.Context, c process.Cluster) error
	// url returns the --redis-url of a node.
	url(node int) string
	// stop ends it.
	stop()
}

// options are what runs differ in.
type options struct {
	traffic Traffic
	args    []string               // of the nodes
	redis   redisSetup             // nil for the cluster's own Redis
	prepare func(*process.Cluster) // changes how nodes are started; nil for nothing
	verdict verdict                // what clients must receive
}

// run connects clients to all nodes, publishes through all nodes while happen happens, and compares
// what was accepted with what the clients received.
func run(ctx context.Context, env *scenario.Env, o options, happen func(*chaosRun, context.Context) error) (f results.Figures, err error) {
	commands, err := env.Cluster(o.args...)
	if err != nil {
		return nil, err
	}
	if o.prepare != nil {
		o.prepare(&commands)
	}
	if o.redis != nil {
		if err := o.redis.start(ctx, commands); err != nil {
			return nil, err
		}
		defer o.redis.stop()
		for i := range commands.Nodes {
			setRedisURL(&commands.Nodes[i], o.redis.url(i))
		}
	}
	r := &chaosRun{timeout: env.Timeout, figures: results.Figures{}}
	if r.cluster, err = startCluster(ctx, commands); err != nil {
		return nil, err
	}
	defer r.cluster.Stop()
	if err := r.publishAndHappen(ctx, o.traffic, happen); err != nil {
		return nil, err
	}
	v := o.verdict
	v.messages, v.clients = r.publishers.all(), r.clients
	v.addTo(r.figures)
	if len(v.examples) > 0 {
		return r.figures, errors.New(strings.Join(v.examples, "; "))
	}
	return r.figures, errors.Join(r.refusal, r.cluster.Err())
}

// setRedisURL sets the --redis-url of a node.
func setRedisURL(c *process.Command, url string) {
	for i := range c.Args[1:] {
		if c.Args[i] == "--redis-url" {
			c.Args[i+1] = url
		}
	}
}

// publishAndHappen has all clients and publishers come and go.
func (r *chaosRun) publishAndHappen(ctx context.Context, t Traffic, happen func(*chaosRun, context.Context) error) (err error) {
	if r.clients, err = connectClients(ctx, r.cluster, t.Clients, load.Everyone); err != nil {
		return err
	}
	defer r.clients.stop()
	if r.publishers, err = startPublishers(ctx, r.cluster, t.Every); err != nil {
		return err
	}
	if _, err = r.awaitComplete(ctx); err == nil {
		err = happen(r, ctx)
	}
	r.publishers.stop()
	if err == nil {
		r.figures[scenario.Gone] = float64(r.clients.ended())
		err = r.awaitCount(ctx)
	}
	return errors.Join(err, r.clients.settle(ctx))
}

// awaitComplete waits until messages of each node reach all clients.
func (r *chaosRun) awaitComplete(ctx context.Context) (time.Duration, error) {
	limited, cancel := context.WithTimeoutCause(ctx, r.timeout, errors.New("not all clients receive messages of all nodes again"))
	defer cancel()
	return r.publishers.awaitComplete(limited, len(r.clients.list))
}

// awaitResumed is awaitComplete that keeps the longest time.
func (r *chaosRun) awaitResumed(ctx context.Context) error {
	took, err := r.awaitComplete(ctx)
	r.figures.Raise(scenario.Resumed, took.Seconds())
	return err
}

// awaitCount waits until each node counts exactly the clients that there are.
func (r *chaosRun) awaitCount(ctx context.Context) error {
	for i := range r.cluster.Nodes {
		conn, err := r.cluster.dialControl(i)
		if err != nil {
			return err
		}
		defer conn.Close()
		for begin := time.Now(); ; {
			room, err := salav1.NewRoomServiceClient(conn).GetRoom(r.cluster.target(i).Authorize(ctx), &salav1.GetRoomRequest{Room: load.Everyone})
			if err == nil && !room.GetPartial() && int(room.GetSockets()) == len(r.clients.list) {
				break
			}
			if time.Since(begin) > r.timeout {
				return fmt.Errorf("node %d counts %v of %d clients (%w)", i+1, room, len(r.clients.list), err)
			}
			if err := load.Sleep(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitNodes waits until a node lists that many nodes.
func (r *chaosRun) awaitNodes(ctx context.Context, by, want int) error {
	for begin := time.Now(); ; {
		nodes, err := load.ListNodes(ctx, r.publishers.list[by].conn, r.cluster.target(by))
		if err != nil || len(nodes) == want {
			return err
		}
		if time.Since(begin) > r.timeout {
			return fmt.Errorf("node %d lists %d nodes, not %d", by+1, len(nodes), want)
		}
		if err := load.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// awaitNoticed waits until a node has noticed that another one is gone, which happened at begin.
func (r *chaosRun) awaitNoticed(ctx context.Context, gone int, begin time.Time) error {
	err := r.awaitNodes(ctx, (gone+1)%len(r.cluster.Nodes), len(r.cluster.Nodes)-1)
	r.figures.Raise(figureNoticed, time.Since(begin).Seconds())
	return err
}

// awaitReach waits until a message that a node accepts from now on is for all clients.
func (r *chaosRun) awaitReach(ctx context.Context, node int) error {
	begin := time.Now()
	for p := r.publishers.list[node]; !p.reachedSince(begin, len(r.clients.list), false); {
		if time.Since(begin) > r.timeout {
			return fmt.Errorf("node %d does not reach all %d clients", node+1, len(r.clients.list))
		}
		if err := load.Sleep(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// breakFor breaks something, repairs it after a time, and waits until all clients receive messages
// of all nodes again.
func (r *chaosRun) breakFor(ctx context.Context, d time.Duration, breakIt, repair func() error) error {
	err := breakIt()
	if err == nil {
		err = load.Sleep(ctx, d)
	}
	if err := errors.Join(err, repair()); err != nil {
		return err
	}
	r.figures[scenario.Kills]++
	return r.awaitResumed(ctx)
}
