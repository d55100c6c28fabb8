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
)

// endedWithNode is the reason of a Disconnect whose node was lost.
const endedWithNode = "node lost"

// joinEvents lets backends hear of the clients of all nodes. Without a cluster it
// does nothing.
func (b *Broker) joinEvents() {
	if b.mesh == nil {
		return
	}
	b.forwarder = forward.New(forward.Options{
		Hub:       b.events,
		Send:      b.sendEvents,
		Reachable: func() bool { return !b.doubt.is() && !b.Isolated() },
		Logger:    b.log,
	})
	b.lastWill = lastwill.New(lastwill.Options{
		Self:      cluster.NodeID(b.id),
		Hub:       b.events,
		Sockets:   b.describeAll,
		Send:      b.sendEvents,
		Ask:       b.findWill,
		Publish:   b.tellLost,
		Forgotten: b.forgotten,
		Logger:    b.log,
	})
}

// runEvents exchanges events with other nodes until ctx ends.
func (b *Broker) runEvents(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { b.forwarder.Run(ctx) })
	running.Go(func() { b.lastWill.Run(ctx) })
	running.Wait()
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

// eventsNodeGone is for a node that has left or was lost. First its subscriptions
// go, then it is said that its sockets have gone.
func (b *Broker) eventsNodeGone(other cluster.Node, lost bool) {
	b.forwarder.Gone(other.ID)
	if lost {
		b.lastWill.Lost(other.ID, int(other.Sockets))
	} else {
		b.lastWill.Left(other.ID)
	}
}

// eventsRejoined is for this node's return from the lost. Backends have been told that its
// clients are gone, and so hear of those again that are still there.
func (b *Broker) eventsRejoined() {
	b.lastWill.Rejoined()
	for _, ns := range b.namespaces {
		if !b.events.Wants(eventhub.Connect, ns.name, "") {
			continue
		}
		for _, s := range ns.index.Select(nil, Target{Everyone: true}) {
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

// tellLost lets backends hear that a socket has gone with its node.
func (b *Broker) tellLost(s *eventhub.Socket, redelivered bool, tracker *eventhub.Tracker) {
	if b.events.Wants(eventhub.Disconnect, s.Namespace, "") {
		b.events.PublishTracked(&eventhub.Event{
			Kind: eventhub.Disconnect, Namespace: s.Namespace, Socket: s, Reason: endedWithNode, Time: time.Now(),
		}, redelivered, tracker)
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
		for _, s := range ns.index.Select(nil, Target{Everyone: true}) {
			all = append(all, s.describe())
		}
	}
	return all
}

const (
	// doubtAfter is how long this node may be out of touch with the others until it
	// has to ask whether they have taken it for lost. They wait for 4 s after its last
	// heartbeat, which was at most a second before.
	doubtAfter = 2500 * time.Millisecond
	// doubtEvery is how often it looks.
	doubtEvery = 250 * time.Millisecond
	// doubtWait is how long it waits for the answers to one question.
	doubtWait = 2 * time.Second
	// doubtFor is how long it waits for nodes that don't answer, in all. Backends at
	// other nodes hear nothing of this one's clients meanwhile.
	doubtFor = 4 * time.Second
	// maxDoubtful bounds the sockets whose end is held back.
	maxDoubtful = 50_000
)

// doubt is about whether other nodes have taken this one for lost and have told
// backends that its sockets are gone. It begins when the node was out of touch, since
// it couldn't reach the others or stood still, and ends when they have said so.
//
// Meanwhile nothing is sent to backends at other nodes. The end of a socket that
// they may have been told of is held back from all backends, once the others
// can be reached again: they know in a moment. While they can't, backends of this node
// hear of it at once. If the node was taken for lost, backends elsewhere don't
// hear of these ends again.
type doubt struct {
	b *Broker

	mu      sync.Mutex
	touched time.Time // when the node was last seen to run and to reach the others
	since   time.Time // when the doubt began; zero if there is none
	asked   time.Time // when the others could be asked first; zero if they couldn't
	// incarnation is that of the node when the doubt began: it counts how often the
	// node has heard that it was taken for lost.
	incarnation uint64
	held        []func(alreadyTold bool)
}

func newDoubt(b *Broker) *doubt { return &doubt{b: b, touched: time.Now()} }

// is reports whether there is doubt.
func (d *doubt) is() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.look(time.Now())
}

// look takes note of the time and reports whether there is doubt. The caller holds mu.
func (d *doubt) look(now time.Time) bool {
	if d.b.mesh == nil {
		return false
	}
	isolated := d.b.Isolated()
	if d.since.IsZero() && now.Sub(d.touched) > doubtAfter {
		d.since, d.incarnation = d.touched, d.b.mesh.Incarnation()
	}
	if d.since.IsZero() && !isolated {
		d.touched = now
	}
	if isolated {
		d.asked = time.Time{}
	}
	return !d.since.IsZero()
}

// ended calls publish, which lets backends know that a socket has ended, now or when
// it is clear whether they have been told by other nodes.
func (d *doubt) ended(s *socket, publish func(alreadyTold bool)) {
	d.mu.Lock()
	hold := d.look(time.Now()) && s.connectTime.Before(d.since) && !d.b.Isolated() && len(d.held) < maxDoubtful
	if hold {
		d.held = append(d.held, publish)
	}
	d.mu.Unlock()
	if !hold {
		publish(false)
	}
}

// run ends doubts until ctx ends.
func (d *doubt) run(ctx context.Context) {
	tick := time.NewTicker(doubtEvery)
	defer tick.Stop()
	defer d.end(false)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if d.is() && !d.b.Isolated() {
			if lost, certain := d.ask(ctx); certain {
				d.end(lost)
			}
		}
	}
}

// ask asks the other nodes whether they have taken this one for lost.
func (d *doubt) ask(ctx context.Context) (lost, certain bool) {
	d.mu.Lock()
	if d.asked.IsZero() {
		d.asked = time.Now()
	}
	asked, incarnation := d.asked, d.incarnation
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, doubtWait)
	defer cancel()
	states, complete := d.b.findWill(ctx, cluster.NodeID(d.b.id))
	for _, state := range states {
		lost = lost || state.GetLost()
	}
	// Those that have let it join again meanwhile don't take it for lost any more.
	lost = lost || d.b.mesh.Incarnation() != incarnation
	return lost, lost || complete || time.Since(asked) > doubtFor
}

// end is the end of the doubt. Lost says that the node was taken for lost.
func (d *doubt) end(lost bool) {
	if lost {
		d.mu.Lock()
		since := d.since
		d.mu.Unlock()
		d.b.events.DiscardRemote(func(e *eventhub.Event) bool {
			return e.Kind == eventhub.Disconnect && e.Socket.ConnectTime.Before(since)
		})
	}
	for held := d.take(); len(held) > 0; held = d.take() {
		for _, publish := range held {
			publish(lost)
		}
	}
}

// take returns what is held back. If there is nothing, the doubt is over.
func (d *doubt) take() []func(alreadyTold bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := d.held
	d.held = nil
	if len(held) == 0 {
		d.since, d.asked, d.touched = time.Time{}, time.Time{}, time.Now()
	}
	return held
}
