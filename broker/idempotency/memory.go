package idempotency

import (
	"context"
	"sync"
	"time"
)

// Memory is the [Store] of a single node. It has no bound of its own: [Keys] makes no more claims than
// its limits allow.
type Memory struct {
	// Static.
	window time.Duration

	// Guarded by mu.
	mu     sync.Mutex
	claims map[Key]*memoryClaim
	oldest []expiry // in the order in which they were written
}

type memoryClaim struct {
	claim   Claim
	expires time.Time
}

// expiry is when a claim has expired for sure, unless it was written again since.
type expiry struct {
	key Key
	at  time.Time
}

// NewMemory returns a store that keeps claims for a window.
func NewMemory(window time.Duration) *Memory {
	return &Memory{window: window, claims: make(map[Key]*memoryClaim)}
}

// Claim implements [Store].
func (m *Memory) Claim(_ context.Context, key Key, c Claim) (Claim, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.expire(now)
	if there, ok := m.claims[key]; ok && there.expires.After(now) {
		return there.claim, true, nil
	}
	m.set(key, c, now)
	return Claim{}, false, nil
}

// Record implements [Store].
func (m *Memory) Record(_ context.Context, key Key, c Claim) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(key, c, time.Now())
	return nil
}

func (m *Memory) set(key Key, c Claim, now time.Time) {
	if len(m.oldest) == 0 {
		time.AfterFunc(m.window, m.sweep)
	}
	expires := now.Add(c.lifetime(m.window, now))
	m.claims[key] = &memoryClaim{claim: c, expires: expires}
	m.oldest = append(m.oldest, expiry{key, now.Add(m.window)})
}

// sweep forgets the claims whose window has passed, when nobody makes new ones.
func (m *Memory) sweep() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(time.Now())
	if len(m.oldest) > 0 {
		time.AfterFunc(time.Until(m.oldest[0].at), m.sweep)
	}
}

// expire forgets the claims whose window has passed.
func (m *Memory) expire(now time.Time) {
	passed := 0
	for _, e := range m.oldest {
		if e.at.After(now) {
			break
		}
		passed++
		if c, ok := m.claims[e.key]; ok && !c.expires.After(now) {
			delete(m.claims, e.key)
		}
	}
	clear(m.oldest[:passed])
	m.oldest = m.oldest[passed:]
	if len(m.oldest) == 0 && passed > 0 { // so that the memory of a busy hour isn't kept
		m.claims, m.oldest = make(map[Key]*memoryClaim), nil
	}
}
