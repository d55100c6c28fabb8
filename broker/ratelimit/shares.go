package ratelimit

import "sync"

// Shares limits something that several owners hold: all of them together to a total, and each owner
// to half of it. Its methods may be called concurrently.
type Shares struct {
	// Static.
	total int64

	mu   sync.Mutex
	used int64
	of   map[string]int64 // by owner; no zeros
}

// NewShares returns shares of total.
func NewShares(total int64) *Shares { return &Shares{total: total, of: make(map[string]int64)} }

// Take takes n for an owner and reports true; Give must follow. If that is too much, it takes
// nothing and reports false.
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

// Give returns n that an owner has taken.
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

// Used returns how much all owners hold together.
func (s *Shares) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Share returns how much each owner may hold.
func (s *Shares) Share() int64 { return s.total / 2 }
