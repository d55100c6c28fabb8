package redishistory

import "github.com/salabroker/sala/broker/history"

// Keys returns the names of a room's hash and stream.
func (e *Engine) Keys(r history.Room) (hash, stream string) {
	hash = e.roomKey(r)
	return hash, streamKey(hash)
}

// Slot returns the hash slot of a key.
func Slot(key string) int { return int(slotOf(key)) }

// Broken returns how many rooms are known to be broken.
func (e *Engine) Broken() int {
	e.broken.mu.Lock()
	defer e.broken.mu.Unlock()
	return len(e.broken.rooms)
}

// BreakAll takes all rooms for broken.
func (e *Engine) BreakAll() { e.broken.addAll() }

// AllRepaired reports whether nothing is broken.
func (e *Engine) AllRepaired() bool { return e.broken.everything() == 0 && e.Broken() == 0 }
