package broker

import (
	"context"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/eventhub"
)

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
		d.b.events.DropRemote(func(e *eventhub.Event) bool {
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
