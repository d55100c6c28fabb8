package broker

import (
	"context"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/events"
	"github.com/salabroker/sala/broker/events/peers"
	"github.com/salabroker/sala/broker/events/wills"
)

// endedWithNode is the reason of a Disconnect whose node was lost.
const endedWithNode = "node lost"

// joinEvents lets backends hear of the clients of all nodes. Without a cluster it
// does nothing.
func (b *Broker) joinEvents() {
	if b.mesh == nil {
		return
	}
	b.peers = peers.New(peers.Options{
		Hub:    b.events,
		Send:   b.sendEvents,
		Up:     func() bool { return !b.Isolated() },
		Logger: b.log,
	})
	b.wills = wills.New(wills.Options{
		Self:    cluster.NodeID(b.id),
		Hub:     b.events,
		Sockets: b.describeAll,
		Send:    b.sendEvents,
		Ask:     b.findWill,
		Gone:    b.tellLost,
		Logger:  b.log,
	})
}

// runEvents exchanges events with other nodes until ctx ends.
func (b *Broker) runEvents(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { b.peers.Run(ctx) })
	running.Go(func() { b.wills.Run(ctx) })
	running.Wait()
}

func (b *Broker) sendEvents(to cluster.NodeID, t *wire.EventTraffic) error {
	order := &wire.Order{Order: &wire.Order_Events{Events: t}}
	return b.mesh.Publish(cluster.Route{Nodes: []cluster.NodeID{to}}, encode(order))
}

func (b *Broker) hearEvents(from cluster.NodeID, t *wire.EventTraffic) {
	b.peers.Receive(from, t)
	b.wills.Receive(from, t)
}

func (b *Broker) eventsOf(other cluster.NodeID) {
	b.peers.Joined(other)
	b.wills.Joined(other)
}

// eventsWithout is for a node that has left or was lost. First its subscriptions
// go, then it is said that its sockets have gone.
func (b *Broker) eventsWithout(other cluster.NodeID, lost bool) {
	b.peers.Gone(other)
	if lost {
		b.wills.Lost(other)
	} else {
		b.wills.Left(other)
	}
}

// eventsAgain is for this node's return from the lost. Backends have been told that its
// clients are gone, and so hear of those again that are still there.
func (b *Broker) eventsAgain() {
	for _, ns := range b.namespaces {
		if !b.events.Wants(events.Connect, ns.name, "") {
			continue
		}
		for _, s := range ns.index.Select(nil, everyone) {
			s.tellStillConnected()
		}
	}
}

// tellStillConnected lets backends hear of the socket again, unless they have
// heard that it is gone.
func (s *socket) tellStillConnected() {
	s.saying.Lock()
	defer s.saying.Unlock()
	if !s.silent {
		s.publishConnected()
	}
}

// findWill asks the other nodes what they remember of a lost one.
func (b *Broker) findWill(ctx context.Context, lost cluster.NodeID) []*wire.WillState {
	r, err := b.ask(ctx, &wire.Query{Query: &wire.Query_FindWill{FindWill: &wire.FindWill{Node: string(lost)}}})
	if err != nil {
		b.log.Warn("the other nodes could not be asked about a lost one", "node", string(lost), "error", err)
	}
	states, _ := answersOf[wire.WillState](r)
	return states
}

// tellLost lets backends hear that a socket has gone with its node.
func (b *Broker) tellLost(s *events.Socket) {
	if b.events.Wants(events.Disconnect, s.Namespace, "") {
		b.events.Publish(&events.Event{
			Kind: events.Disconnect, Namespace: s.Namespace, Socket: s, Reason: endedWithNode, Time: time.Now(),
		})
	}
	b.events.Forget(s.ID)
}

// describeAll returns what backends get to know about all sockets of this node.
func (b *Broker) describeAll() []*events.Socket {
	var all []*events.Socket
	for _, ns := range b.namespaces {
		for _, s := range ns.index.Select(nil, everyone) {
			all = append(all, s.describe())
		}
	}
	return all
}
