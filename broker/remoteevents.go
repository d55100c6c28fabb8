package broker

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/forward"
	"github.com/salabroker/sala/broker/eventhub/lastwill"
)

// endedWithNode is the reason of a Disconnect whose node was lost.
const endedWithNode = "node lost"

// joinEvents lets backends hear of the clients of all nodes. Without a cluster it
// does nothing.
func (b *Broker) joinEvents() {
	if b.mesh == nil {
		return
	}
	b.peers = forward.New(forward.Options{
		Hub:    b.events,
		Send:   b.sendEvents,
		Up:     func() bool { return !b.doubt.is() && !b.Isolated() },
		Logger: b.log,
	})
	b.wills = lastwill.New(lastwill.Options{
		Self:      cluster.NodeID(b.id),
		Hub:       b.events,
		Sockets:   b.describeAll,
		Send:      b.sendEvents,
		Ask:       b.findWill,
		Gone:      b.tellLost,
		Forgotten: b.forgotten,
		Logger:    b.log,
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
func (b *Broker) eventsWithout(other cluster.Node, lost bool) {
	b.peers.Gone(other.ID)
	if lost {
		b.wills.Lost(other.ID, int(other.Sockets))
	} else {
		b.wills.Left(other.ID)
	}
}

// eventsAgain is for this node's return from the lost. Backends have been told that its
// clients are gone, and so hear of those again that are still there.
func (b *Broker) eventsAgain() {
	b.wills.Rejoined()
	for _, ns := range b.namespaces {
		if !b.events.Wants(eventhub.Connect, ns.name, "") {
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

// findWill asks the other nodes what they remember of a lost one. Complete is false
// if one that is there has not answered.
func (b *Broker) findWill(
	ctx context.Context, lost cluster.NodeID,
) (states map[cluster.NodeID]*wire.WillState, complete bool) {
	r, err := b.ask(ctx, &wire.Query{Query: &wire.Query_FindWill{FindWill: &wire.FindWill{Node: string(lost)}}})
	if err != nil {
		b.log.Warn("the other nodes could not be asked about a lost one", "node", string(lost), "error", err)
		return nil, false
	}
	states = make(map[cluster.NodeID]*wire.WillState, len(r.Replies))
	for _, reply := range r.Replies {
		state := &wire.WillState{}
		if reply.Err == nil && proto.Unmarshal(reply.Payload, state) == nil {
			states[reply.Node] = state
		}
	}
	return states, !r.Partial()
}

// tellLost lets backends hear that a socket has gone with its node.
func (b *Broker) tellLost(s *eventhub.Socket, redelivered bool, handover *eventhub.Handover) {
	if b.events.Wants(eventhub.Disconnect, s.Namespace, "") {
		b.events.PublishTracked(&eventhub.Event{
			Kind: eventhub.Disconnect, Namespace: s.Namespace, Socket: s, Reason: endedWithNode, Time: time.Now(),
		}, redelivered, handover)
	}
	b.events.Forget(s.ID)
}

// forgotten counts sockets that were lost with their node and that nobody knows.
func (b *Broker) forgotten(lost cluster.NodeID, n int) {
	b.log.Error("a node was lost with all that remembered its sockets; backends don't hear that these are gone",
		"node", string(lost), "sockets", n)
	b.metrics.stream.forgotten(n)
}

// describeAll returns what backends get to know about all sockets of this node.
func (b *Broker) describeAll() []*eventhub.Socket {
	var all []*eventhub.Socket
	for _, ns := range b.namespaces {
		for _, s := range ns.index.Select(nil, everyone) {
			all = append(all, s.describe())
		}
	}
	return all
}
