package broker

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/pid"
	"github.com/salabroker/sala/broker/realip"
)

// Why a session was not recovered, as clients and backends learn it.
const (
	notRecoveredExpired     = "EXPIRED"      // the client came too late
	notRecoveredEvicted     = "EVICTED"      // there was no room for what it missed
	notRecoveredNodeLost    = "NODE_LOST"    // the node that had the session is gone
	notRecoveredUserChanged = "USER_CHANGED" // the client returned as another user
	notRecoveredUnknown     = "UNKNOWN"      // there is no such session
)

// tombstone is what a node remembers of a session that ended while the client was away.
type tombstone struct {
	secret          pid.Secret
	namespace, user string
	notRecovered    string         // the client may connect afresh, and is told why; UNKNOWN by default
	refusal         *Error         // the client was disconnected, and is refused once with this; nil if it wasn't
	node            cluster.NodeID // that has the tombstone, if that isn't this one: then nothing of the above is known

	// Set by tombstones.
	holder string        // whom it counts for
	until  time.Time     // when it is forgotten
	order  *list.Element // its place in tombstones.order
}

const (
	// tombstoneTime is how long the end of a session is remembered.
	tombstoneTime = 10 * time.Minute
	// maxTombstones bounds how many are, and maxTombstonesEach how many of one user are, or
	// of the anonymous clients of one address. A client whose session isn't remembered any
	// more learns that it is unknown.
	maxTombstones     = 10_000
	maxTombstonesEach = 100
)

// tombstones remembers sessions that ended while the client was away, by socket id.
type tombstones struct {
	mu       sync.Mutex
	byID     map[string]*tombstone
	byHolder map[string][]string // ids, the oldest first
	order    list.List           // of ids, the oldest first
}

// add remembers the end of a session, and forgets an older one if there are too many.
func (t *tombstones) add(id, holder string, end tombstone, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID, t.byHolder = make(map[string]*tombstone), make(map[string][]string)
	}
	t.remove(id)
	end.holder, end.until, end.order = holder, now.Add(tombstoneTime), t.order.PushBack(id)
	t.byID[id] = &end
	t.byHolder[holder] = append(t.byHolder[holder], id)
	if ids := t.byHolder[holder]; len(ids) > maxTombstonesEach {
		t.remove(ids[0])
	}
	for {
		oldest, _ := t.order.Front().Value.(string) // there is at least the new one
		if len(t.byID) <= maxTombstones && now.Before(t.byID[oldest].until) {
			return
		}
		t.remove(oldest)
	}
}

// remove forgets a session. t.mu is held.
func (t *tombstones) remove(id string) {
	end, ok := t.byID[id]
	if !ok {
		return
	}
	delete(t.byID, id)
	t.order.Remove(end.order)
	ids := t.byHolder[end.holder]
	i := slices.Index(ids, id)
	if len(ids) == 1 {
		delete(t.byHolder, end.holder)
		return
	}
	t.byHolder[end.holder] = slices.Delete(ids, i, i+1)
}

// get returns what is remembered of a session, unless only another node knows.
func (t *tombstones) get(id string) (end tombstone, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if found := t.byID[id]; found != nil && found.node == "" {
		return *found, true
	}
	return tombstone{}, false
}

// at returns the other node that has the tombstone of a session; empty if none is known.
func (t *tombstones) at(id string) cluster.NodeID {
	t.mu.Lock()
	defer t.mu.Unlock()
	if found := t.byID[id]; found != nil {
		return found.node
	}
	return ""
}

// takeRefusal returns with what the client of an ended session is refused, the first
// time that it is called.
func (t *tombstones) takeRefusal(id string) *Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.byID[id]
	if end == nil {
		return nil
	}
	refusal := end.refusal
	end.refusal = nil
	return refusal
}

// tombstoneHolder returns whom the tombstone of the socket counts for.
func (s *socket) tombstoneHolder() string {
	if s.user != "" {
		return "user " + s.user
	}
	return "network " + realip.Network(realip.Address(s.describe().Address)).String()
}
