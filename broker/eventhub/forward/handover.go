package forward

import (
	"context"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

// checkFlushesEvery is how often the forwarder looks whether events have arrived that somebody waits
// for. Looking goes through everything that is on its way.
const checkFlushesEvery = 5 * time.Millisecond

// flush is a caller of Flush. Guarded by Forwarder.mu.
type flush struct {
	socket    string
	arrived   chan struct{} // closed when nothing of the socket is on its way
	abandoned bool          // the caller doesn't wait any longer
}

// HandOver returns what another node needs to go on with the events of a socket that it takes over.
// It is called when no event of the socket follows here. [eventhub.Hub.Forget] and Flush come after
// it.
func (f *Forwarder) HandOver(socket string) *wire.EventHandover {
	h := &wire.EventHandover{}
	for _, ref := range f.opts.Hub.Pins(socket) {
		node := ref.Node
		if node == "" {
			node = string(f.opts.Self)
		}
		h.Pins = append(h.Pins, &wire.SubscriptionRef{Node: node, Id: ref.ID})
	}
	return h
}

// TakeOver goes on with the events of a socket of another node, which has called HandOver. It is
// called before the first event of the socket here.
func (f *Forwarder) TakeOver(socket string, h *wire.EventHandover) {
	pins := make([]eventhub.SubscriptionRef, 0, len(h.GetPins()))
	for _, p := range h.GetPins() {
		ref := eventhub.SubscriptionRef{Node: p.GetNode(), ID: p.GetId()}
		if cluster.NodeID(ref.Node) == f.opts.Self {
			ref.Node = ""
		}
		pins = append(pins, ref)
	}
	f.opts.Hub.Pin(socket, pins)
}

// Flush waits until all events of a socket that were published here have arrived at the nodes of
// their members, and reports whether they have. It gives up after some time, and when ctx ends.
// Usually nothing is on its way, and it returns at once. It takes long if a member is more than a
// window of events behind, or can't be reached.
func (f *Forwarder) Flush(ctx context.Context, atMost time.Duration, socket string) bool {
	f.mu.Lock()
	if f.isIdle() {
		f.mu.Unlock()
		return true
	}
	fl := &flush{socket: socket, arrived: make(chan struct{})}
	f.flushes[fl] = struct{}{}
	if len(f.flushes) == 1 {
		time.AfterFunc(0, f.checkFlushes)
	}
	f.mu.Unlock()
	late := time.NewTimer(atMost)
	defer late.Stop()
	select {
	case <-fl.arrived:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.abandoned = true
	return false
}

// probe asks what has arrived: otherwise the other node says so later, if its backend doesn't take
// the events now. It asks once for the same events. The caller holds mu.
func (f *Forwarder) probe(out *outbound) {
	if out.acknowledged+1 < out.next && out.probed < out.next {
		out.probed = out.next
		f.send(out.peer, &wire.EventTraffic{Body: &wire.EventTraffic_Batch{Batch: out.newBatch(out.next)}})
	}
}

// isIdle reports whether no event at all is on its way to another node. The caller holds mu.
func (f *Forwarder) isIdle() bool {
	for _, out := range f.outbounds {
		if out.acknowledged+1 != out.next || !out.remote.IsEmpty() {
			return false
		}
	}
	return true
}

// checkFlushes ends the flushes whose events have arrived, and comes back to the others.
func (f *Forwarder) checkFlushes() {
	f.mu.Lock()
	defer f.mu.Unlock()
	onTheirWay := f.socketsOnTheirWay()
	for fl := range f.flushes {
		if fl.abandoned || !onTheirWay[fl.socket] {
			close(fl.arrived)
			delete(f.flushes, fl)
		}
	}
	if len(f.flushes) > 0 {
		time.AfterFunc(checkFlushesEvery, f.checkFlushes)
	}
}

// socketsOnTheirWay says which of the sockets that are flushed have events that haven't arrived.
// The caller holds mu.
func (f *Forwarder) socketsOnTheirWay() map[string]bool {
	sockets := make(map[string]bool, len(f.flushes))
	for fl := range f.flushes {
		sockets[fl.socket] = false
	}
	visit := func(e *eventhub.Event) {
		if e.Socket == nil {
			return
		}
		if _, ok := sockets[e.Socket.ID]; ok {
			sockets[e.Socket.ID] = true
		}
	}
	for _, out := range f.outbounds {
		for i, d := range out.inFlight {
			if out.number(i) > out.acknowledged {
				visit(d.Event)
			}
		}
		out.remote.Queued(visit)
		f.probe(out)
	}
	return sockets
}
