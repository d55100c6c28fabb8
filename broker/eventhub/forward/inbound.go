package forward

import (
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/socketwire"
)

// inbound carries the events of another node's clients to one subscription of this node. Guarded by
// Forwarder.mu.
type inbound struct {
	peer    *peer
	id      uint64 // of the subscription
	session uint64
	source  *eventhub.Source

	received uint64              // all events up to this number have arrived
	reported *wire.EventProgress // the last report; nil if it has to be sent again
}

// finalReport is the last report of an inbound, in case it has to be sent again.
type finalReport struct {
	progress *wire.EventProgress
	at       time.Time
}

// receiveBatch offers events of another node to the subscription that they are for.
func (f *Forwarder) receiveBatch(p *peer, batch *wire.EventBatch) {
	in := p.inbounds[batch.GetSubscription()]
	if in != nil && in.session > batch.GetSession() {
		return // a late message of an earlier session
	}
	if in == nil || in.session < batch.GetSession() {
		in = f.addInbound(p, batch, in)
		if in == nil {
			return
		}
	}
	in.source.EndQuestions(batch.GetAnswered(), batch.GetExpired())
	if batch.GetFirst() != in.received+1 || len(batch.GetEvents()) == 0 {
		in.reported = nil // a message was lost, maybe the last report
	}
	if len(batch.GetEvents())+len(batch.GetAnswered())+len(batch.GetExpired()) == 0 {
		f.SourceChanged(in.source) // the other node asks for a report
	}
	if batch.GetFirst() > in.received+1 {
		return // the missing events are sent again, and all that follow them
	}
	sockets := make([]*eventhub.Socket, len(batch.GetSockets()))
	for i, s := range batch.GetSockets() {
		sockets[i] = socketwire.From(s)
	}
	for i, e := range batch.GetEvents() {
		if batch.GetFirst()+uint64(i) <= in.received {
			continue // it has arrived before
		}
		accepted := in.source.Offer(deliveryFrom(e, sockets))
		if !accepted {
			return
		}
		in.received++
	}
}

// addInbound begins a session, in place of before if that isn't nil. If there can be none it
// reports so to the other node and returns nil.
func (f *Forwarder) addInbound(p *peer, batch *wire.EventBatch, before *inbound) *inbound {
	if before != nil { // the other node has ended it
		f.removeInbound(before)
		before.source.Stop(false)
	}
	s := f.subscription(batch.GetSubscription())
	if s == nil || batch.GetAcknowledged() != 0 {
		progress := &wire.EventProgress{
			Subscription: batch.GetSubscription(),
			Session:      batch.GetSession(),
			Ended:        s == nil,
			Unknown:      batch.GetAcknowledged() != 0,
		}
		if last, ok := p.ended[batch.GetSubscription()]; ok && last.progress.GetSession() == batch.GetSession() {
			progress = last.progress
		}
		p.feedback.Progress = append(p.feedback.Progress, progress)
		f.notices.wake()
		return nil
	}
	in := &inbound{
		peer: p, id: s.ID(), session: batch.GetSession(), source: s.AddSource(string(p.id), f),
	}
	p.inbounds[in.id] = in
	f.inbounds[in.source] = in
	return in
}

// subscription returns a subscription of this node, nil if it has ended.
func (f *Forwarder) subscription(id uint64) *eventhub.Subscription {
	for _, s := range f.opts.Hub.Subscriptions() {
		if s.ID() == id {
			return s
		}
	}
	return nil
}

// receiveStop ends a session that the other node has ended.
func (f *Forwarder) receiveStop(p *peer, stop *wire.EventStop) {
	if in := p.inbounds[stop.GetSubscription()]; in != nil && in.session == stop.GetSession() {
		f.removeInbound(in)
		in.source.Stop(stop.GetSlow())
	}
}

func (f *Forwarder) removeInbound(in *inbound) {
	delete(in.peer.inbounds, in.id)
	delete(f.inbounds, in.source)
}

// report reports the progress of a subscription, unless it was reported before. The caller holds
// mu.
func (f *Forwarder) report(in *inbound) {
	taken, ended := in.source.Progress()
	if last := in.reported; last != nil && last.GetReceived() == in.received && last.GetDelivered() == taken && !ended {
		return
	}
	in.reported = &wire.EventProgress{
		Subscription: in.id, Session: in.session, Received: in.received, Delivered: taken, Ended: ended,
	}
	in.peer.feedback.Progress = append(in.peer.feedback.Progress, in.reported)
	if ended {
		in.peer.ended[in.id] = finalReport{in.reported, time.Now()}
		f.removeInbound(in)
	}
}

// sendFeedback sends each node the answers and reports that wait. Answers go first: a subscription
// that has ended may have given some just before. The caller holds mu.
func (f *Forwarder) sendFeedback() {
	answerBytes := make(map[*peer]int)
	for _, a := range f.notices.takeAnswers() {
		p := f.peers[a.node]
		if p == nil {
			continue // no client waits for it any more
		}
		if answerBytes[p] > 0 && answerBytes[p]+a.size > batchBytes {
			f.send(p, feedbackMessage(&wire.EventFeedback{Answers: p.feedback.GetAnswers()}))
			p.feedback.Answers, answerBytes[p] = nil, 0
		}
		p.feedback.Answers = append(p.feedback.Answers, a.EventAnswer)
		answerBytes[p] += a.size
	}
	for _, p := range f.peers {
		if len(p.feedback.GetAnswers())+len(p.feedback.GetProgress()) > 0 {
			f.send(p, feedbackMessage(p.feedback))
			p.feedback = &wire.EventFeedback{}
		}
	}
}

func feedbackMessage(feedback *wire.EventFeedback) *wire.EventTraffic {
	return &wire.EventTraffic{Body: &wire.EventTraffic_Feedback{Feedback: feedback}}
}
