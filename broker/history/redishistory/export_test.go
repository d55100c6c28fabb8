package redishistory

import "github.com/salabroker/sala/broker/history"

// Key returns the name of a room's stream.
func (e *Engine) Key(r history.Room) string { return e.roomKey(r) }

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
