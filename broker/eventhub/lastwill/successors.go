package lastwill

import (
	"maps"
	"slices"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub/socketwire"
	"github.com/salabroker/sala/broker/presence"
)

// batchSockets is how many sockets go into one message.
const batchSockets = 1000

// deposits are the nodes that keep this node's sockets.
type deposits struct {
	successors map[cluster.NodeID]*successor
	previous   map[cluster.NodeID]struct{} // keep the sockets until all successors have them
	interest   string                      // for which the epochs have begun
	epoch      uint64                      // the last epoch of any successor
	version    uint64                      // counts changes of sockets
	takes      []takesOfVersion            // that aren't known to be deposited; oldest first
}

// successor is a node that keeps this node's sockets.
type successor struct {
	id        cluster.NodeID
	epoch     uint64
	sequence  uint64 // of the last update of the epoch
	broken    bool   // the epoch can't go on, or there is none yet
	confirmed bool   // it has said that it has everything
	version   uint64 // that it had then
}

func newDeposits() deposits {
	return deposits{
		successors: make(map[cluster.NodeID]*successor),
		previous:   make(map[cluster.NodeID]struct{}),
	}
}

// updateSuccessors sends the successors what has changed. With a successor that an update couldn't
// be sent to a new epoch begins when it is time to retry.
func (r *Registry) updateSuccessors(retry bool) {
	d := &r.deposits
	changed := r.chooseSuccessors()
	gap := r.applyStates()
	if len(d.successors) == 0 {
		r.changes.wanted.Store(false)
		b := r.changes.take()
		d.takes = nil
		r.releasePrevious()
		r.reportDeposited(b.takes) // there is no more to it
		return
	}
	b := r.changes.take()
	if b.tooMany || b.size() > 0 {
		d.version++
	}
	d.noteTakes(b.takes)
	var begin []*successor
	for _, s := range d.successors {
		if !s.broken {
			s.broken = b.tooMany || !r.sendUpdates(s, b, false)
		}
		if s.broken && (retry || changed || gap || b.tooMany) {
			begin = append(begin, s)
		}
	}
	r.beginEpochs(begin)
	if version, ok := d.confirmedVersion(); ok {
		r.releasePrevious()
		r.reportDeposited(d.takesThrough(version))
	}
}

// chooseSuccessors reports whether the successors have changed or all need a new epoch.
func (r *Registry) chooseSuccessors() (changed bool) {
	d := &r.deposits
	var want []cluster.NodeID
	interest := r.opts.Interest()
	r.mu.Lock()
	if interest != "" {
		want = rank(r.opts.Self, slices.Collect(maps.Keys(r.nodes)))
	}
	resync := r.resync || interest != d.interest
	d.interest = interest
	r.resync = false
	r.mu.Unlock()
	want = heardFirst(want, r.opts.Silent())
	want = want[:min(len(want), successorCount)]
	for id, s := range d.successors {
		s.broken = s.broken || resync
		if !slices.Contains(want, id) {
			delete(d.successors, id)
			d.previous[id] = struct{}{}
			changed = true
		}
	}
	for _, id := range want {
		if d.successors[id] == nil {
			d.successors[id] = &successor{id: id, broken: true}
			delete(d.previous, id)
			changed = true
		}
	}
	return changed || resync
}

// beginEpochs sends successors all sockets.
func (r *Registry) beginEpochs(successors []*successor) {
	if len(successors) == 0 {
		return
	}
	// Changes are noted before the sockets are listed, so that none is missed in between. For other
	// successors they are noted already.
	r.changes.wanted.Store(true)
	all := batch{connected: append(r.opts.Sockets(), r.moves.givenSockets(r.opts.Self)...), places: make(map[presence.Place]bool)}
	for _, p := range r.opts.Places() {
		all.places[p] = true
	}
	for _, s := range successors {
		r.deposits.epoch++
		s.epoch, s.sequence, s.confirmed = r.deposits.epoch, 0, false
		s.broken = !r.sendUpdates(s, all, true)
	}
}

// sendUpdates sends changes to a successor, in as many messages as that takes, and reports whether
// it could. Complete says that they complete a snapshot.
func (r *Registry) sendUpdates(s *successor, b batch, complete bool) bool {
	connected, ended := b.connected, b.ended
	present, absent := placesTo(b.places)
	for len(connected)+len(ended)+len(present)+len(absent) > 0 || complete {
		some := connected[:min(len(connected), batchSockets)]
		connected = connected[len(some):]
		s.sequence++
		update := &wire.WillUpdate{Epoch: s.epoch, Sequence: s.sequence, Version: r.deposits.version}
		for _, socket := range some {
			w := socketwire.To(socket)
			w.Data, w.Auth = nil, nil // a DISCONNECT of a lost node has neither
			update.Sockets = append(update.Sockets, w)
		}
		update.Present, present = cut(present)
		update.Absent, absent = cut(absent)
		if len(connected)+len(present)+len(absent) == 0 {
			update.Ended, update.Complete = ended, complete
			ended, complete = nil, false
		}
		sent := r.send(s.id, &wire.EventTraffic{Body: &wire.EventTraffic_WillUpdate{WillUpdate: update}})
		if !sent {
			return false
		}
	}
	return true
}

// placesTo returns the places that are deposited and those that aren't any longer.
func placesTo(places map[presence.Place]bool) (present, absent []*wire.UserPlace) {
	for p, is := range places {
		if is {
			present = append(present, p.Wire())
		} else {
			absent = append(absent, p.Wire())
		}
	}
	return present, absent
}

// cut returns the places for one message, and the rest.
func cut(places []*wire.UserPlace) (some, rest []*wire.UserPlace) {
	n := min(len(places), batchSockets)
	return places[:n], places[n:]
}

// checkSuccessors asks the successors what they have.
func (r *Registry) checkSuccessors() {
	for id, s := range r.deposits.successors {
		if !s.broken {
			r.send(id, &wire.EventTraffic{Body: &wire.EventTraffic_WillUpdate{
				WillUpdate: &wire.WillUpdate{Epoch: s.epoch, Sequence: s.sequence, Check: true},
			}})
		}
	}
}

// applyStates applies what successors have answered, and reports whether one lacks something.
func (r *Registry) applyStates() (gap bool) {
	r.mu.Lock()
	states := r.states
	r.states = make(map[cluster.NodeID]*wire.WillState)
	r.mu.Unlock()
	for from, state := range states {
		s, check := r.deposits.successors[from], state.GetCheck()
		if s == nil || s.broken || check.GetEpoch() != s.epoch {
			continue
		}
		s.confirmed = state.GetComplete() &&
			state.GetEpoch() == check.GetEpoch() && state.GetSequence() >= check.GetSequence()
		s.broken, s.version = !s.confirmed, state.GetVersion()
		gap = gap || s.broken
	}
	return gap
}

// confirmedVersion returns the version up to which every successor has everything. ok is false if
// one of them hasn't said so yet.
func (d *deposits) confirmedVersion() (version uint64, ok bool) {
	version = d.version
	for _, s := range d.successors {
		if s.broken || !s.confirmed {
			return 0, false
		}
		version = min(version, s.version)
	}
	return version, true
}

// releasePrevious lets the previous successors drop this node's sockets.
func (r *Registry) releasePrevious() {
	for id := range r.deposits.previous {
		r.send(id, &wire.EventTraffic{Body: &wire.EventTraffic_WillUpdate{WillUpdate: &wire.WillUpdate{Forget: true}}})
	}
	clear(r.deposits.previous)
}
