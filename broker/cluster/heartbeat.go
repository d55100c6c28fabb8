package cluster

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// nodesTable is the table in which nodes that start find the others.
const nodesTable = "nodes"

// beatAndSweep sends heartbeats and looks for silent nodes until ctx ends.
func (m *Mesh) beatAndSweep(ctx context.Context) {
	sweepEvery := m.beat / 4
	beats, sweeps := time.NewTicker(m.beat), time.NewTicker(sweepEvery)
	defer beats.Stop()
	defer sweeps.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.joinNow:
			m.join(ctx)
		case <-m.beatNow:
			m.heartbeat(ctx)
		case <-beats.C:
			m.heartbeat(ctx)
		case <-sweeps.C:
			m.sweep(sweepEvery)
		}
	}
}

// join finds the other nodes after the bus has connected. If it fails, it tries again after a
// heartbeat.
func (m *Mesh) join(ctx context.Context) {
	now := time.Now()
	m.members.reset(now)
	m.heartbeat(ctx)
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	entries, err := m.bus.Entries(ctx, m.table(nodesTable))
	if err != nil {
		if m.bus.State() == Connected {
			time.AfterFunc(m.beat, func() { signal(m.joinNow) })
		}
		return
	}
	for key, frame := range entries {
		e, reason := m.sealer.open(m.entryChannel(nodesTable, key), frame)
		if reason == "" && key != string(m.id) && m.isSkewed(e, m.now()) {
			reason = LostClock
		}
		switch {
		case reason != "":
			m.observer.Lost(reason, 1)
		case e.GetSender() == key && key != string(m.id) && e.GetHeartbeat() != nil:
			m.heartbeatFrom(e, false)
		}
	}
	m.setReady()
}

// heartbeat tells the other nodes that this node is there.
func (m *Mesh) heartbeat(ctx context.Context) {
	if m.bus.State() != Connected {
		return
	}
	e := m.envelope()
	h := m.info().toWire()
	h.RequestKey = m.requests.key
	e.Body = &wire.Envelope_Heartbeat{Heartbeat: h}
	channels := m.nodesChannels()
	n := m.beats.Add(1) % uint64(len(channels)) // alternating, because one of them may be stuck
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
	// If it fails, nodes that join now learn of this node from its next heartbeat.
	err = m.bus.Put(ctx, m.table(nodesTable), string(m.id), frame, m.members.deadAfter)
	if !errors.Is(err, context.Canceled) {
		m.health.wroteTable(err)
	}
}

// leave tells the other nodes that this node leaves.
func (m *Mesh) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	// If it fails, they notice by themselves.
	for _, channel := range m.nodesChannels() {
		e := m.envelope()
		e.Body = &wire.Envelope_Leave{Leave: &wire.Leave{}}
		if m.send(channel, e, nil) != nil {
			return
		}
	}
	_ = m.bus.Remove(ctx, m.table(nodesTable), string(m.id))
}

// sweep looks for nodes that have become silent. While this node receives nothing, it can't tell.
func (m *Mesh) sweep(every time.Duration) {
	if m.bus.State() != Connected {
		return
	}
	now := time.Now()
	lost, stalled := m.members.sweep(every, now, m.health.silence(now) < m.maxSilence())
	if stalled {
		m.health.restart(now)
	}
	if m.health.check(now, m.members.deadAfter) {
		m.members.markUnheard()
		m.changeState(Disconnected)
	}
	if m.health.isIsolated() {
		m.members.reset(now)
		return
	}
	for _, node := range lost {
		m.collectors.nodeGone(node.ID)
		m.notices.add(func(h Handler) { h.NodeLost(node) })
	}
}

// maxSilence is how long this node may go without its own messages before it can no longer tell
// whether others are silent.
func (m *Mesh) maxSilence() time.Duration { return max(m.members.deadAfter/2, 2*m.beat) }

// heartbeatFrom handles a heartbeat of another node. live is true if it has just come, and false if
// it was found in the table.
func (m *Mesh) heartbeatFrom(e *wire.Envelope, live bool) {
	node := nodeFromWire(e, e.GetHeartbeat())
	presence := m.members.heartbeat(node, time.Now())
	if live {
		m.markAlive(node.ID)
	}
	switch presence {
	case presenceJoined:
		m.notices.add(func(h Handler) { h.NodeJoined(node) })
		if live {
			signal(m.beatNow) // so that it learns of this node at once
		}
	case presenceLost:
		if live {
			m.sendLost(node)
		}
	case presenceTooMany:
		m.observer.Lost(LostTooManyNodes, 1)
	}
}

// markAlive records that a message of a node has come. A node whose clock was wrong counts as
// skewed until it has joined again.
func (m *Mesh) markAlive(id NodeID) {
	if m.members.alive(id, time.Now()) {
		m.clocks.heard(id)
	}
}

// sendLost tells a node that it was taken for lost, so that it joins again with its next
// incarnation.
func (m *Mesh) sendLost(n Node) {
	e := m.envelope()
	e.Body = &wire.Envelope_Lost{Lost: &wire.Lost{Incarnation: n.Incarnation}}
	if err := m.send(m.nodeChannel(n.ID), e, nil); err != nil {
		m.observer.Lost(LostPublish, 1)
	}
}

// wasLost handles a message that this node was taken for lost. Only the first one for an
// incarnation counts.
func (m *Mesh) wasLost(incarnation uint64) {
	first := m.incarnation.CompareAndSwap(incarnation, incarnation+1)
	if !first {
		return
	}
	signal(m.beatNow)
	m.notices.add(func(h Handler) { h.Rejoined() })
}
