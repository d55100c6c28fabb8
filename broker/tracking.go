package broker

import (
	"slices"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/presence"
	"github.com/salabroker/sala/broker/room"
)

// This file says what the tracker of presence learns: the first socket of a user in a
// namespace or a room at this node, and the last one. Sockets that only move between
// nodes are left out; what they leave open moves with them.

// tracks reports whether anybody learns when users come to a room or leave it, or a
// namespace if room is empty.
func (b *Broker) tracks(namespace, name string) bool {
	if name == "" {
		return b.events.Wants(eventhub.UserOnline, namespace, "") || b.events.Wants(eventhub.UserOffline, namespace, "")
	}
	return b.offersPresence(name) && b.tracksRooms(namespace)
}

// tracksRooms is tracks for the rooms of a namespace that offer presence.
func (b *Broker) tracksRooms(namespace string) bool {
	return len(b.opts.Rooms.PresenceRooms) > 0 &&
		(b.opts.Rooms.PresenceEvent != "" || b.events.Wants(eventhub.UserJoined, namespace, "") || b.events.Wants(eventhub.UserLeft, namespace, ""))
}

// offersPresence reports whether the operator has members of a room see who is there.
func (b *Broker) offersPresence(name string) bool {
	return room.AnyMatches(b.opts.Rooms.PresenceRooms, name)
}

// Came implements [room.Observer].
func (ns *namespace) Came(s *socket) { ns.came(s, "") }

// Gone implements [room.Observer].
func (ns *namespace) Gone(s *socket) { ns.left(s, "") }

// came says that the socket is the first one of its user in a room, or in the namespace.
func (ns *namespace) came(s *socket, name string) {
	if !s.moving.Load() && ns.b.tracks(ns.name, name) {
		ns.b.presence.Came(s.in(name))
	}
}

// left says that the socket was the last one of its user in a room, or in the namespace.
func (ns *namespace) left(s *socket, name string) {
	if !s.moving.Load() && ns.b.tracks(ns.name, name) {
		ns.b.presence.Left(s.in(name), s.cut.Load())
	}
}

// in returns the place of the socket's user in a room, or in the namespace if name is
// empty.
func (s *socket) in(name string) presence.Place {
	return presence.Place{Namespace: s.ns.name, Room: name, User: s.user}
}

// tracked returns the places of the socket's user, in the namespace and in these rooms,
// that anybody learns about.
func (s *socket) tracked(rooms []string) (places []presence.Place) {
	if s.user == "" {
		return nil
	}
	if s.b.tracks(s.ns.name, "") {
		places = append(places, s.in(""))
	}
	if !s.b.tracksRooms(s.ns.name) {
		return places
	}
	for _, name := range rooms {
		if s.b.offersPresence(name) {
			places = append(places, s.in(name))
		}
	}
	return places
}

// localPresence returns whether this node has sockets of a user in a place.
func (b *Broker) localPresence(p presence.Place) presence.Local {
	ns, ok := b.namespaces[p.Namespace]
	if !ok {
		return presence.Absent
	}
	local := presence.Absent
	for _, s := range ns.index.OfUser(p.User, p.Room) {
		if !s.isShadow() {
			return presence.Present
		}
		local = presence.Moving
	}
	return local
}

// checkNotTaken finds out whether the user has left places in which a shadow was that has gone.
// The node that has the socket may have kept quiet because of the shadow.
func (s *socket) checkNotTaken(rooms []string) {
	for _, p := range s.tracked(rooms) {
		if s.b.localPresence(p) == presence.Absent {
			s.b.presence.NotTaken(p)
		}
	}
}

// presentPlaces returns the places that anybody learns about and in which users are at
// this node.
func (b *Broker) presentPlaces() (places []presence.Place) {
	seen := make(map[presence.Place]bool)
	add := func(s *socket, name string) {
		if p := s.in(name); s.user != "" && !seen[p] && !s.isShadow() {
			seen[p] = true
			places = append(places, p)
		}
	}
	for _, ns := range b.namespaces {
		if b.tracks(ns.name, "") {
			for _, s := range ns.index.Select(nil, Target{Everyone: true}) {
				add(s, "")
			}
		}
		if !b.tracksRooms(ns.name) {
			continue
		}
		_, rooms := ns.index.Len()
		for _, r := range ns.index.Rooms("", "", rooms, b.offersPresence) {
			for _, s := range ns.index.InRoom(r.Name) {
				add(s, r.Name)
			}
		}
	}
	return places
}

// isCut reports whether a socket that ends for a reason may be followed by another one of
// its user in a moment: its connection was lost, or its client couldn't have it back.
// Expired says that the window has passed.
func isCut(why string, left tombstone) bool {
	if left.notRecovered == notRecoveredExpired {
		return false
	}
	switch why {
	case string(engineio.ReasonTransportClose), string(engineio.ReasonTransportError), string(engineio.ReasonPingTimeout),
		string(engineio.ReasonShutdown), string(engineio.ReasonSlowConsumer), string(engineio.ReasonForcedClose),
		string(engineio.ReasonUnfinished), string(engineio.ReasonMessageTimeout), string(engineio.ReasonInternalError),
		reasonReplaced, endedByReturn, endedByEviction:
		return true
	}
	return false
}

// handOverPresence adds to a session that another node takes over what is to be found out
// about the presence of its user.
func (s *socket) handOverPresence(to cluster.NodeID, w *wire.Session) {
	for _, p := range s.tracked(w.GetSocket().GetRooms()) {
		since, clock := s.b.presence.HandedOver(p, string(to))
		w.PresenceClock = clock
		if since != 0 {
			w.Unannounced = append(w.Unannounced, &wire.UnannouncedPlace{Room: p.Room, Since: since})
		}
	}
}

// takePresence goes on with that, at the node that has the session now.
func (s *socket) takePresence(w *wire.Session) {
	since := make(map[string]int64, len(w.GetUnannounced()))
	for _, u := range w.GetUnannounced() {
		since[u.GetRoom()] = u.GetSince()
	}
	for _, p := range s.tracked(w.GetSocket().GetRooms()) {
		s.b.presence.TakenOver(p, since[p.Room], w.GetPresenceClock())
	}
}

// changePresence says in which rooms the user has come or left since the other node had
// the session.
func (s *socket) changePresence(before, now []string) {
	for _, p := range s.tracked(now) {
		if p.Room != "" && !slices.Contains(before, p.Room) && len(s.ns.index.OfUser(s.user, p.Room)) == 1 {
			s.b.presence.Came(p)
		}
	}
	for _, p := range s.tracked(before) {
		if p.Room != "" && !slices.Contains(now, p.Room) && s.b.localPresence(p) == presence.Absent {
			s.b.presence.Left(p, false)
		}
	}
}
