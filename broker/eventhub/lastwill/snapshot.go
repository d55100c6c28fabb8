package lastwill

import (
	"maps"
	"time"
	"unique"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/presence"
)

// maxSockets is how many sockets of one node are kept, and how many places of users.
const maxSockets = 1 << 20

// snapshot is what this node keeps of another node's sockets. Guarded by Registry.mu.
type snapshot struct {
	epoch, sequence, version uint64
	complete                 bool
	sockets                  map[string]keptSocket // by their ids
	places                   map[presence.Place]struct{}

	// Progress of another node that noticed the loss earlier and publishes the disconnects.
	publishedThrough string // the last socket's id
	published        bool   // all of them

	// askers are the nodes that have asked for the state, to find out whether they are to publish.
	askers map[cluster.NodeID]struct{}
}

// receiveUpdate applies an update of another node's sockets. The caller holds mu.
func (r *Registry) receiveUpdate(from cluster.NodeID, update *wire.WillUpdate) {
	if _, ok := r.nodes[from]; !ok {
		return // it asks what this node has once it is there
	}
	snap := r.snapshots[from]
	switch {
	case update.GetForget():
		delete(r.snapshots, from)
	case update.GetCheck():
		state := snap.state()
		state.Check = update
		r.send(from, &wire.EventTraffic{Body: &wire.EventTraffic_WillState{WillState: state}})
	case update.GetSequence() == 1:
		snap = &snapshot{epoch: update.GetEpoch(), sockets: make(map[string]keptSocket), places: make(map[presence.Place]struct{})}
		r.snapshots[from] = snap
		snap.apply(update)
	case snap == nil:
	case snap.epoch != update.GetEpoch() || snap.sequence+1 != update.GetSequence():
		snap.complete = false // the other node finds out when it checks
	default:
		snap.apply(update)
	}
}

func (snap *snapshot) apply(update *wire.WillUpdate) {
	snap.sequence, snap.version = update.GetSequence(), update.GetVersion()
	for _, s := range update.GetSockets() {
		if len(snap.sockets) < maxSockets {
			snap.sockets[s.GetId()] = keptSocketFrom(s)
		}
	}
	for _, id := range update.GetEnded() {
		delete(snap.sockets, id)
	}
	for _, p := range update.GetPresent() {
		if len(snap.places) < maxSockets {
			snap.places[presence.PlaceFrom(p)] = struct{}{}
		}
	}
	for _, p := range update.GetAbsent() {
		delete(snap.places, presence.PlaceFrom(p))
	}
	snap.complete = snap.complete || update.GetComplete()
}

// state describes the snapshot to other nodes. A nil snapshot has the state of one that is empty.
func (snap *snapshot) state() *wire.WillState {
	if snap == nil {
		return &wire.WillState{}
	}
	return &wire.WillState{
		Epoch: snap.epoch, Sequence: snap.sequence, Version: snap.version,
		Complete: snap.complete, Published: snap.published,
	}
}

func (snap *snapshot) addAsker(id cluster.NodeID) {
	if snap.askers == nil {
		snap.askers = make(map[cluster.NodeID]struct{})
	}
	snap.askers[id] = struct{}{}
}

// dropThrough drops the sockets up to an id.
func (snap *snapshot) dropThrough(id string) {
	if id != "" {
		maps.DeleteFunc(snap.sockets, func(other string, _ keptSocket) bool { return other <= id })
	}
}

// keptSocket is what is kept of a socket: less than half of an [eventhub.Socket], as there are many.
type keptSocket struct {
	user, address        string
	namespace, transport unique.Handle[string]
	connectedUnixNs      int64
	moves                uint32
}

func keptSocketFrom(s *wire.Socket) keptSocket {
	return keptSocket{
		user:            s.GetUser(),
		address:         s.GetAddress(),
		namespace:       unique.Make(s.GetNamespace()),
		transport:       unique.Make(s.GetTransport()),
		connectedUnixNs: s.GetConnectedUnixNs(),
		moves:           s.GetMoves(),
	}
}

// socket returns the description of a socket of a node.
func (k keptSocket) socket(id string, node cluster.NodeID) *eventhub.Socket {
	return &eventhub.Socket{
		ID:          id,
		Node:        string(node),
		Moves:       k.moves,
		User:        k.user,
		Namespace:   k.namespace.Value(),
		Address:     k.address,
		Transport:   k.transport.Value(),
		ConnectTime: time.Unix(0, k.connectedUnixNs),
	}
}
