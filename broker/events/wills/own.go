package wills

import (
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/events"
)

// will is that of this node.
type will struct {
	heir    cluster.NodeID              // empty for none
	formers map[cluster.NodeID]struct{} // that remember until the heir does
	epoch   uint64
	number  uint64 // of the last message of the epoch
	broken  bool   // it has to begin anew
}

// update has the heir know what has changed. If something could not be sent, it
// begins anew when it is time to try again.
func (w *Wills) update(again bool) {
	o, heir := &w.own, w.heir()
	if w.mustBeginAnew() {
		o.broken, again = true, true
	}
	if heir != o.heir {
		if o.heir != "" {
			o.formers[o.heir] = struct{}{}
		}
		delete(o.formers, heir)
		o.heir, o.broken, again = heir, true, true
	}
	switch {
	case heir == "":
		w.changes.noted.Store(false)
		w.changes.take()
		w.release()
	case !o.broken:
		connected, ended, ok := w.changes.take()
		o.broken = !ok || !w.tell(connected, ended, false)
	case again:
		w.begin()
	}
}

// heir returns the node that is to remember this one's sockets: the next one by
// its id. There is none while nobody wants to hear.
func (w *Wills) heir() cluster.NodeID {
	if !w.opts.Hub.WantsKind(events.Disconnect) {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var next, first cluster.NodeID
	for id := range w.nodes {
		if first == "" || id < first {
			first = id
		}
		if id > w.opts.Self && (next == "" || id < next) {
			next = id
		}
	}
	if next == "" {
		return first
	}
	return next
}

// begin tells the heir everything.
func (w *Wills) begin() {
	w.own.epoch++
	w.own.number = 0
	// Whoever connects or ends from now on is noted; so nobody is missed between
	// the two.
	w.changes.noted.Store(true)
	w.changes.take()
	w.own.broken = !w.tell(w.opts.Sockets(), nil, true)
}

// tell sends changes to the heir, in as many messages as that takes, and reports
// whether that could be.
func (w *Wills) tell(connected []*events.Socket, ended []string, complete bool) bool {
	o := &w.own
	for len(connected)+len(ended) > 0 || complete {
		some := connected[:min(len(connected), batchSockets)]
		connected = connected[len(some):]
		o.number++
		part := &wire.Will{Epoch: o.epoch, Number: o.number}
		for _, s := range some {
			part.Sockets = append(part.Sockets, socketTo(s))
		}
		if len(connected) == 0 {
			part.Ended, part.Complete = ended, complete
			ended, complete = nil, false
		}
		if !w.say(o.heir, &wire.EventTraffic{Body: &wire.EventTraffic_Will{Will: part}}) {
			return false
		}
	}
	return true
}

// check asks the heir what it remembers.
func (w *Wills) check() {
	if o := &w.own; o.heir != "" && !o.broken {
		w.say(o.heir, &wire.EventTraffic{Body: &wire.EventTraffic_Will{
			Will: &wire.Will{Epoch: o.epoch, Number: o.number, Check: true},
		}})
	}
}

// mustBeginAnew reports whether the heir doesn't remember all that it was told.
// If it does, those needn't any more that were the heir before.
func (w *Wills) mustBeginAnew() bool {
	w.mu.Lock()
	heard, from := w.heard, w.heardFrom
	w.heard = nil
	w.mu.Unlock()
	asked := heard.GetCheck()
	if asked == nil || from != w.own.heir || asked.GetEpoch() != w.own.epoch {
		return false
	}
	if heard.GetEpoch() != asked.GetEpoch() || heard.GetNumber() < asked.GetNumber() || !heard.GetComplete() {
		return true
	}
	w.release()
	return false
}

// release has those forget that needn't remember any more.
func (w *Wills) release() {
	for id := range w.own.formers {
		w.say(id, &wire.EventTraffic{Body: &wire.EventTraffic_Will{Will: &wire.Will{Forget: true}}})
	}
	clear(w.own.formers)
}
