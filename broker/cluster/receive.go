package cluster

import (
	"strings"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// meshReceiver is the mesh as its bus sees it.
type meshReceiver struct{ m *Mesh }

// StateChanged implements [Receiver].
func (r meshReceiver) StateChanged(s State) {
	r.m.members.unsettle()
	r.m.health.restart(time.Now())
	if r.m.health.isDeaf() {
		return // until it hears itself
	}
	r.m.changeState(s)
}

// changeState takes in that this node reaches the others, or doesn't any more.
func (m *Mesh) changeState(s State) {
	m.setState(s)
	if s == Connected {
		token(m.joinNow)
	} else {
		m.pending.unavailable()
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
		reason = m.fresh(e)
	}
	if reason != "" {
		m.observer.Lost(reason, 1)
		return
	}
	m.handle(msg.Channel, e)
}

// fresh returns why an envelope can't be what a node has just said, if so.
func (m *Mesh) fresh(e *wire.Envelope) LossReason {
	now := m.now()
	if m.outOfTime(e, now) {
		return LostClock
	}
	if !m.replays.accept(NodeID(e.GetSender()), e.GetSequence(), now) {
		return LostReplayed
	}
	return ""
}

// outOfTime reports whether an envelope's time is too far from this node's.
func (m *Mesh) outOfTime(e *wire.Envelope, now time.Time) bool {
	if !m.sealer.keyed() || now.Sub(time.UnixMilli(e.GetSentUnixMs())).Abs() <= m.maxAge {
		return false
	}
	m.clocks.refuse(e, now)
	return true
}

// echo is a message of this node's own that it is subscribed to itself. If it
// asked for reports, the bus counted this node too: now it is done.
func (m *Mesh) echo(e *wire.Envelope) {
	if e.GetHeartbeat() != nil {
		m.heardSelf(time.Now())
	}
	if id := e.GetPublication().GetReplyTo(); id != 0 {
		m.pending.echoed(id)
	}
}

// heardSelf takes in that a heartbeat of this node's has come back to it.
func (m *Mesh) heardSelf(now time.Time) {
	if m.health.silence(now) >= m.lull() {
		m.members.reset(now) // their messages may be on their way behind this one
	}
	if m.health.heardSelf(now) && m.bus.State() == Connected {
		m.changeState(Connected)
	}
}

// handle does what another node's envelope says.
func (m *Mesh) handle(channel string, e *wire.Envelope) {
	from := NodeID(e.GetSender())
	switch e.GetBody().(type) {
	case *wire.Envelope_Heartbeat:
		m.heardFrom(e, true)
		return
	case *wire.Envelope_Leave:
		if node, ok := m.members.leave(from, time.Now()); ok {
			m.pending.lost(from)
			m.notices.add(func(h Handler) { h.NodeLeft(node) })
		}
		return
	}
	m.heardAlive(from) // before whoever waits for it goes on
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

// deliver hands a publication to the handler, and its answer back.
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

// reply answers another node.
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

// replied takes in the answer of another node.
func (m *Mesh) replied(from NodeID, r *wire.Reply) {
	if r.GetUninterested() {
		m.pending.excuse(r.GetId(), from)
		return
	}
	reply := Reply{Node: from, Payload: r.GetPayload()}
	if text := r.GetError(); text != "" {
		reply.Err = &RemoteError{Node: from, Message: text}
	}
	if !m.pending.answered(r.GetId(), reply) {
		m.observer.Lost(LostLateReply, 1)
	}
}
