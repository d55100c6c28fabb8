package broker

import (
	"context"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/forward"
	"github.com/salabroker/sala/broker/eventhub/lastwill"
	"github.com/salabroker/sala/broker/eventhub/losscheck"
)

// endedWithNode is the reason of a Disconnect whose node was lost.
const endedWithNode = "node lost"

// shareEvents gives backends the events of the clients of all nodes. Without a
// cluster it does nothing.
func (b *Broker) shareEvents() {
	if b.mesh == nil {
		return
	}
	b.lossCheck = losscheck.New(losscheck.Options{
		Isolated:    b.Isolated,
		Incarnation: b.mesh.Incarnation,
		AskLost:     b.askWhetherLost,
		Lost:        b.discardEnds,
	})
	b.forwarder = forward.New(forward.Options{
		Self:      cluster.NodeID(b.id),
		Hub:       b.events,
		Nodes:     b.knownNodes,
		Send:      b.sendEvents,
		Reachable: func() bool { return !b.lossCheck.Uncertain() && !b.Isolated() },
		Logger:    b.log,
	})
	b.lastWill = lastwill.New(lastwill.Options{
		Self:       cluster.NodeID(b.id),
		Hub:        b.events,
		Interest:   b.lostInterest,
		Sockets:    b.describeSockets,
		Places:     b.depositedPlaces,
		Send:       b.sendEvents,
		Ask:        b.findWill,
		Silent:     b.mesh.Silent,
		Publish:    b.publishLost,
		PublishEnd: b.publishNeverArrived,
		PlacesLost: b.placesLost,
		Forgotten:  b.forgotten,
		Logger:     b.log,
	})
}

// runEvents exchanges events with other nodes until ctx ends.
func (b *Broker) runEvents(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { b.forwarder.Run(ctx) })
	running.Go(func() { b.lastWill.Run(ctx) })
	running.Go(func() { b.lossCheck.Run(ctx) })
	running.Wait()
}

// AwaitSubscribed waits until the other nodes offer their clients' events to the subscriptions that
// this node has now, for at most two seconds. The partial result names the nodes that don't yet; each
// does as soon as it can. It may be called concurrently.
func (b *Broker) AwaitSubscribed(ctx context.Context) PartialResult {
	if b.mesh == nil {
		return PartialResult{}
	}
	ctx, cancel := context.WithTimeout(ctx, waitAtMost(ctx, callTimeout))
	defer cancel()
	nodes, partial := b.otherNodes(ctx)
	if len(nodes) == 0 {
		return partial
	}
	for _, id := range b.forwarder.AwaitSubscribed(ctx) {
		partial.miss(string(id))
	}
	return partial
}

func (b *Broker) sendEvents(to cluster.NodeID, t *wire.EventTraffic) error {
	op := &wire.Op{Op: &wire.Op_Events{Events: t}}
	return b.tell(destination{route: cluster.Route{Nodes: []cluster.NodeID{to}}}, op)
}

func (b *Broker) receiveEvents(from cluster.NodeID, t *wire.EventTraffic) {
	b.forwarder.Receive(from, t)
	b.lastWill.Receive(from, t)
}

func (b *Broker) eventsNodeJoined(other cluster.NodeID) {
	b.forwarder.Joined(other)
	b.lastWill.Joined(other)
}

// eventsNodeGone is called when a node has left or was lost. Its subscriptions end
// first, so that none of them gets the events about the end of its sockets.
func (b *Broker) eventsNodeGone(other cluster.Node, lost bool) {
	b.forwarder.Gone(other.ID)
	if lost {
		b.lastWill.Lost(other.ID, other.Incarnation, int(other.Sockets))
	} else {
		b.lastWill.Left(other.ID)
	}
}

// eventsRejoined is called when this node was taken for lost and is back. Backends
// were told that its clients are gone, so they get a CONNECT of each that is still
// connected.
func (b *Broker) eventsRejoined() {
	b.lastWill.Rejoined()
	for _, p := range b.presentPlaces() {
		b.presence.Came(p)
	}
	for _, ns := range b.namespaces {
		if !b.events.Wants(eventhub.Connect, ns.name, "") {
			continue
		}
		for _, s := range ns.index.Select(nil, Target{Everyone: true}) {
			if !s.isShadow() {
				s.publishStillConnected()
			}
		}
	}
}

// findWill asks the other nodes what they keep of a lost node's sockets. complete
// is false if one of them didn't answer.
func (b *Broker) findWill(
	ctx context.Context, lost cluster.NodeID,
) (states map[cluster.NodeID]*wire.WillState, complete bool) {
	op := &wire.Op{Op: &wire.Op_WillState{WillState: &wire.WillStateRequest{Node: string(lost)}}}
	r, partial := b.callOthers(ctx, everyNode(), callTimeout, op)
	states = make(map[cluster.NodeID]*wire.WillState, len(r.Replies))
	for _, reply := range r.Replies {
		one := cluster.Result{Replies: []cluster.Reply{reply}}
		for _, state := range decode[wire.WillState](one, &partial) {
			states[reply.Node] = state
		}
	}
	return states, !partial.Partial
}

// publishLost tells backends that a socket has ended with its node.
func (b *Broker) publishLost(s *eventhub.Socket, incarnation uint64, redelivered bool, tracker *eventhub.Tracker) {
	if b.events.Wants(eventhub.Disconnect, s.Namespace, "") {
		b.events.PublishTracked(&eventhub.Event{
			Kind: eventhub.Disconnect, Namespace: s.Namespace, Socket: s, Reason: endedWithNode, Time: time.Now(),
		}, incarnation, redelivered, tracker)
	}
	b.events.Forget(s.ID)
}

// publishNeverArrived tells backends that a socket has ended that another node was to
// take over.
func (b *Broker) publishNeverArrived(s *eventhub.Socket) {
	if b.events.Wants(eventhub.Disconnect, s.Namespace, "") {
		b.publishEvent(&eventhub.Event{
			Kind: eventhub.Disconnect, Namespace: s.Namespace, Socket: s, Reason: endedByReturn, Time: time.Now(),
		})
	}
	b.events.Forget(s.ID)
}

// forgotten counts sockets that were lost with their node and that no other node
// knows.
func (b *Broker) forgotten(lost cluster.NodeID, n int) {
	b.log.Error("a node was lost together with all nodes that knew its sockets; backends get no DISCONNECT for them",
		"node", string(lost), "sockets", n)
	b.metrics.stream.forgotten(n)
}

// describeSockets returns what backends see of all sockets of this node.
func (b *Broker) describeSockets() []*eventhub.Socket {
	var all []*eventhub.Socket
	for _, ns := range b.namespaces {
		for _, s := range ns.index.Select(nil, Target{Everyone: true}) {
			if !s.isShadow() { // its owner has it
				all = append(all, s.describe())
			}
		}
	}
	return all
}

// askWhetherLost asks the other nodes whether they take this one for lost.
func (b *Broker) askWhetherLost(ctx context.Context) (lost, complete bool) {
	states, complete := b.findWill(ctx, cluster.NodeID(b.id))
	for _, state := range states {
		lost = lost || state.GetLost()
	}
	return lost, complete
}

// discardEnds keeps events about the end of sockets that this node had before since
// from backends at other nodes, which have got them already.
func (b *Broker) discardEnds(since time.Time) {
	b.events.DiscardRemote(func(e *eventhub.Event) bool {
		return e.Kind == eventhub.Disconnect && e.Socket.Since().Before(since)
	})
}
