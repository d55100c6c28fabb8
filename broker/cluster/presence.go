package cluster

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// nodesTable is where nodes find each other before they have heard each other.
const nodesTable = "nodes"

// join finds the nodes that are there after the bus has connected. If it
// fails, the next heartbeat tries again.
func (m *Mesh) join(ctx context.Context) {
	now := time.Now()
	m.members.reset(now)
	m.heartbeat(ctx)
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	entries, err := m.bus.Entries(ctx, m.table(nodesTable))
	if err != nil {
		if m.bus.State() == Connected {
			time.AfterFunc(m.beat, func() { token(m.joinNow) })
		}
		return
	}
	for key, frame := range entries {
		e, reason := m.sealer.open(m.entryChannel(nodesTable, key), frame)
		if reason == "" && key != string(m.id) && m.outOfTime(e, m.now()) {
			reason = LostClock
		}
		switch {
		case reason != "":
			m.observer.Lost(reason, 1)
		case e.GetSender() == key && key != string(m.id) && e.GetHeartbeat() != nil:
			m.heardFrom(e, false)
		}
	}
	m.setReady()
}

// heartbeat says that this node is there.
func (m *Mesh) heartbeat(ctx context.Context) {
	if m.bus.State() != Connected {
		return
	}
	e := m.envelope()
	e.Body = &wire.Envelope_Heartbeat{Heartbeat: m.info().wire()}
	channels := m.nodesChannels()
	n := m.beats.Add(1) % uint64(len(channels)) // by turns, as one of them may be stuck
	err := m.send(channels[n], e, func(r Receipt, err error) { m.health.published(n, nodesOf(r.Absent), err) })
	if err != nil {
		m.observer.Lost(LostPublish, 1)
		return
	}
	entry := proto.CloneOf(e)
	frame, err := m.sealer.seal(m.entryChannel(nodesTable, string(m.id)), entry)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, m.beat)
	defer cancel()
	// If it fails, those who join now hear of this node by its next heartbeat.
	err = m.bus.Put(ctx, m.table(nodesTable), string(m.id), frame, m.members.deadAfter)
	if !errors.Is(err, context.Canceled) {
		m.health.wroteTable(err)
	}
}

// leave says that this node leaves.
func (m *Mesh) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	// If it can't be said, the others notice by themselves.
	for _, channel := range m.nodesChannels() {
		e := m.envelope()
		e.Body = &wire.Envelope_Leave{Leave: &wire.Leave{}}
		if m.send(channel, e, nil) != nil {
			return
		}
	}
	_ = m.bus.Remove(ctx, m.table(nodesTable), string(m.id))
}

// sweep looks for nodes that have fallen silent. While this node hears nobody
// it can't tell.
func (m *Mesh) sweep(every time.Duration) {
	if m.bus.State() != Connected {
		return
	}
	now := time.Now()
	lost, stood := m.members.sweep(every, now, m.health.silence(now) < m.lull())
	if stood {
		m.health.restart(now)
	}
	if m.health.check(now, m.members.deadAfter) {
		m.members.unsettle()
		m.changeState(Disconnected)
	}
	if m.health.isDeaf() {
		m.members.reset(now)
		return
	}
	for _, node := range lost {
		m.pending.lost(node.ID)
		m.notices.add(func(h Handler) { h.NodeLost(node) })
	}
}

// lull is for how long this node may not hear itself until it can't tell any more
// whether others are silent.
func (m *Mesh) lull() time.Duration { return max(m.members.deadAfter/2, 2*m.beat) }

// heardFrom takes a heartbeat in. Live says that it has just been sent, rather
// than found in the table.
func (m *Mesh) heardFrom(e *wire.Envelope, live bool) {
	node := nodeFrom(e, e.GetHeartbeat())
	shown := m.members.heartbeat(node, time.Now())
	if live {
		m.heardAlive(node.ID)
	}
	switch shown {
	case heardNew:
		m.notices.add(func(h Handler) { h.NodeJoined(node) })
		if live {
			token(m.beatNow) // so that it knows of this node at once
		}
	case heardLost:
		if live {
			m.tellLost(node)
		}
	case heardFull:
		m.observer.Lost(LostTooManyNodes, 1)
	}
}

// heardAlive takes in that a node has just said something. One whose clock was wrong
// counts as one that can't be heard until it has joined again.
func (m *Mesh) heardAlive(id NodeID) {
	if m.members.alive(id, time.Now()) {
		m.clocks.heard(id)
	}
}

// tellLost tells a node that it was taken for lost: its next incarnation is
// welcome.
func (m *Mesh) tellLost(n Node) {
	e := m.envelope()
	e.Body = &wire.Envelope_Lost{Lost: &wire.Lost{Incarnation: n.Incarnation}}
	if err := m.send(m.nodeChannel(n.ID), e, nil); err != nil {
		m.observer.Lost(LostPublish, 1)
	}
}

// wasLost takes in that this node was taken for lost. Of several who say so the
// first counts.
func (m *Mesh) wasLost(incarnation uint64) {
	if !m.incarnation.CompareAndSwap(incarnation, incarnation+1) {
		return
	}
	token(m.beatNow)
	m.notices.add(func(h Handler) { h.Rejoined() })
}
