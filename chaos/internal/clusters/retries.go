package clusters

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// retryAfter is how long a publisher waits before it calls again.
	retryAfter = 20 * time.Millisecond
	// repeatEvery is every how many messages a publisher repeats a call although it has been
	// answered, as if the answer had been lost, and impatientEvery is every how many it gives a call
	// up after a moment.
	repeatEvery, impatientEvery = 7, 5
	// impatience bounds that moment.
	impatience = 3 * time.Millisecond
	// publishersPerNode is how many publishers there are for each node.
	publishersPerNode = 5
	// faultsPause bounds the pause between two faults.
	faultsPause = 2 * time.Second
	// calmEvery is after every how many faults there is a calm, in which killed nodes are given up.
	calmEvery, calm = 3, 6 * time.Second
	// historyMessages is how many messages the history of the room holds: more than are sent.
	historyMessages = 10_000
	// historyPage is how many messages are read at once.
	historyPage = 1000
)

// Figures about retries.
const (
	figureCalls      = "calls"           // calls with a key
	figureDuplicates = "duplicates"      // calls that were answered with the result of an earlier one
	figureWrongly    = "wrong_results"   // repeats of a complete result that were answered differently
	figureUnfinished = "unfinished"      // messages without a complete answer
	figureUnkept     = "history_missing" // messages that the room's history lacks
	figureKeptTwice  = "history_twice"   // messages that it has twice
)

// Retries has publishers retry with idempotency keys while nodes and Redis are killed.
type Retries struct {
	Traffic
	Kills int
}

// NewRetries returns the scenario.
func NewRetries(quick bool) scenario.Scenario {
	t := traffic(quick)
	t.Every = 250 * time.Millisecond
	return &Retries{t, rounds(quick, 45, 9)}
}

// Info implements [scenario.Scenario].
func (s *Retries) Info() scenario.Info {
	return scenario.Info{
		Name:  "retries",
		Title: "Publishers that retry",
		Description: fmt.Sprintf("Three nodes share one Redis, which writes an append-only file, and have %d clients each, all in one room with a history. %d publishers "+
			"emit to the room every %.0f ms, or as soon as they have an answer. Each message has an idempotency key. %d times a node "+
			"is killed (`kill -9`) and started again, or Redis, or both at once. The publishers call again, at any node, until an answer is complete; they give "+
			"up some calls after a few milliseconds and repeat others that were answered. Each client must receive each message exactly once if it was "+
			"connected from the first call until %.0f s after the complete answer, as what a killed node has queued is lost with it. No client may receive "+
			"one twice, and the history must have each exactly once.",
			s.Clients, publishersPerNode*process.ClusterNodes, load.Millis(s.Every), s.Kills, lostWithNode.Seconds()),
		Limits: limits(
			scenario.Zero(figureUnfinished, "messages without a complete answer"),
			scenario.Zero(figureWrongly, "repeats that were answered with another result"),
			scenario.Zero(figureUnkept, "messages that the history lacks"),
			scenario.Zero(figureKeptTwice, "messages that the history has twice"),
		),
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f messages in %.0f calls; %.0f calls were answered with the result of an earlier one; %.0f received by %.0f clients; %.0f kills",
				f[scenario.Accepted], f[figureCalls], f[figureDuplicates], f[scenario.Received], f[scenario.Clients], f[scenario.Kills])
		},
	}
}

// Run implements [scenario.Scenario].
func (s *Retries) Run(ctx context.Context, env *scenario.Env) (f results.Figures, err error) {
	dir, err := os.MkdirTemp("", "sala-faults-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	config := filepath.Join(dir, "sala.yaml")
	rule := fmt.Sprintf("history: [{namespace: /, rooms: %q, messages: %d, ttl: 1h}]\n", load.Everyone, historyMessages)
	if err := os.WriteFile(config, []byte(rule), 0o600); err != nil {
		return nil, err
	}
	commands, err := env.Cluster("--config", config)
	if err != nil {
		return nil, err
	}
	commands.Redis.Args = append(commands.Redis.Args, "--appendonly", "yes", "--appendfsync", "always", "--dir", dir)
	r := &chaosRun{timeout: env.Timeout, figures: results.Figures{}}
	if r.cluster, err = startCluster(ctx, commands); err != nil {
		return nil, err
	}
	defer r.cluster.Stop()
	ps, err := s.publish(ctx, r)
	if err != nil {
		return nil, err
	}
	v := verdict{grace: lostWithNode, messages: ps.all(), clients: r.clients, owed: func(message, *connection) bool { return true }}
	v.addTo(r.figures)
	if err := ps.checkHistory(ctx, r); err != nil {
		return nil, err
	}
	if examples := append(v.examples, ps.examples...); len(examples) > 0 {
		return r.figures, errors.New(strings.Join(examples, "; "))
	}
	return r.figures, r.cluster.Err()
}

// publish has all clients and publishers come and go while nodes and Redis are killed.
func (s *Retries) publish(ctx context.Context, r *chaosRun) (ps *retryingPublishers, err error) {
	if r.clients, err = connectClients(ctx, r.cluster, s.Clients, load.Everyone); err != nil {
		return nil, err
	}
	defer r.clients.stop()
	if ps, err = startRetrying(ctx, r.cluster, s.Every); err != nil {
		return nil, err
	}
	for n := 0; n < s.Kills && err == nil; n++ {
		err = load.Sleep(ctx, rand.N(faultsPause))
		if err == nil {
			err = r.killSomething(ctx, n)
		}
		if err == nil && (n+1)%calmEvery == 0 {
			err = load.Sleep(ctx, calm)
		}
	}
	ps.stop()
	for figure, n := range map[string]int{figureCalls: ps.calls, figureDuplicates: ps.duplicates, figureWrongly: ps.wrong, figureUnfinished: ps.unfinished} {
		r.figures[figure] = float64(n)
	}
	r.figures[scenario.Kills] = float64(s.Kills)
	return ps, errors.Join(err, r.clients.settle(ctx))
}

// killSomething kills a node, Redis or both, and starts them again.
func (r *chaosRun) killSomething(ctx context.Context, n int) error {
	node := n / 3 % len(r.cluster.Nodes)
	withNode, withRedis := n%3 != 1, n%3 != 0
	if withRedis {
		r.cluster.Redis.Kill()
	}
	if withNode {
		r.cluster.killNode(node)
	}
	if err := load.Sleep(ctx, rand.N(shortOutage)); err != nil {
		return err
	}
	if withRedis {
		if err := r.cluster.StartRedis(ctx); err != nil {
			return err
		}
	}
	if withNode {
		return r.cluster.startNode(ctx, node)
	}
	return nil
}

// retryingPublishers emit with idempotency keys, each one message after the other.
type retryingPublishers struct {
	cluster *testCluster
	calling []salav1.MessageServiceClient // by node
	conns   []*grpc.ClientConn
	stopped chan struct{}
	running sync.WaitGroup

	// Guarded by mu.
	mu                                   sync.Mutex
	sent                                 []message
	calls, duplicates, wrong, unfinished int
	examples                             observe.Examples // of what went wrong
}

// startRetrying starts the publishers.
func startRetrying(ctx context.Context, c *testCluster, every time.Duration) (*retryingPublishers, error) {
	ps := &retryingPublishers{cluster: c, stopped: make(chan struct{})}
	for i := range c.Nodes {
		conn, err := c.dialControl(i)
		if err != nil {
			ps.stop()
			return nil, err
		}
		ps.conns, ps.calling = append(ps.conns, conn), append(ps.calling, salav1.NewMessageServiceClient(conn))
	}
	for i := range publishersPerNode * len(c.Nodes) {
		ps.running.Go(func() { ps.run(ctx, i, every) })
	}
	return ps, nil
}

func (ps *retryingPublishers) run(ctx context.Context, publisher int, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := uint64(1); ; n++ {
		ps.emit(ctx, publisher, n)
		select {
		case <-tick.C:
		case <-ps.stopped:
			return
		case <-ctx.Done():
			return
		}
	}
}

// emit emits a message, again and again, until an answer is complete.
func (ps *retryingPublishers) emit(ctx context.Context, publisher int, n uint64) {
	m := message{number: observe.MessageNumber(publisher, n), sent: time.Now()}
	request := load.NewEmit(load.Everyone, observe.NewMessage(publisher, n))
	request.IdempotencyKey = strconv.FormatUint(m.number, 10)
	own := publisher % len(ps.calling)
	for node := own; ; node = rand.IntN(len(ps.calling)) {
		limit := answerTimeout
		if n%impatientEvery == 0 && node == own {
			limit = rand.N(impatience)
		}
		answer, err := ps.call(ctx, node, limit, request)
		m.node, m.err = node, err
		if err == nil && !answer.GetPartial() && len(answer.GetUnrecordedRooms()) == 0 {
			m.answered, m.accepted, m.complete, m.matched = time.Now(), true, answer.GetDropped() == 0, answer.GetMatched()
			if n%repeatEvery == 0 {
				ps.repeat(ctx, request, answer)
			}
			break
		}
		if ctx.Err() != nil || time.Since(m.sent) > failoverTimeout {
			m.answered = time.Now()
			break
		}
		_ = load.Sleep(ctx, retryAfter) // the next call fails if ctx has ended
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.sent = append(ps.sent, m)
	if !m.accepted {
		ps.unfinished++
		ps.examples.Add("no call with message %d was answered completely, the last one at node %d: %v", m.number, m.node+1, m.err)
	}
}

func (ps *retryingPublishers) call(ctx context.Context, node int, limit time.Duration, request *salav1.EmitRequest) (*salav1.EmitResponse, error) {
	ctx, cancel := context.WithTimeout(ps.cluster.target(node).Authorize(ctx), limit)
	defer cancel()
	answer, err := ps.calling[node].Emit(ctx, request)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.calls++
	if answer.GetDuplicate() {
		ps.duplicates++
	}
	return answer, err
}

// repeat repeats a call that was answered completely, at any node, and compares the answers. Meanwhile
// the node may be gone, so that an error is no fault.
func (ps *retryingPublishers) repeat(ctx context.Context, request *salav1.EmitRequest, first *salav1.EmitResponse) {
	answer, err := ps.call(ctx, rand.IntN(len(ps.calling)), answerTimeout, request)
	if err != nil {
		return
	}
	if answer.GetDuplicate() && !answer.GetPartial() && answer.GetMatched() == first.GetMatched() && fmt.Sprint(answer.GetPositions()) == fmt.Sprint(first.GetPositions()) {
		return
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.wrong++
	ps.examples.Add("the answer to key %s was %v, and then %v", request.GetIdempotencyKey(), first, answer)
}

// stop waits until all publishers have had their last answer.
func (ps *retryingPublishers) stop() {
	close(ps.stopped)
	ps.running.Wait()
	for _, conn := range ps.conns {
		conn.Close()
	}
}

// all returns all messages in the order in which they were sent.
func (ps *retryingPublishers) all() []message {
	return inOrder(ps.sent)
}

// checkHistory compares the messages with the history of the room.
func (ps *retryingPublishers) checkHistory(ctx context.Context, r *chaosRun) error {
	kept, err := r.history(ctx)
	if err != nil {
		return err
	}
	for _, m := range ps.sent {
		switch n := kept[m.number]; {
		case n == 0 && m.accepted:
			r.figures[figureUnkept]++
			ps.examples.Add("the history lacks message %d", m.number)
		case n > 1:
			r.figures[figureKeptTwice]++
			ps.examples.Add("the history has message %d %d times", m.number, n)
		}
	}
	return nil
}

// history returns how often the history of the room has each message.
func (r *chaosRun) history(ctx context.Context) (map[uint64]int, error) {
	conn, err := r.cluster.dialControl(0)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(r.cluster.target(0).Authorize(ctx), r.timeout)
	defer cancel()
	kept := make(map[uint64]int)
	request := &salav1.ListMessagesRequest{Room: load.Everyone, Limit: historyPage}
	for {
		page, err := salav1.NewRoomServiceClient(conn).ListMessages(ctx, request)
		if err != nil || len(page.GetMessages()) == 0 {
			return kept, err
		}
		for _, m := range page.GetMessages() {
			if number, _, _, ok := load.NextPayload([]byte(m.GetArgsJson())); ok {
				kept[number]++
			}
		}
		request.Since = &salav1.Position{Epoch: page.GetEpoch(), Offset: page.GetOffset()}
	}
}
