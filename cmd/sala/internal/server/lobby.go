package server

import (
	"cmp"
	"container/list"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/ratelimit"
)

const (
	// lobbyPlaces is how many connections a control listener has that have shown no
	// valid key: probes, scrapers, those that are about to show one, and strangers.
	lobbyPlaces = 512
	// lobbyShare is how many of them an address may have before a new one of its
	// own costs it an old one, rather than somebody else.
	lobbyShare = 384
	// callerShare is how many of the connections that have shown a key may be of
	// one address.
	callerShare = maxControlConnections * 3 / 4
)

// lobby is where the connections of a control listener are until they show a
// valid key. There is always room for one more, as for a probe: the one that has
// been silent for the longest time makes room. Those that have shown a key leave
// the lobby, and have places of their own.
type lobby struct {
	// Static.
	callers *ratelimit.Addresses // those that have shown a key, by address

	// Guarded by mu, which is held with no other lock but that of callers.
	mu      sync.Mutex
	waiting *list.List // of *passage, the one that was heard of last at the end
	of      map[netip.Addr]int
	keyed   int
	evicted uint64
	refused uint64
}

func newLobby() *lobby {
	return &lobby{
		callers: ratelimit.NewAddresses(ratelimit.AddressOptions{PerAddress: callerShare}),
		waiting: list.New(),
		of:      make(map[netip.Addr]int),
	}
}

// enter lets a connection in and returns the one that has to make room for it,
// nil for none. The caller closes that.
func (l *lobby) enter(p *passage) *passage {
	l.mu.Lock()
	defer l.mu.Unlock()
	var evicted *passage
	switch {
	case l.of[p.network()] >= lobbyShare:
		evicted = l.worst(func(other *passage) bool { return other.network() == p.network() })
	case l.waiting.Len() >= lobbyPlaces:
		evicted = l.worst(func(*passage) bool { return true })
	}
	if evicted != nil {
		l.remove(evicted)
		l.evicted++
	}
	p.place = l.waiting.PushBack(p)
	l.of[p.network()]++
	return evicted
}

// worst returns which of some connections should go. Those that have sent nothing
// yet have half of the places, so that neither a flood of them nor those that
// never get to the end of a request keep a probe from being answered. The caller
// holds mu.
func (l *lobby) worst(among func(*passage) bool) *passage {
	var silent, spoke *passage // that have been so for the longest time
	silents, all := 0, 0
	for e := l.waiting.Front(); e != nil; e = e.Next() {
		p := e.Value.(*passage) //nolint:forcetypeassert // it holds nothing else
		if !among(p) {
			continue
		}
		all++
		switch {
		case p.spoke.Load():
			spoke = cmp.Or(spoke, p)
		default:
			silents++
			silent = cmp.Or(silent, p)
		}
	}
	if 2*silents > all {
		return silent
	}
	return cmp.Or(spoke, silent)
}

// remove takes a connection out of the lobby, if it is there. The caller holds
// mu.
func (l *lobby) remove(p *passage) {
	if p.place == nil {
		return
	}
	l.waiting.Remove(p.place)
	p.place = nil
	from := p.network()
	if l.of[from]--; l.of[from] == 0 {
		delete(l.of, from)
	}
}

// heard is told of a connection that has sent something.
func (l *lobby) heard(p *passage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.place != nil {
		l.waiting.MoveToBack(p.place)
	}
}

// admit reports whether a connection that has shown a key may stay.
func (l *lobby) admit(p *passage) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case p.keyed.Load():
		return true
	case p.place == nil: // it has been closed meanwhile
		return false
	case l.keyed >= maxControlConnections || l.callers.Enter(p.from) != ratelimit.Admitted:
		l.refused++
		return false
	}
	l.remove(p)
	l.keyed++
	p.keyed.Store(true)
	return true
}

// leave gives back the place of a connection that has ended.
func (l *lobby) leave(p *passage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(p)
	if p.keyed.Swap(false) {
		l.keyed--
		l.callers.Leave(p.from)
	}
}

// network is what counts as one address: of IPv6 the first 64 bits, which is what
// one subscriber has at least.
func (p *passage) network() netip.Addr {
	if p.from.Is6() {
		prefix, _ := p.from.Prefix(64) // it fits
		return prefix.Addr()
	}
	return p.from
}

// counts returns how many connections are waiting, and how many were closed to
// make room or refused for want of a place.
func (l *lobby) counts() (waiting int, evicted, refused uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting.Len(), l.evicted, l.refused
}

func (l *lobby) collectors(labels prometheus.Labels) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sala_listener_keyless_connections", Help: "TCP connections of a control listener that have shown no valid API key.", ConstLabels: labels,
		}, func() float64 {
			waiting, _, _ := l.counts()
			return float64(waiting)
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sala_listener_keyless_closed_total", Help: "TCP connections of a control listener without a valid API key that were closed to make room for new ones.", ConstLabels: labels,
		}, func() float64 {
			_, evicted, _ := l.counts()
			return float64(evicted)
		}),
	}
}
