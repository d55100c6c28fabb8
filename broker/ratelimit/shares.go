package ratelimit

import "sync"

// Shares counts something that several owners hold at a time. There is a limit
// to it, and each owner may have half. Its methods may be called concurrently.
type Shares struct {
	// Static.
	total int64

	mu   sync.Mutex
	used int64
	of   map[string]int64 // owners that hold something
}

// NewShares returns a count of which there may be total.
func NewShares(total int64) *Shares { return &Shares{total: total, of: make(map[string]int64)} }

// Take takes n for an owner and reports true or, if that is too much, takes
// nothing. Give must follow.
func (s *Shares) Take(owner string, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.of[owner]
	if s.used+n > s.total || held+n > s.Share() {
		return false
	}
	if n > 0 {
		s.used += n
		s.of[owner] = held + n
	}
	return true
}

// Give gives back n that an owner has taken.
func (s *Shares) Give(owner string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
	if left := s.of[owner] - n; left > 0 {
		s.of[owner] = left
	} else {
		delete(s.of, owner)
	}
}

// Used returns how much is held.
func (s *Shares) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Share is how much each owner may have.
func (s *Shares) Share() int64 { return s.total / 2 }
