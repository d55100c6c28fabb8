package lastwill

import (
	"maps"
	"slices"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

// will is that of this node.
type will struct {
	heirs   map[cluster.NodeID]*heir
	formers map[cluster.NodeID]struct{} // that remember until all heirs do
	epoch   uint64                      // the last that was begun with any heir
	version uint64                      // counts changes of sockets
}

// heir is a node that is to remember this one's sockets.
type heir struct {
	id        cluster.NodeID
	epoch     uint64
	number    uint64 // of the last message of the epoch
	broken    bool   // the epoch can't go on, or there is none yet
	confirmed bool   // it has said that it remembers everything
}

// update lets the heirs know what has changed. With an heir that could not be
// told, a new epoch begins when it is time to try again.
func (w *Wills) update(again bool) {
	o := &w.own
	changed := w.chooseHeirs()
	gap := w.hearHeirs()
	if len(o.heirs) == 0 {
		w.changes.noted.Store(false)
		w.changes.take()
		w.release()
		return
	}
	connected, ended, ok := w.changes.take()
	if !ok || len(connected)+len(ended) > 0 {
		o.version++
	}
	var begin []*heir
	for _, h := range o.heirs {
		if !h.broken {
			h.broken = !ok || !w.tell(h, connected, ended, false)
		}
		if h.broken && (again || changed || gap || !ok) {
			begin = append(begin, h)
		}
	}
	w.begin(begin)
	w.releaseConfirmed()
}

// chooseHeirs reports whether there are other heirs than before, or whether all
// have to be told everything again.
func (w *Wills) chooseHeirs() (changed bool) {
	o := &w.own
	var want []cluster.NodeID
	w.mu.Lock()
	if w.opts.Hub.WantsKind(eventhub.Disconnect) {
		want = rank(w.opts.Self, slices.Collect(maps.Keys(w.nodes)))
		want = want[:min(len(want), heirCount)]
	}
	restart := w.restart
	w.restart = false
	w.mu.Unlock()
	for id, h := range o.heirs {
		h.broken = h.broken || restart
		if !slices.Contains(want, id) {
			delete(o.heirs, id)
			o.formers[id] = struct{}{}
			changed = true
		}
	}
	for _, id := range want {
		if o.heirs[id] == nil {
			o.heirs[id] = &heir{id: id, broken: true}
			delete(o.formers, id)
			changed = true
		}
	}
	return changed || restart
}

// begin tells heirs everything.
func (w *Wills) begin(heirs []*heir) {
	if len(heirs) == 0 {
		return
	}
	// Whoever connects or ends from now on is noted; so nobody is missed between
	// the two. It is noted for the other heirs already.
	w.changes.noted.Store(true)
	all := w.opts.Sockets()
	for _, h := range heirs {
		w.own.epoch++
		h.epoch, h.number, h.confirmed = w.own.epoch, 0, false
		h.broken = !w.tell(h, all, nil, true)
	}
}

// tell sends changes to an heir, in as many messages as that takes, and reports
// whether that could be.
func (w *Wills) tell(h *heir, connected []*eventhub.Socket, ended []string, complete bool) bool {
	for len(connected)+len(ended) > 0 || complete {
		some := connected[:min(len(connected), batchSockets)]
		connected = connected[len(some):]
		h.number++
		part := &wire.Will{Epoch: h.epoch, Number: h.number, Version: w.own.version}
		for _, s := range some {
			part.Sockets = append(part.Sockets, socketTo(s))
		}
		if len(connected) == 0 {
			part.Ended, part.Complete = ended, complete
			ended, complete = nil, false
		}
		if !w.say(h.id, &wire.EventTraffic{Body: &wire.EventTraffic_Will{Will: part}}) {
			return false
		}
	}
	return true
}

// check asks the heirs what they remember.
func (w *Wills) check() {
	for id, h := range w.own.heirs {
		if !h.broken {
			w.say(id, &wire.EventTraffic{Body: &wire.EventTraffic_Will{
				Will: &wire.Will{Epoch: h.epoch, Number: h.number, Check: true},
			}})
		}
	}
}

// hearHeirs takes in what heirs remember, and reports whether one lacks something.
func (w *Wills) hearHeirs() (gap bool) {
	w.mu.Lock()
	heard := w.heard
	w.heard = make(map[cluster.NodeID]*wire.WillState)
	w.mu.Unlock()
	for from, state := range heard {
		h, asked := w.own.heirs[from], state.GetCheck()
		if h == nil || h.broken || asked.GetEpoch() != h.epoch {
			continue
		}
		h.confirmed = state.GetEpoch() == asked.GetEpoch() && state.GetNumber() >= asked.GetNumber() && state.GetComplete()
		h.broken = !h.confirmed
		gap = gap || h.broken
	}
	return gap
}

// releaseConfirmed lets former heirs forget once all heirs remember everything.
func (w *Wills) releaseConfirmed() {
	for _, h := range w.own.heirs {
		if h.broken || !h.confirmed {
			return
		}
	}
	w.release()
}

// release lets former heirs forget.
func (w *Wills) release() {
	for id := range w.own.formers {
		w.say(id, &wire.EventTraffic{Body: &wire.EventTraffic_Will{Will: &wire.Will{Forget: true}}})
	}
	clear(w.own.formers)
}
