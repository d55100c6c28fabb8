package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/workers"
)

// maxAnswering is the most calls of other nodes that are answered at once.
const maxAnswering = 64

// answerers answers the calls of other nodes, each on a goroutine of its own.
type answerers struct {
	m       *Mesh
	busy    chan struct{} // a token for each call that is being answered
	workers *workers.Pool

	ctx    context.Context // of the calls that are being answered
	cancel context.CancelFunc

	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

func newAnswerers(m *Mesh) *answerers {
	return &answerers{m: m, busy: make(chan struct{}, maxAnswering), workers: workers.New()}
}

// start begins to accept calls. stop must follow.
func (a *answerers) start(ctx context.Context) { a.ctx, a.cancel = context.WithCancel(ctx) }

// answer starts to answer a call, or refuses it if too many are being answered.
func (a *answerers) answer(from NodeID, c *wire.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return
	}
	select {
	case a.busy <- struct{}{}:
	default:
		a.m.observer.Lost(LostBusy, 1)
		a.m.reply(from, &wire.Reply{Id: c.GetId(), Error: "it is answering too many calls; try again later"})
		return
	}
	a.running.Add(1)
	a.workers.Go(func() {
		defer a.running.Done()
		defer func() { <-a.busy }()
		ctx, cancel := context.WithTimeout(a.ctx, time.Duration(c.GetTimeoutMs())*time.Millisecond)
		defer cancel()
		payload, err := a.m.handler.Answer(ctx, from, c.GetPayload())
		if ctx.Err() != nil {
			return // the caller has stopped waiting, or this node is leaving and counts as missing
		}
		reply := &wire.Reply{Id: c.GetId(), Payload: payload}
		if err != nil {
			reply = &wire.Reply{Id: c.GetId(), Error: err.Error()}
		}
		a.m.reply(from, reply)
	})
}

// stop refuses new calls, cancels the current ones and waits for them.
func (a *answerers) stop() {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.cancel()
	a.running.Wait()
	a.workers.Close()
}
