package forward

import (
	"errors"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

// forward is what stands in this hub for a subscription of another node, and what
// is on its way to it. Guarded by Peers.mu.
type forward struct {
	node    *node
	id      uint64 // of the subscription there
	session uint64
	remote  *eventhub.Remote

	onTheWay []sent    // oldest first, without gaps
	next     uint64    // the number of the next event
	bytes    int       // on their way
	received uint64    // the last number that has arrived
	since    time.Time // nothing has been heard of those behind it
	doubtful bool      // an earlier session may have handed out what is on its way
}

type sent struct {
	eventhub.Delivery
	size int
}

// number returns that of the i-th event on its way.
func (f *forward) number(i int) uint64 { return f.next - uint64(len(f.onTheWay)-i) } //nolint:gosec // i is an index

// forward sends what the hub has for a subscription, as much as may be on its
// way. The caller holds mu.
func (p *Peers) forward(f *forward) {
	if err := f.remote.Err(); err != nil {
		p.dropped(f, err)
		return
	}
	if !p.opts.Up() {
		return // the hub keeps it
	}
	first := len(f.onTheWay)
	for f.bytes < windowBytes {
		n, err := f.remote.Take(p.into[:p.room(f)])
		if err != nil {
			p.dropped(f, err)
			return
		}
		for _, d := range p.into[:n] {
			size := sizeOfEvent(d.Event)
			f.onTheWay = append(f.onTheWay, sent{d, size})
			f.bytes += size
			f.next++
		}
		if n == 0 {
			break
		}
	}
	clear(p.into[:])
	answered, expired := f.remote.Over()
	p.transmit(f, first, answered, expired)
}

// room is how many events are taken at once: few while those on their way are
// large, so that not much more than the window is taken.
func (p *Peers) room(f *forward) int {
	if f.bytes > windowBytes/2 {
		return 1
	}
	return len(p.into)
}

// transmit sends the events on their way from the i-th on, in as many batches as
// that takes.
func (p *Peers) transmit(f *forward, i int, answered, expired []uint64) {
	if i == len(f.onTheWay) && len(answered)+len(expired) == 0 {
		return
	}
	if f.received+1 == f.number(i) {
		f.since = time.Now()
	}
	for {
		batch := &wire.EventBatch{
			Subscription: f.id, Session: f.session, First: f.number(i), Arrived: f.received,
			Answered: answered, Expired: expired,
		}
		i = fill(batch, f.onTheWay, i)
		p.say(f.node, &wire.EventTraffic{Body: &wire.EventTraffic_Batch{Batch: batch}})
		if i == len(f.onTheWay) {
			return
		}
		answered, expired = nil, nil
	}
}

// fill puts events into a batch, from the i-th on, and returns the index of the
// first that didn't fit.
func fill(batch *wire.EventBatch, all []sent, i int) int {
	sockets := make(map[*eventhub.Socket]uint32)
	for size := 0; i < len(all) && (size == 0 || size+all[i].size <= batchBytes); i++ {
		d := &all[i]
		size += d.size
		e := eventTo(&d.Delivery)
		if s := d.Event.Socket; s != nil {
			number, ok := sockets[s]
			if !ok {
				batch.Sockets = append(batch.Sockets, SocketTo(s))
				number = uint32(len(batch.GetSockets())) //nolint:gosec // at most a window
				sockets[s] = number
				size += len(s.Data) + len(s.Auth)
			}
			e.Socket = number
		}
		batch.Events = append(batch.Events, e)
	}
	return i
}

// resend sends again what should have arrived by now. If it has, the other node
// is asked how far the subscription has come, in case that was lost.
func (p *Peers) resend(f *forward, now time.Time) {
	if len(f.onTheWay) == 0 || now.Sub(f.since) < resendAfter {
		return
	}
	f.since = now
	if f.received+1 == f.next {
		p.say(f.node, &wire.EventTraffic{Body: &wire.EventTraffic_Batch{Batch: &wire.EventBatch{
			Subscription: f.id, Session: f.session, First: f.next, Arrived: f.received,
		}}})
		return
	}
	first := 0
	if f.received >= f.number(0) {
		first = int(f.received - f.number(0) + 1) //nolint:gosec // at most a window
	}
	p.transmit(f, first, nil, nil)
}

// heardFeedback takes in what has become of events.
func (p *Peers) heardFeedback(n *node, feedback *wire.EventFeedback) {
	for _, a := range feedback.GetAnswers() {
		if f := n.forwards[a.GetSubscription()]; f != nil { // of whatever session: ids are the hub's
			f.remote.Answer(answerFrom(a))
		}
	}
	for _, progress := range feedback.GetProgress() {
		if f := n.forwards[progress.GetSubscription()]; f != nil && f.session == progress.GetSession() {
			p.advance(f, progress)
		}
	}
}

// advance takes in how far a subscription has come.
func (p *Peers) advance(f *forward, progress *wire.EventProgress) {
	switch {
	case progress.GetUnknown() && progress.GetEnded():
		p.remove(f)
		f.remote.Close(false)
		return
	case progress.GetUnknown():
		p.restart(f)
		return
	}
	if received := min(progress.GetReceived(), f.next-1); received > f.received {
		f.received, f.since = received, time.Now()
	}
	var ids []uint64
	for len(f.onTheWay) > 0 && f.number(0) <= progress.GetTaken() {
		ids = append(ids, f.onTheWay[0].ID)
		f.bytes -= f.onTheWay[0].size
		f.onTheWay[0] = sent{}
		f.onTheWay = f.onTheWay[1:]
	}
	if len(ids) > 0 {
		f.remote.Handed(ids...)
		p.waiting[f] = struct{}{} // there may be room for bytes
		p.bell.Ring()
	}
	if progress.GetEnded() {
		p.remove(f)
		f.remote.Close(!f.doubtful)
	}
}

// restart begins a new session, because the other node has forgotten the last
// one: it had taken this node for lost. It may have handed out what was on its way.
func (p *Peers) restart(f *forward) {
	p.sessions++
	f.doubtful = true
	f.session, f.next, f.received = p.sessions, uint64(len(f.onTheWay))+1, 0
	for i := range f.onTheWay {
		f.onTheWay[i].Redelivered = true
	}
	p.transmit(f, 0, nil, nil)
}

// dropped is the end of a forward that the hub has ended.
func (p *Peers) dropped(f *forward, err error) {
	p.remove(f)
	var failed *eventhub.Error
	if errors.As(err, &failed) && failed.Reason != eventhub.ReasonDraining { // else what was sent may be handed out
		p.sayStop(f, failed.Reason == eventhub.ReasonSlowSubscriber)
	}
}

// stop ends a forward. Whether what is on its way got there, nobody knows.
func (p *Peers) stop(f *forward, slow bool) {
	p.remove(f)
	f.remote.Close(false)
	p.sayStop(f, slow)
}

func (p *Peers) sayStop(f *forward, slow bool) {
	p.say(f.node, &wire.EventTraffic{Body: &wire.EventTraffic_Stop{
		Stop: &wire.EventStop{Subscription: f.id, Session: f.session, Slow: slow},
	}})
}

func (p *Peers) remove(f *forward) {
	if f.node.forwards[f.id] == f {
		delete(f.node.forwards, f.id)
	}
	delete(p.forwards, f.remote)
	delete(p.waiting, f)
}
