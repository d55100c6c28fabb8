package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// maxAnswering bounds how many calls of other nodes are answered at once.
const maxAnswering = 64

// answerers answers the calls of other nodes, each in a goroutine of its own.
type answerers struct {
	m    *Mesh
	free chan struct{} // a place for each call that can be answered at once

	ctx    context.Context // ends what is being answered when the mesh does
	cancel context.CancelFunc

	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

func newAnswerers(m *Mesh) *answerers {
	return &answerers{m: m, free: make(chan struct{}, maxAnswering)}
}

// start lets calls be answered until stop.
func (a *answerers) start(ctx context.Context) { a.ctx, a.cancel = context.WithCancel(ctx) }

// answer begins to answer a call, or refuses it if there are too many.
func (a *answerers) answer(from NodeID, c *wire.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return
	}
	select {
	case a.free <- struct{}{}:
	default:
		a.m.observer.Lost(LostBusy, 1)
		a.m.reply(from, &wire.Reply{Id: c.GetId(), Error: "it answers as many calls as it can; try again later"})
		return
	}
	a.running.Go(func() {
		defer func() { <-a.free }()
		ctx, cancel := context.WithTimeout(a.ctx, time.Duration(c.GetTimeoutMs())*time.Millisecond)
		defer cancel()
		payload, err := a.m.handler.Answer(ctx, from, c.GetPayload())
		if ctx.Err() != nil {
			return // nobody waits any more, or this node is leaving: it counts as missing
		}
		reply := &wire.Reply{Id: c.GetId(), Payload: payload}
		if err != nil {
			reply = &wire.Reply{Id: c.GetId(), Error: err.Error()}
		}
		a.m.reply(from, reply)
	})
}

// stop waits for the answers that are being made.
func (a *answerers) stop() {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.cancel()
	a.running.Wait()
}
