package redishistory

import (
	"container/heap"
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/history"
)

const (
	// maxKnown bounds the rooms that a lane knows.
	maxKnown = 100_000
	// maxRefresh is the longest time for which the end of a stream isn't put off again.
	maxRefresh = time.Minute
	// sweepEvery is how often a lane looks for rooms in which everything has expired.
	sweepEvery = time.Second
	// sweepBatch is how many of them it trims in one pipeline.
	sweepBatch = 512
)

// rooms are the rooms in which a lane has recorded lately. It knows their epochs, so one command
// records in them, and puts off the end of their streams only now and then. It belongs to the lane's
// goroutine.
//
// A stream is kept for longer than its entries, because it has the room's position. When nothing was
// recorded for the room's TTL, the lane drops the entries.
type rooms struct {
	byKey map[string]*knownRoom
	due   dueRooms
}

// knownRoom is a room that a lane knows.
type knownRoom struct {
	key       string
	end       history.Position // of the last entry that the lane has recorded
	nextID    string           // what has Redis give an entry the next offset, if the epoch is still the same
	ttl       int64            // in milliseconds, as all times here
	appended  int64            // when the lane has recorded last
	refreshed int64            // when it has put off the end of the stream
	due       int64            // when the lane looks whether everything has expired
	index     int              // in dueRooms
}

func newRooms() rooms { return rooms{byKey: make(map[string]*knownRoom)} }

// recorded notes that an entry was recorded, and that the end of the stream was put off if the room
// wasn't known.
func (rs *rooms) recorded(t *task, p history.Position, now int64) {
	r := rs.byKey[t.room]
	if r == nil {
		if len(rs.byKey) >= maxKnown {
			rs.forget(rs.due[0].key)
		}
		r = &knownRoom{key: t.room, refreshed: now, due: now + t.limits.TTL.Milliseconds()}
		rs.byKey[r.key] = r
		heap.Push(&rs.due, r)
	}
	if r.end.Epoch != p.Epoch {
		r.nextID = p.Epoch + "-*"
	}
	r.end, r.ttl, r.appended = p, t.limits.TTL.Milliseconds(), now
}

// forget forgets a room.
func (rs *rooms) forget(key string) {
	if r := rs.byKey[key]; r != nil {
		heap.Remove(&rs.due, r.index)
		delete(rs.byKey, key)
	}
}

// refreshEvery is how often the end of a room's stream is put off while messages are recorded.
func refreshEvery(r history.Room) time.Duration { return min(r.TTL/4, maxRefresh) }

// streamKept is how long a stream is kept after its end was put off.
func streamKept(r history.Room) time.Duration {
	return r.TTL + history.PositionKept + refreshEvery(r)
}

// refresh reports whether the end of a room's stream is to be put off with the next entry.
func (r *knownRoom) refresh(limits history.Room, now int64) bool {
	if now < r.refreshed+refreshEvery(limits).Milliseconds() {
		return false
	}
	r.refreshed = now
	return true
}

// sweep drops entries that have expired in rooms in which nothing was recorded since.
func (l *lane) sweep(ctx context.Context) {
	e := l.engine
	now := e.options.Now().UnixMilli()
	client, err := e.client.Current()
	if err != nil {
		return
	}
	var trims []rueidis.Completed
	for len(l.rooms.due) > 0 && l.rooms.due[0].due <= now && len(trims) < sweepBatch {
		r := l.rooms.due[0]
		if end := r.appended + r.ttl; end > now {
			r.due = end
			heap.Fix(&l.rooms.due, 0)
			continue
		}
		next := history.Position{Epoch: r.end.Epoch, Offset: r.end.Offset + 1}
		trims = append(trims, client.B().Xtrim().Key(r.key).Minid().Exact().Threshold(id(next)).Build())
		l.rooms.forget(r.key)
	}
	if len(trims) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, e.client.Timeout())
	defer cancel()
	client.DoMulti(ctx, trims...) // what isn't trimmed ends with its stream
}

// dueRooms are rooms in the order in which the lane looks at them, as a heap. A room that is used
// moves only when it is looked at.
type dueRooms []*knownRoom

// Len implements [heap.Interface].
func (h dueRooms) Len() int { return len(h) }

// Less implements [heap.Interface].
func (h dueRooms) Less(i, j int) bool { return h[i].due < h[j].due }

// Swap implements [heap.Interface].
func (h dueRooms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements [heap.Interface].
func (h *dueRooms) Push(x any) {
	r := x.(*knownRoom) //nolint:forcetypeassert // only rooms are pushed
	r.index = len(*h)
	*h = append(*h, r)
}

// Pop implements [heap.Interface].
func (h *dueRooms) Pop() any {
	old := *h
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return r
}
