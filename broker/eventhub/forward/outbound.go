package forward

import (
	"errors"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/socketwire"
)

// outbound carries the events of this node's clients to one subscription of another node. Guarded
// by Forwarder.mu.
type outbound struct {
	peer    *peer
	id      uint64 // of the subscription there
	session uint64
	remote  *eventhub.Remote

	inFlight     []sent    // oldest first, numbered without gaps
	next         uint64    // the number of the next event
	bytes        int       // in flight
	acknowledged uint64    // all events up to this number have arrived
	since        time.Time // the others are unacknowledged since then
	probed       uint64    // next when Flush asked what has arrived
	// restarted says that the backend may have what is in flight from an earlier session.
	restarted bool
}

type sent struct {
	eventhub.Delivery
	size int
}

// number returns the number of inFlight[i].
func (out *outbound) number(i int) uint64 {
	return out.next - uint64(len(out.inFlight)-i) //nolint:gosec // i is an index
}

// forward sends what the hub has for a subscription, as far as the window allows.
func (f *Forwarder) forward(out *outbound) {
	if err := out.remote.Err(); err != nil {
		f.remoteEnded(out, err)
		return
	}
	if !f.opts.Reachable() {
		return // the hub keeps it
	}
	first := len(out.inFlight)
	for out.bytes < windowBytes {
		most := len(f.scratch)
		if out.bytes > windowBytes/2 {
			most = 1 // so that not much more than the window is taken
		}
		n, err := out.remote.Take(f.scratch[:most])
		if err != nil {
			f.remoteEnded(out, err)
			return
		}
		for _, d := range f.scratch[:n] {
			size := d.Event.Size()
			out.inFlight = append(out.inFlight, sent{d, size})
			out.bytes += size
			out.next++
		}
		if n == 0 {
			break
		}
	}
	clear(f.scratch[:])
	answered, expired := out.remote.EndedQuestions()
	f.transmit(out, first, answered, expired)
}

// transmit sends inFlight[i:] and the ended questions, in as many batches as that takes.
func (f *Forwarder) transmit(out *outbound, i int, answered, expired []uint64) {
	if i == len(out.inFlight) && len(answered)+len(expired) == 0 {
		return
	}
	if out.acknowledged+1 == out.number(i) {
		out.since = time.Now()
	}
	for {
		batch := out.newBatch(out.number(i))
		batch.Answered, batch.Expired = answered, expired
		i = fill(batch, out.inFlight, i)
		f.send(out.peer, &wire.EventTraffic{Body: &wire.EventTraffic_Batch{Batch: batch}})
		if i == len(out.inFlight) {
			return
		}
		answered, expired = nil, nil
	}
}

func (out *outbound) newBatch(first uint64) *wire.EventBatch {
	return &wire.EventBatch{Subscription: out.id, Session: out.session, First: first, Acknowledged: out.acknowledged}
}

// fill puts all[i:] into a batch and returns the index of the first event that didn't fit.
func fill(batch *wire.EventBatch, all []sent, i int) int {
	sockets := make(map[*eventhub.Socket]uint32)
	for size := 0; i < len(all) && (size == 0 || size+all[i].size <= batchBytes); i++ {
		d := &all[i]
		size += d.size
		e := eventTo(&d.Delivery)
		if s := d.Event.Socket; s != nil {
			number, ok := sockets[s]
			if !ok {
				batch.Sockets = append(batch.Sockets, socketwire.To(s))
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

// resend sends unacknowledged events again. If all are acknowledged it asks for the progress, since
// the report may be lost.
func (f *Forwarder) resend(out *outbound, now time.Time) {
	if len(out.inFlight) == 0 || now.Sub(out.since) < resendAfter {
		return
	}
	out.since = now
	if out.acknowledged+1 == out.next {
		f.send(out.peer, &wire.EventTraffic{Body: &wire.EventTraffic_Batch{Batch: out.newBatch(out.next)}})
		return
	}
	first := 0
	if out.acknowledged >= out.number(0) {
		first = int(out.acknowledged - out.number(0) + 1) //nolint:gosec // at most a window
	}
	f.transmit(out, first, nil, nil)
}

// receiveFeedback applies what became of events.
func (f *Forwarder) receiveFeedback(p *peer, feedback *wire.EventFeedback) {
	for _, a := range feedback.GetAnswers() {
		if out := p.outbounds[a.GetSubscription()]; out != nil { // of whatever session: ids are the hub's
			out.remote.Answer(answerFrom(a))
		}
	}
	for _, progress := range feedback.GetProgress() {
		if out := p.outbounds[progress.GetSubscription()]; out != nil && out.session == progress.GetSession() {
			f.advance(out, progress)
		}
	}
}

// advance applies the progress of a subscription.
func (f *Forwarder) advance(out *outbound, progress *wire.EventProgress) {
	switch {
	case progress.GetUnknown() && progress.GetEnded():
		f.removeOutbound(out)
		out.remote.Close(false)
		return
	case progress.GetUnknown():
		f.restart(out)
		return
	}
	if received := min(progress.GetReceived(), out.next-1); received > out.acknowledged {
		out.acknowledged, out.since = received, time.Now()
	}
	var ids []uint64
	for len(out.inFlight) > 0 && out.number(0) <= progress.GetDelivered() {
		ids = append(ids, out.inFlight[0].ID)
		out.bytes -= out.inFlight[0].size
		out.inFlight[0] = sent{}
		out.inFlight = out.inFlight[1:]
	}
	if len(ids) > 0 {
		out.remote.Confirm(ids...)
		f.RemoteChanged(out.remote) // the window may have room again
	}
	if progress.GetEnded() {
		f.removeOutbound(out)
		out.remote.Close(!out.restarted)
	}
}

// restart begins a new session. The other node doesn't know the last one: it considered this node
// lost, and its backend may have what is in flight.
func (f *Forwarder) restart(out *outbound) {
	f.sessions++
	out.restarted = true
	out.session, out.next, out.acknowledged, out.probed = f.sessions, uint64(len(out.inFlight))+1, 0, 0
	for i := range out.inFlight {
		out.inFlight[i].Redelivered = true
	}
	f.transmit(out, 0, nil, nil)
}

// remoteEnded ends an outbound whose remote the hub has ended.
func (f *Forwarder) remoteEnded(out *outbound, err error) {
	f.removeOutbound(out)
	var failed *eventhub.Error
	known := errors.As(err, &failed)
	if known && failed.Reason != eventhub.ReasonDraining { // while draining, what was sent may be handed out
		f.sendStop(out, failed.Reason == eventhub.ReasonSlowSubscriber)
	}
}

// stop ends an outbound. Nobody knows whether the backend has what is in flight.
func (f *Forwarder) stop(out *outbound) {
	f.removeOutbound(out)
	out.remote.Close(false)
	f.sendStop(out, false)
}

func (f *Forwarder) sendStop(out *outbound, slow bool) {
	f.send(out.peer, &wire.EventTraffic{Body: &wire.EventTraffic_Stop{
		Stop: &wire.EventStop{Subscription: out.id, Session: out.session, Slow: slow},
	}})
}

func (f *Forwarder) removeOutbound(out *outbound) {
	if out.peer.outbounds[out.id] == out {
		delete(out.peer.outbounds, out.id)
	}
	delete(f.outbounds, out.remote)
}
