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
	m.record = &recording.Record{Rooms: rooms, Target: t, MayDrop: m.Volatile, Repeated: m.part != 0}
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

	arrivals uint64    // of sockets from other nodes before the delivery
	selected []*socket // that it was delivered to; written before the delivery ends

	settled  chan struct{} // closed when it is known where the message is recorded; nil if nobody waits
	awaiting atomic.Bool   // somebody waits for that, and publishes the message
}

// startEmission begins to record a message. If it isn't awaited, it is published once it is recorded.
func (b *Broker) startEmission(ns *namespace, to destination, t *Target, m *Message, awaited bool) *emission {
	b.identify(m)
	e := &emission{b: b, ns: ns, to: to, t: t, m: m, arrivals: b.arrivals.Load()}
	if awaited {
		e.settled = make(chan struct{})
		e.awaiting.Store(true)
	}
	b.recorder.Start(m.record, entryOf(m), e.settle, e.finish)
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
	defer e.m.record.End()
	e.selected = e.ns.index.Select(nil, *e.t)
	return e.b.deliver(e.ns, e.selected, e.m)
}

// finish is called when the message is recorded, delivered and published. A session that has come
// from another node since the delivery, and left that before the message was there, gets it now.
func (e *emission) finish() {
	if e.b.arrivals.Load() == e.arrivals {
		return
	}
	arrived := slices.DeleteFunc(e.ns.index.Select(nil, *e.t), func(s *socket) bool {
		return s.session == nil || s.session.takenOver == 0 || slices.Contains(e.selected, s)
	})
	if len(arrived) > 0 {
		e.b.queue(e.ns, arrived, e.m)
	}
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
func (b *Broker) relayRecorded(ns *namespace, to destination, t *Target, m *Message) {
	b.startEmission(ns, to, t, m, false).deliver()
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
	t := targetFromWire(o.GetTarget())
	b.prepareRecord(&t, m)
	if m.record == nil || len(o.GetPlaces()) == 0 {
		return
	}
	m.record.ID = history.Identity{Node: m.identity.node, Number: m.identity.number}
	places := make([]history.Position, len(m.record.Rooms))
	for _, p := range o.GetPlaces() {
		i := slices.IndexFunc(m.record.Rooms, func(r history.Room) bool { return r.Name == p.GetRoom() })
		if i >= 0 {
			places[i] = history.Position{Epoch: p.GetEpoch(), Offset: p.GetOffset()}
		}
	}
	m.record.SetPlaces(places)
	b.recorder.Deliver(m.record)
}

// placesToWire returns where a message is recorded or, with the zero position, should be.
func placesToWire(record *recording.Record) (places []*wire.Place) {
	if record == nil {
		return nil
	}
	for i, p := range record.Places() {
		places = append(places, &wire.Place{Room: record.Rooms[i].Name, Epoch: p.Epoch, Offset: p.Offset})
	}
	return places
}
