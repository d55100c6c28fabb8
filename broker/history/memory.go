package history

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Memory is the [Engine] of a broker of one node. What it keeps ends with the process.
//
// When the rooms take more bytes than they may, the room that was used least recently is dropped
// whole, first among those without entries. A room that is too large alone loses its oldest entries.
type Memory struct {
	// Static.
	options MemoryOptions
	epochs  *Epochs
	wake    chan struct{} // holds one token if the next room expires earlier than expected

	// Guarded by mu.
	mu       sync.Mutex
	logs     map[roomID]*log
	filled   lru // logs with entries
	empty    lru // logs without
	expiring expiring
	bytes    int64
	appended int64
	evicted  int64
	scratch  []byte // a small entry while it is encoded
}

// roomID identifies a room.
type roomID struct{ namespace, name string }

// MemoryOptions configure a [Memory].
type MemoryOptions struct {
	// MaxBytes bounds the memory of all rooms; 256 MiB by default.
	MaxBytes int64
	// Window is how long an entry with an idempotency key is recognised; 5 min by default.
	Window time.Duration
}

// NewMemory returns an engine without entries.
func NewMemory(o MemoryOptions) *Memory {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 256 << 20
	}
	if o.Window <= 0 {
		o.Window = 5 * time.Minute
	}
	return &Memory{options: o, epochs: NewEpochs(), wake: make(chan struct{}, 1), logs: make(map[roomID]*log)}
}

// Append implements [Engine]. It calls done before it returns, and never fails.
func (m *Memory) Append(rooms []Room, e Entry, done func([]Position, error)) {
	positions := make([]Position, len(rooms))
	encoded, whole := m.encodeWhole(rooms, &e)
	m.mu.Lock()
	if !whole {
		m.scratch = e.AppendEncoded(m.scratch[:0])
		encoded = m.scratch
	}
	now := time.Now().UnixMilli()
	for i, r := range rooms {
		l := m.log(r, now)
		if e.IdempotencyKey != "" {
			next := Position{Epoch: l.epoch, Offset: l.end + 1}
			first, repeated := l.once.claim(e.ID, next, now+m.options.Window.Milliseconds())
			if repeated {
				positions[i] = first
				m.changed(l)
				continue
			}
		}
		positions[i] = l.append(encoded, whole)
		m.appended++
		m.changed(l)
		m.makeRoom(l)
	}
	m.mu.Unlock()
	done(positions, nil)
}

// encodeWhole encodes an entry that gets a memory of its own: because it is large, or because many
// rooms would have a copy. It returns false for others.
func (m *Memory) encodeWhole(rooms []Room, e *Entry) (encoded []byte, whole bool) {
	size := e.EncodedSize()
	if size < largeEntry && (len(rooms) == 1 || size < blockBytes) {
		return nil, false
	}
	return e.Encode(), true
}

// Read implements [Engine].
func (m *Memory) Read(ctx context.Context, r Room, q Query) (Page, error) {
	if err := ctx.Err(); err != nil {
		return Page{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.log(r, time.Now().UnixMilli())
	m.changed(l)
	m.makeRoom(l)
	return l.read(q), nil
}

// Clear implements [Engine].
func (m *Memory) Clear(ctx context.Context, r Room) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if l, ok := m.logs[roomID{r.Namespace, r.Name}]; ok {
		l.clear(m.epochs.Next())
		m.changed(l)
	}
	return nil
}

// Stats implements [Engine].
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Stats{Local: true, Rooms: int64(len(m.logs)), Bytes: m.bytes, Appended: m.appended, Evicted: m.evicted}
}

// log returns the log of a room without expired entries. It makes one if there is none. The caller
// must call changed afterwards.
func (m *Memory) log(r Room, now int64) *log {
	id := roomID{r.Namespace, r.Name}
	l, ok := m.logs[id]
	if !ok {
		l = newLog(id, m.epochs.Next())
		m.logs[id] = l
	}
	l.use(r, now)
	if !ok {
		m.expect(l)
	}
	return l
}

// changed accounts for a change of a log, and marks it as the one that was used last.
func (m *Memory) changed(l *log) {
	m.bytes += l.grown()
	l.unlink()
	if l.len() > 0 {
		m.filled.push(l)
	} else {
		m.empty.push(l)
	}
}

// makeRoom drops logs until the others fit. It doesn't drop the one that is in use.
func (m *Memory) makeRoom(used *log) {
	for m.bytes > m.options.MaxBytes {
		victim := m.empty.oldestExcept(used)
		if victim == nil {
			victim = m.filled.oldestExcept(used)
		}
		if victim == nil {
			break
		}
		m.drop(victim)
		m.evicted++
	}
	for m.bytes > m.options.MaxBytes && used.len() > 1 {
		used.dropOldest()
		m.bytes += used.grown()
	}
}

// drop forgets a log.
func (m *Memory) drop(l *log) {
	m.bytes -= l.counted
	l.unlink()
	heap.Remove(&m.expiring, l.heapIndex)
	delete(m.logs, l.id)
}
