package cluster

import (
	"strings"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// meshReceiver receives what arrives on the bus of a mesh.
type meshReceiver struct{ m *Mesh }

// StateChanged implements [Receiver].
func (r meshReceiver) StateChanged(s State) {
	r.m.members.markUnheard()
	r.m.health.restart(time.Now())
	if r.m.health.isIsolated() {
		return // until an echo comes
	}
	r.m.changeState(s)
}

// changeState records that this node can reach the others, or no longer can.
func (m *Mesh) changeState(s State) {
	m.setState(s)
	if s == Connected {
		signal(m.joinNow)
	} else {
		m.collectors.unavailable()
	}
}

// Lost implements [Receiver].
func (r meshReceiver) Lost(n int) { r.m.observer.Lost(LostInboxFull, n) }

// Received implements [Receiver].
func (r meshReceiver) Received(msg Message) {
	m := r.m
	m.observer.Received(len(msg.Payload))
	e, reason := m.sealer.open(msg.Channel, msg.Payload)
	if reason == "" && e.GetSender() == string(m.id) {
		m.echo(e)
		return
	}
	if reason == "" {
		reason = m.checkFresh(e)
	}
	if reason != "" {
		m.observer.Lost(reason, 1)
		return
	}
	m.handle(msg.Channel, e)
}

// checkFresh returns why an envelope can't have just been sent, or "".
func (m *Mesh) checkFresh(e *wire.Envelope) LossReason {
	now := m.now()
	if m.isSkewed(e, now) {
		return LostClock
	}
	if !m.replays.accept(NodeID(e.GetSender()), e.GetSequence(), now) {
		return LostReplayed
	}
	return ""
}

// isSkewed records and reports that an envelope's time is too far from this node's.
func (m *Mesh) isSkewed(e *wire.Envelope, now time.Time) bool {
	if !m.sealer.keyed() || now.Sub(time.UnixMilli(e.GetSentUnixMs())).Abs() <= m.maxAge {
		return false
	}
	m.clocks.record(e, now)
	return true
}

// echo handles a message that this node has sent and received itself. If it waits for answers, the
// bus counted this node as a receiver, too.
func (m *Mesh) echo(e *wire.Envelope) {
	if e.GetHeartbeat() != nil {
		m.echoed(time.Now())
	}
	if id := e.GetPublication().GetReplyTo(); id != 0 {
		m.collectors.echoed(id)
	}
}

// echoed records that this node has received one of its own heartbeats.
func (m *Mesh) echoed(now time.Time) {
	if m.health.silence(now) >= m.maxSilence() {
		m.members.reset(now) // the other nodes' messages may follow this one
	}
	if m.health.echoed(now) && m.bus.State() == Connected {
		m.changeState(Connected)
	}
}

// handle handles an envelope of another node.
func (m *Mesh) handle(channel string, e *wire.Envelope) {
	from := NodeID(e.GetSender())
	switch e.GetBody().(type) {
	case *wire.Envelope_Heartbeat:
		m.heartbeatFrom(e, true)
		return
	case *wire.Envelope_Leave:
		if node, ok := m.members.leave(from, time.Now()); ok {
			m.collectors.nodeGone(from)
			m.notices.add(func(h Handler) { h.NodeLeft(node) })
		}
		return
	}
	m.markAlive(from) // before those that wait for the message go on
	switch body := e.GetBody().(type) {
	case *wire.Envelope_Lost:
		m.wasLost(body.Lost.GetIncarnation())
	case *wire.Envelope_Publication:
		m.deliver(channel, from, body.Publication)
	case *wire.Envelope_Call:
		m.answers.answer(from, body.Call)
	case *wire.Envelope_Reply:
		m.replied(from, body.Reply)
	case *wire.Envelope_Survey:
		if !m.subscriptions.active(Topic(body.Survey.GetTopic())) {
			m.reply(from, &wire.Reply{Id: body.Survey.GetId(), Uninterested: true})
		}
	}
}

// deliver passes a publication to the handler, and sends back its answer.
func (m *Mesh) deliver(channel string, from NodeID, p *wire.Publication) {
	topic := Topic(p.GetTopic())
	if topic != "" && !strings.HasSuffix(channel, string(topic)) {
		m.observer.Lost(LostMalformed, 1)
		return
	}
	answer := m.handler.Deliver(Delivery{
		From: from, Topic: topic, Payload: p.GetPayload(), WantsAnswer: p.GetReplyTo() != 0,
	})
	if p.GetReplyTo() != 0 {
		m.reply(from, &wire.Reply{Id: p.GetReplyTo(), Payload: answer})
	}
}

// reply sends an answer to another node: an error if the answer can't be sent.
func (m *Mesh) reply(to NodeID, r *wire.Reply) {
	e := m.envelope()
	e.Body = &wire.Envelope_Reply{Reply: r}
	err := m.send(m.nodeChannel(to), e, nil)
	if err != nil && r.GetError() == "" {
		e := m.envelope()
		e.Body = &wire.Envelope_Reply{Reply: &wire.Reply{Id: r.GetId(), Error: err.Error()}}
		err = m.send(m.nodeChannel(to), e, nil)
	}
	if err != nil {
		m.observer.Lost(LostPublish, 1)
	}
}

// replied handles the answer of another node.
func (m *Mesh) replied(from NodeID, r *wire.Reply) {
	if r.GetUninterested() {
		m.collectors.excuse(r.GetId(), from)
		return
	}
	reply := Reply{Node: from, Payload: r.GetPayload()}
	if text := r.GetError(); text != "" {
		reply.Err = &RemoteError{Node: from, Message: text}
	}
	if !m.collectors.add(r.GetId(), reply) {
		m.observer.Lost(LostLateReply, 1)
	}
}
