package broker

import (
	"sync"
	"time"
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
	secret          [secretBytes]byte
	namespace, user string
	notRecovered    string    // the client may connect afresh, and is told why; UNKNOWN by default
	refusal         *Error    // the client was disconnected, and is refused once with this; nil if it wasn't
	until           time.Time // when it is forgotten
}

const (
	// tombstoneTime is how long the end of a session is remembered.
	tombstoneTime = 10 * time.Minute
	// maxTombstones bounds how many are. A client whose session isn't remembered any
	// more learns that it is unknown.
	maxTombstones = 10_000
)

// tombstones remembers sessions that ended while the client was away, by socket id.
type tombstones struct {
	mu    sync.Mutex
	byID  map[string]tombstone
	order []string // ids by the time of their end
}

func (t *tombstones) add(id string, end tombstone, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = make(map[string]tombstone)
	}
	end.until = now.Add(tombstoneTime)
	t.byID[id] = end
	t.order = append(t.order, id)
	old := 0
	for old < len(t.order) && (len(t.order)-old > maxTombstones || !now.Before(t.byID[t.order[old]].until)) {
		delete(t.byID, t.order[old])
		old++
	}
	clear(t.order[:old])
	t.order = t.order[old:]
}

// get returns what is remembered of a session.
func (t *tombstones) get(id string) (end tombstone, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	end, ok = t.byID[id]
	return end, ok
}

// takeRefusal returns with what the client of an ended session is refused, the first
// time that it is called.
func (t *tombstones) takeRefusal(id string) *Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	end, ok := t.byID[id]
	if !ok || end.refusal == nil {
		return nil
	}
	refusal := end.refusal
	end.refusal = nil
	t.byID[id] = end
	return refusal
}
