package lastwill

import (
	"maps"
	"slices"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/socketwire"
)

// batchSockets is how many sockets go into one message.
const batchSockets = 1000

// deposits are the nodes that keep this node's sockets.
type deposits struct {
	successors map[cluster.NodeID]*successor
	previous   map[cluster.NodeID]struct{} // keep the sockets until all successors have them
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
	if b.tooMany || len(b.connected)+len(b.ended) > 0 {
		d.version++
	}
	d.noteTakes(b.takes)
	var begin []*successor
	for _, s := range d.successors {
		if !s.broken {
			s.broken = b.tooMany || !r.sendUpdates(s, b.connected, b.ended, false)
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
	r.mu.Lock()
	if r.opts.Hub.WantsKind(eventhub.Disconnect) {
		want = rank(r.opts.Self, slices.Collect(maps.Keys(r.nodes)))
		want = want[:min(len(want), successorCount)]
	}
	resync := r.resync
	r.resync = false
	r.mu.Unlock()
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
	all := append(r.opts.Sockets(), r.moves.givenSockets(r.opts.Self)...)
	for _, s := range successors {
		r.deposits.epoch++
		s.epoch, s.sequence, s.confirmed = r.deposits.epoch, 0, false
		s.broken = !r.sendUpdates(s, all, nil, true)
	}
}

// sendUpdates sends changes to a successor, in as many messages as that takes, and reports whether
// it could. Complete says that they complete a snapshot.
func (r *Registry) sendUpdates(s *successor, connected []*eventhub.Socket, ended []string, complete bool) bool {
	for len(connected)+len(ended) > 0 || complete {
		some := connected[:min(len(connected), batchSockets)]
		connected = connected[len(some):]
		s.sequence++
		update := &wire.WillUpdate{Epoch: s.epoch, Sequence: s.sequence, Version: r.deposits.version}
		for _, socket := range some {
			w := socketwire.To(socket)
			w.Data, w.Auth = nil, nil // a DISCONNECT of a lost node has neither
			update.Sockets = append(update.Sockets, w)
		}
		if len(connected) == 0 {
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
