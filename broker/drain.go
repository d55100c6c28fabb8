package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/grace"
)

// maxDrainGap is the longest pause between two clients that are sent away, because
// a few of them needn't be spread over the whole time.
const maxDrainGap = 10 * time.Millisecond

// Drain takes the node with this id out of service and describes it. The node
// refuses new clients from now on and begins to send its clients away, spread over
// Options.DrainSpread. Drain doesn't wait for that. It may be called concurrently
// and repeatedly. The error is a *[Error], with CodeNotFound if there is no such
// node.
func (b *Broker) Drain(ctx context.Context, node string) (NodeInfo, error) {
	var v violations
	validateName(&v, "id", "a node's id", node)
	if err := v.err(); err != nil {
		return NodeInfo{}, err
	}
	if node == b.id {
		b.drain()
		return b.info(), nil
	}
	notFound := &Error{
		Code:    CodeNotFound,
		Reason:  ReasonNodeNotFound,
		Message: fmt.Sprintf("there is no node %q; ListNodes lists the nodes", node),
	}
	if b.mesh == nil {
		return NodeInfo{}, notFound
	}
	op := &wire.Op{Op: &wire.Op_Drain{Drain: &wire.Drain{}}}
	if err := b.callNode(ctx, cluster.NodeID(node), op, nil, notFound); err != nil {
		return NodeInfo{}, err
	}
	for _, other := range b.mesh.Nodes() {
		if string(other.ID) == node {
			info := infoOf(other)
			info.State = NodeDraining // the node hasn't announced it yet
			return info, nil
		}
	}
	return NodeInfo{}, notFound
}

// Shutdown drains the broker: it refuses new clients, notifies the connected ones,
// sends them everything that was accepted for them and closes their connections.
// Clients reconnect by themselves. They are sent away spread over
// Options.DrainSpread, but within half of ctx's time.
//
// Shutdown returns nil once that is done. If ctx ends first, it cuts the remaining
// connections and returns ctx's error. Anything that doesn't end even then is left
// behind soon after, and the error names it.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.drain()
	half := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		half, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	select {
	case <-b.drained:
	case <-half.Done():
		b.rushing.Do(func() { close(b.rush) })
		grace.Wait(ctx, 0, func() { <-b.drained })
	}
	err := b.shutDownConnections(ctx)
	b.endOffers(ctx)
	b.endAwaySockets()
	b.closePresence(ctx)
	b.endSubscriptions(ctx)
	if !grace.Wait(ctx, endGrace, b.awaitGoroutines) {
		err = errors.Join(err, errors.New("requests to clients or backends have not ended"))
	}
	b.outcomes.Close()
	return err
}

// endOffers waits until other nodes have taken over the sessions of clients that are
// away, or ctx ends.
func (b *Broker) endOffers(ctx context.Context) {
	b.ending.Do(func() { close(b.clientsGone) })
	grace.Wait(ctx, 0, b.offering.Wait)
	b.stopping.Do(func() { close(b.stopOffers) })
	b.offering.Wait() // ends soon
}

// endAwaySockets ends the sockets whose clients are away: their node won't be there
// when they return.
func (b *Broker) endAwaySockets() {
	for _, ns := range b.namespaces {
		for _, s := range ns.index.Select(nil, Target{Everyone: true}) {
			if s.client.Load() == nil {
				s.end(string(engineio.ReasonShutdown))
			}
		}
	}
}

// shutDownConnections ends the clients' connections, also those to other nodes that come through
// this one.
func (b *Broker) shutDownConnections(ctx context.Context) error {
	if b.proxy == nil {
		return b.engine.Shutdown(ctx)
	}
	var passing sync.WaitGroup
	var err error
	passing.Go(func() { err = b.proxy.Shutdown(ctx) })
	ended := b.engine.Shutdown(ctx)
	passing.Wait()
	return errors.Join(ended, err)
}

// awaitGoroutines waits for the goroutines that wait for clients or backends.
func (b *Broker) awaitGoroutines() {
	if b.memory != nil {
		b.memory.Stop()
	}
	b.ackRequests.close()
	b.deciding.Wait() // ends soon: there are no backends left that could decide
	b.workers.Close()
}

// Load returns the number of connections and of sockets.
func (b *Broker) Load() (connections, sockets int) { return b.engine.Connections(), b.countSockets() }

// Draining reports whether Drain or Shutdown has been called.
func (b *Broker) Draining() bool { return b.draining.Load() }

// DrainBegins returns a channel that is closed when Drain or Shutdown is called.
func (b *Broker) DrainBegins() <-chan struct{} { return b.drainBegins }

// DrainEnds returns a channel that is closed once all clients that had a socket when the
// node began to drain have been told to go.
func (b *Broker) DrainEnds() <-chan struct{} { return b.drained }

// drain begins to drain, unless that has begun already. Its goroutine ends by
// itself, or soon after rush is closed.
func (b *Broker) drain() {
	begun := b.draining.CompareAndSwap(false, true)
	if !begun {
		return
	}
	close(b.drainBegins)
	b.log.Info("draining", "sockets", b.countSockets(), "spread", b.opts.DrainSpread.String())
	b.engine.Refuse()
	if b.mesh != nil {
		b.mesh.Announce()
		b.proxy.Drain(b.opts.DrainSpread)
	}
	if b.mesh != nil && b.recovery != nil {
		b.offering.Go(b.offerSessions)
	}
	go b.sendClientsAway()
}

// sendClientsAway sends all clients with a socket away. One that gets its first
// socket afterwards is sent away when it connects.
func (b *Broker) sendClientsAway() {
	defer close(b.drained)
	clients := b.clients()
	gap := min(b.opts.DrainSpread/time.Duration(max(len(clients), 1)), maxDrainGap)
	start := time.Now()
	for i, c := range clients {
		b.pauseUntil(start.Add(time.Duration(i) * gap))
		c.sendAway()
	}
}

// pauseUntil waits until t, unless the remaining clients have to go at once.
func (b *Broker) pauseUntil(t time.Time) {
	wait := time.Until(t)
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.rush:
	}
}

// clients returns the clients that have a socket, each once.
func (b *Broker) clients() []*client {
	seen := make(map[*client]bool)
	var clients []*client
	for _, ns := range b.namespaces {
		for _, s := range ns.index.Select(nil, Target{Everyone: true}) {
			if c := s.client.Load(); c != nil && !seen[c] {
				seen[c] = true
				clients = append(clients, c)
			}
		}
	}
	return clients
}
