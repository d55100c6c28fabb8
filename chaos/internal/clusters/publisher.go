package clusters

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/chaos/internal/observe"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// message is one message and how a node answered it.
type message struct {
	number   uint64
	node     int // to which it was sent
	sent     time.Time
	answered time.Time
	accepted bool
	complete bool   // accepted, queued to all clients, and counted by all nodes
	matched  uint32 // how many clients it is for, as the answer says
	err      error  // why it was not accepted
}

// publisher emits to all clients through one node while that is ready, one message after the other,
// and records the answers.
type publisher struct {
	node     int
	ready    *atomic.Bool
	conn     *grpc.ClientConn
	target   *process.Target
	messages salav1.MessageServiceClient
	paused   atomic.Bool

	mu   sync.Mutex
	sent []message
}

// publishers has one publisher for each node.
type publishers struct {
	list    []*publisher
	stopped chan struct{}
	running sync.WaitGroup
}

// answerTimeout is how long a publisher waits for an answer.
const answerTimeout = 5 * time.Second

func startPublishers(ctx context.Context, c *testCluster, every time.Duration) (*publishers, error) {
	ps := &publishers{stopped: make(chan struct{})}
	for i := range c.Nodes {
		conn, err := c.dialControl(i)
		if err != nil {
			ps.stop()
			return nil, err
		}
		p := &publisher{node: i, ready: &c.ready[i], conn: conn, target: c.target(i), messages: salav1.NewMessageServiceClient(conn)}
		ps.list = append(ps.list, p)
		ps.running.Go(func() { p.run(ctx, every, ps.stopped) })
	}
	return ps, nil
}

func (p *publisher) run(ctx context.Context, every time.Duration, stopped <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := uint64(1); ; n++ {
		if p.ready.Load() && !p.paused.Load() {
			p.emit(ctx, n)
		}
		select {
		case <-tick.C:
		case <-stopped:
			return
		case <-ctx.Done():
			return
		}
	}
}

// publisherOf returns the publisher that sent the message with a number.
func publisherOf(number uint64) int { return int(number & 0xFF) }

func (p *publisher) emit(ctx context.Context, n uint64) {
	ctx, cancel := context.WithTimeout(p.target.Authorize(ctx), answerTimeout)
	defer cancel()
	m := message{number: observe.MessageNumber(p.node, n), node: p.node, sent: time.Now()}
	answer, err := p.messages.Emit(ctx, load.NewEmit(load.Everyone, observe.NewMessage(p.node, n)))
	m.answered, m.err = time.Now(), err
	if err == nil {
		m.accepted, m.complete, m.matched = true, !answer.GetPartial() && answer.GetDropped() == 0, answer.GetMatched()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, m)
}

// stop waits until all publishers have had their last answer.
func (ps *publishers) stop() {
	close(ps.stopped)
	ps.running.Wait()
	for _, p := range ps.list {
		p.conn.Close()
	}
}

// pause pauses all publishers, or lets them go on.
func (ps *publishers) pause(paused bool) {
	for _, p := range ps.list {
		p.paused.Store(paused)
	}
}

// awaitComplete waits until each node has completely accepted a message for that many clients after
// now. It returns how long that took.
func (ps *publishers) awaitComplete(ctx context.Context, clients int) (time.Duration, error) {
	begin := time.Now()
	for _, p := range ps.list {
		for !p.reachedSince(begin, clients, true) {
			if err := load.Sleep(ctx, 2*time.Millisecond); err != nil {
				return time.Since(begin), err
			}
		}
	}
	return time.Since(begin), nil
}

// reachedSince reports whether a message that was sent after t was for that many clients, and
// complete if it must be.
func (p *publisher) reachedSince(t time.Time, clients int, complete bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range slices.Backward(p.sent) {
		if m.sent.Before(t) {
			return false
		}
		if m.accepted && (m.complete || !complete) && int(m.matched) == clients {
			return true
		}
	}
	return false
}

// all returns all messages in the order in which they were sent.
func (ps *publishers) all() []message {
	var all []message
	for _, p := range ps.list {
		all = append(all, p.sent...)
	}
	return inOrder(all)
}

// inOrder sorts messages by when they were sent.
func inOrder(all []message) []message {
	slices.SortFunc(all, func(a, b message) int { return a.sent.Compare(b.sent) })
	return all
}
