package eventhub

import "sync"

// Bell is rung by the remotes and sources that have something to do, for one
// goroutine that does it. Its methods may be called concurrently.
type Bell struct {
	rung chan struct{}

	mu      sync.Mutex // held alone or last
	remotes map[*Remote]struct{}
	sources map[*Source]struct{}
}

// NewBell returns a bell that nobody has rung.
func NewBell() *Bell {
	return &Bell{
		rung:    make(chan struct{}, 1),
		remotes: make(map[*Remote]struct{}),
		sources: make(map[*Source]struct{}),
	}
}

// Rung returns a channel that gets a value when Answer has something to return.
func (b *Bell) Rung() <-chan struct{} { return b.rung }

// Ring rings the bell for nobody.
func (b *Bell) Ring() { ring(b.rung) }

// Answer returns who has rung since it was called last, each once.
func (b *Bell) Answer() (remotes []*Remote, sources []*Source) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for r := range b.remotes {
		remotes = append(remotes, r)
	}
	for s := range b.sources {
		sources = append(sources, s)
	}
	clear(b.remotes)
	clear(b.sources)
	return remotes, sources
}

func (b *Bell) ringFor(who any) {
	b.mu.Lock()
	switch who := who.(type) {
	case *Remote:
		b.remotes[who] = struct{}{}
	case *Source:
		b.sources[who] = struct{}{}
	}
	b.mu.Unlock()
	ring(b.rung)
}
