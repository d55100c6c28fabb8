package outcome

import (
	"math"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub/socketwire"
)

// ToWire returns the wire form of an event.
func ToWire(e *Event) *wire.OutcomeEvent {
	w := &wire.OutcomeEvent{
		Kind: uint32(e.Kind), UnixNs: e.Time.UnixNano(), Namespace: e.Namespace, User: e.User, Address: e.Address, Room: e.Room,
		Name: e.Name, Args: e.Args, Attachments: e.Attachments, WantsAck: e.WantsAck,
		Everyone: e.Target.Everyone, Rooms: e.Target.Rooms, Users: e.Target.Users, Sockets: e.Target.Sockets, More: count(e.Target.More),
		Key: e.Key, Limit: e.Limit, Result: uint32(e.Result), Code: e.Code, Message: e.Message,
		Matched: count(e.Report.Matched), Queued: count(e.Report.Queued), Kept: count(e.Report.Kept), Dropped: count(e.Report.Dropped),
		Partial: e.Report.Partial, Missing: e.Report.Missing, OtherNodes: e.Report.OtherNodes,
		Groups: e.Groups, TookNs: int64(e.Took), Count: count(e.Count), Reason: e.Reason, DeliveryId: e.DeliveryID,
	}
	if e.Socket != nil {
		w.Socket = socketwire.To(e.Socket)
	}
	return w
}

// FromWire is the inverse of [ToWire], for an event of another node.
func FromWire(from cluster.NodeID, w *wire.OutcomeEvent) Event {
	e := Event{
		Kind: Kind(min(w.GetKind(), math.MaxUint8)), Time: time.Unix(0, w.GetUnixNs()), Node: string(from), Namespace: w.GetNamespace(),
		User: w.GetUser(), Address: w.GetAddress(), Room: w.GetRoom(),
		Name: w.GetName(), Args: w.GetArgs(), Attachments: w.GetAttachments(), WantsAck: w.GetWantsAck(),
		Target: Target{Everyone: w.GetEveryone(), Rooms: w.GetRooms(), Users: w.GetUsers(), Sockets: w.GetSockets(), More: int(w.GetMore())},
		Key:    w.GetKey(), Limit: w.GetLimit(), Result: Result(min(w.GetResult(), math.MaxUint8)), Code: w.GetCode(), Message: w.GetMessage(),
		Report: Report{
			Matched: int(w.GetMatched()), Queued: int(w.GetQueued()), Kept: int(w.GetKept()), Dropped: int(w.GetDropped()),
			Partial: w.GetPartial(), Missing: w.GetMissing(), OtherNodes: w.GetOtherNodes(),
		},
		Groups: w.GetGroups(), Took: time.Duration(w.GetTookNs()), Count: int(w.GetCount()), Reason: w.GetReason(), DeliveryID: w.GetDeliveryId(),
	}
	if w.GetSocket() != nil {
		e.Socket = socketwire.From(w.GetSocket())
	}
	return e
}

// count converts a count without wrapping around.
func count(n int) uint32 {
	return uint32(min(uint64(max(n, 0)), math.MaxUint32))
}

func watcherToWire(w *Watcher) *wire.OutcomeWatcher {
	kinds := make([]uint32, len(w.filter.Kinds))
	for i, k := range w.filter.Kinds {
		kinds[i] = uint32(k)
	}
	return &wire.OutcomeWatcher{
		Id: w.id, Namespaces: w.filter.Namespaces, Kinds: kinds, Users: w.filter.Users,
		Rooms: w.filter.Rooms, Names: w.filter.Names, Problems: w.filter.Problems,
	}
}

func filterFromWire(w *wire.OutcomeWatcher) Filter {
	f := Filter{
		Namespaces: w.GetNamespaces(), Users: w.GetUsers(), Rooms: w.GetRooms(), Names: w.GetNames(), Problems: w.GetProblems(),
	}
	for _, k := range w.GetKinds() {
		f.Kinds = append(f.Kinds, Kind(min(k, math.MaxUint8)))
	}
	return f
}
