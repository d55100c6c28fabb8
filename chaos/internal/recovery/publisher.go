package recovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/process"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// answerTimeout is how long a publisher waits for an answer.
const answerTimeout = 5 * time.Second

// node is a server that publishers call.
type node struct {
	target *process.Target
	conn   *grpc.ClientConn
	// life numbers the server's restarts, from 1. It is 0 while the server can't be called, since it
	// ends or starts; calls may fail then.
	life func() uint64
}

// publisher emits messages to the sockets of a namespace through one node, one after the other.
type publisher struct {
	number    int
	node      node
	namespace string
	sockets   []Socket // of the namespace
	ledger    *ledger
}

// publishers are all publishers of a run.
type publishers struct {
	stopped chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	failed error // the first call that should have succeeded
}

// startPublishers starts publishers that each emit a message every so often, or as soon as the node
// has answered.
func startPublishers(ctx context.Context, list []publisher, every time.Duration) *publishers {
	ps := &publishers{stopped: make(chan struct{})}
	for i := range list {
		ps.running.Go(func() { ps.run(ctx, &list[i], every) })
	}
	return ps
}

func (ps *publishers) run(ctx context.Context, p *publisher, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := uint64(1); ; {
		if life := p.node.life(); life > 0 {
			if err := p.publish(ctx, message{p.number, n}); err != nil && p.node.life() == life && ctx.Err() == nil {
				ps.fail(err)
			}
			n++
		}
		select {
		case <-tick.C:
		case <-ps.stopped:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (ps *publishers) fail(err error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.failed == nil {
		ps.failed = err
	}
}

// stop waits until all publishers have had their last answer, and returns what went wrong.
func (ps *publishers) stop() error {
	close(ps.stopped)
	ps.running.Wait()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.failed
}

// answer is what a call says about a message.
type answer interface {
	GetMatched() uint32
	GetDropped() uint32
	GetPartial() bool
	GetMissingNodes() []string
}

// publish emits a message, and enters into the ledger what the answer promises.
func (p *publisher) publish(ctx context.Context, m message) error {
	ctx, cancel := context.WithTimeout(p.node.target.Authorize(ctx), answerTimeout)
	defer cancel()
	begin := time.Now()
	a, err := p.call(ctx, m)
	if err != nil {
		p.ledger.unanswered(m)
		return fmt.Errorf("message %d of publisher %d: %w", m.number, m.publisher, err)
	}
	if len(a.GetMissingNodes()) > 0 {
		return nil // what those did with it is unknown
	}
	want := 0
	for _, s := range p.sockets {
		if m.isFor(s, p.sockets) {
			want++
		}
	}
	if !a.GetPartial() { // the sockets that are moving may be in no count
		p.ledger.counted(m, int(a.GetMatched()), want)
	}
	if m.kind() == volatile {
		return nil // it may be dropped
	}
	if a.GetDropped() > 0 {
		return fmt.Errorf("message %d of publisher %d was dropped for %d sockets", m.number, m.publisher, a.GetDropped())
	}
	p.ledger.owePublished(m, p.sockets, fmt.Sprintf("%v to %v, at node %s after %v", a, m.kind(), p.node.target.Control, time.Since(begin)))
	return nil
}

func (p *publisher) call(ctx context.Context, m message) (answer, error) {
	client := salav1.NewMessageServiceClient(p.node.conn)
	if m.kind() == broadcast {
		return client.Broadcast(ctx, &salav1.BroadcastRequest{Namespace: p.namespace, Event: messageEvent, ArgsJson: string(m.args(false))}, grpc.WaitForReady(true))
	}
	r := m.emit(p.namespace, p.sockets)
	if r == nil {
		return nil, errors.New("the message is for nobody")
	}
	return client.Emit(ctx, r, grpc.WaitForReady(true))
}
