package broker

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/recording"
)

// A message to rooms with history is sent in three steps: its record begins, the sockets of this node
// get it, and once it is recorded, the other nodes do. So what another node gets live is in the
// history already, and local sockets don't wait for the store of the history.

// recordTimeout is how long a caller waits until its message is recorded.
const recordTimeout = callTimeout

// prepareRecord sets the message's record if it is for rooms with history, and reports whether it is
// to be recorded there.
func (b *Broker) prepareRecord(t *Target, m *Message) bool {
	if b.recorder == nil || t.Everyone {
		return false
	}
	rooms := b.recorder.Rooms(t.Namespace, t.Rooms)
	if len(rooms) == 0 {
		return false
	}
	target := *t // a copy, so that other messages need no memory for their target
	m.record = &recording.Record{Rooms: rooms, Target: &target, MayDrop: m.Volatile, Repeated: m.part != 0}
	return !m.SkipHistory && !m.Volatile
}

// emission is a message that is recorded, delivered to the sockets of this node and published to the
// others.
type emission struct {
	// Static.
	b  *Broker
	ns *namespace
	to destination
	t  *Target
	m  *Message

	settled  chan struct{} // closed when it is known where the message is recorded; nil if nobody waits
	awaiting atomic.Bool   // somebody waits for that, and publishes the message
	before   atomic.Int32  // what comes before the message is published without a caller: the record, the delivery
}

// startEmission begins to record a message. If it isn't awaited, it is published once it is recorded.
func (b *Broker) startEmission(ns *namespace, to destination, t *Target, m *Message, awaited bool) *emission {
	b.identify(m)
	e := &emission{b: b, ns: ns, to: to, t: t, m: m}
	e.before.Store(2)
	if awaited {
		e.settled = make(chan struct{})
		e.awaiting.Store(true)
	}
	b.recorder.Start(m.record, entryOf(m), e.settle)
	return e
}

func entryOf(m *Message) history.Entry {
	return history.Entry{
		Event: m.Event, Args: m.Args, Attachments: m.Attachments,
		ID:   history.Identity{Node: m.identity.node, Number: m.identity.number},
		Time: time.Now(), IdempotencyKey: m.IdempotencyKey,
	}
}

// settle is called when it is known where the message is recorded.
func (e *emission) settle() {
	if e.awaiting.CompareAndSwap(true, false) {
		close(e.settled)
		return
	}
	e.publish()
}

// publish publishes the message without a caller, when it is called for the second time.
func (e *emission) publish() {
	if e.before.Add(-1) > 0 {
		return
	}
	if !e.to.none {
		e.b.tellOthers(e.to, e.t, e.m)
	}
	e.m.record.End()
}

// await waits until it is known where the message is recorded. It returns false if that takes too
// long. Then the message is published without the caller.
func (e *emission) await(ctx context.Context) bool {
	select {
	case <-e.settled:
		return true
	default:
	}
	late := time.NewTimer(waitAtMost(ctx, recordTimeout))
	defer late.Stop()
	select {
	case <-e.settled:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	return !e.awaiting.CompareAndSwap(true, false)
}

// deliver delivers the message to the sockets of this node.
func (e *emission) deliver() Report {
	report := e.b.deliver(e.ns, e.ns.index.Select(nil, *e.t), e.m)
	e.m.record.End()
	e.publish()
	return report
}

// emitRecorded is Emit for a message that is recorded.
func (b *Broker) emitRecorded(ctx context.Context, ns *namespace, to destination, t Target, m Message) Report {
	e := b.startEmission(ns, to, &t, &m, !m.Unreported)
	report := e.deliver()
	switch {
	case m.Unreported:
		report.addPlaces(m.record)
		return report
	case !e.await(ctx):
		report.Unrecorded = roomNames(m.record)
		if !to.none {
			report.PartialResult = b.allMissing(context.DeadlineExceeded)
		}
		return report
	case to.none:
		m.record.End()
	default:
		b.addOthers(ctx, &report, to, &t, &m, m.record.End)
	}
	report.addPlaces(m.record)
	return report
}

// relayRecorded is emit for a message that is recorded.
func (b *Broker) relayRecorded(ns *namespace, to destination, t *Target, m *Message) Report {
	target, message := *t, *m // as in prepareRecord
	return b.startEmission(ns, to, &target, &message, false).deliver()
}

// awaitRecords waits until the messages are published that this node had begun to send to rooms with
// history. It returns false if that takes too long.
//
// The two nodes between which a session moves call it. At the one that had the session, messages that
// its client has got by now mustn't reach the other node later, and what is handed over must be in the
// history that the client may read there. At the other one, messages that have missed the session's
// shadow must reach the node that has the session before that hands it over.
func (b *Broker) awaitRecords(ctx context.Context) bool {
	if b.recorder == nil {
		return true
	}
	limited, cancel := context.WithTimeout(ctx, waitAtMost(ctx, recordTimeout/2))
	defer cancel()
	err := b.recorder.Await(limited)
	if err != nil {
		b.log.Debug("a session moves while messages wait to be recorded", "error", err)
	}
	return err == nil
}

// addPlaces adds where a message is recorded, and where not, if that is known.
func (r *Report) addPlaces(record *recording.Record) {
	for i, p := range record.Places() {
		name := record.Rooms[i].Name
		if p == (history.Position{}) {
			r.Unrecorded = append(r.Unrecorded, name)
		} else {
			r.Positions = append(r.Positions, RoomPosition{Room: name, Position: p})
		}
	}
}

func roomNames(record *recording.Record) []string {
	names := make([]string, len(record.Rooms))
	for i := range record.Rooms {
		names[i] = record.Rooms[i].Name
	}
	return names
}

// beginDelivery sets the record of a message that another node sends to rooms with history. The
// caller ends it when the message is delivered.
func (b *Broker) beginDelivery(o *wire.Emit, m *Message) {
	if b.recorder == nil {
		return
	}
	t := targetFromWire(o.GetTarget())
	b.prepareRecord(&t, m)
	if m.record == nil || len(o.GetPositions()) == 0 {
		return
	}
	m.record.ID = history.Identity{Node: m.identity.node, Number: m.identity.number}
	places := make([]history.Position, len(m.record.Rooms))
	for _, p := range o.GetPositions() {
		i := slices.IndexFunc(m.record.Rooms, func(r history.Room) bool { return r.Name == p.GetRoom() })
		if i >= 0 {
			places[i] = history.Position{Epoch: p.GetEpoch(), Offset: p.GetOffset()}
		}
	}
	m.record.SetPlaces(places)
	b.recorder.Deliver(m.record)
}

// positionsToWire returns where a message is recorded or, with the zero position, should be.
func positionsToWire(record *recording.Record) (positions []*wire.RoomPosition) {
	if record == nil {
		return nil
	}
	for i, p := range record.Places() {
		positions = append(positions, &wire.RoomPosition{Room: record.Rooms[i].Name, Epoch: p.Epoch, Offset: p.Offset})
	}
	return positions
}
