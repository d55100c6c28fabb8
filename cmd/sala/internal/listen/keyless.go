package listen

import (
	"cmp"
	"container/list"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/realip"
)

const (
	// maxKeyed is how many connections of a control listener may have shown a valid API key, and
	// maxKeyedPerAddress how many of those one address may have. A backend has one over gRPC and a
	// few over REST.
	maxKeyed           = 1024
	maxKeyedPerAddress = maxKeyed * 3 / 4
	// maxKeyless is how many connections of a control listener may have shown no valid key: probes,
	// scrapers, callers that are about to show one, and strangers.
	maxKeyless = 512
	// maxKeylessPerAddress is how many of them one address may have. Beyond that, its new
	// connections replace its own old ones.
	maxKeylessPerAddress = 384
)

// keylessPool holds the connections of a control listener that haven't shown a valid API key. There
// is always room for one more, for example a probe: the connection that has been quiet for longest
// makes room. A connection that shows a key moves out of the pool and counts against limits of its
// own.
type keylessPool struct {
	// Static.
	keyedBy *ratelimit.Addresses // connections that have shown a key, by address

	// Guarded by mu, which is held with no other lock but that of keyedBy.
	mu         sync.Mutex
	conns      *list.List // of *countedConn, the one that sent something last at the back
	perNetwork map[netip.Addr]int
	keyed      map[*countedConn]struct{} // those that have shown a key
	evicted    uint64
	rejected   uint64
}

func newKeylessPool() *keylessPool {
	return &keylessPool{
		keyedBy:    ratelimit.NewAddresses(ratelimit.AddressOptions{PerAddress: maxKeyedPerAddress}),
		conns:      list.New(),
		perNetwork: make(map[netip.Addr]int),
		keyed:      make(map[*countedConn]struct{}),
	}
}

// add returns the connection that has to make room, nil for none. The caller closes it.
func (p *keylessPool) add(c *countedConn) *countedConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var evicted *countedConn
	switch {
	case p.perNetwork[c.network()] >= maxKeylessPerAddress:
		evicted = p.worst(func(other *countedConn) bool { return other.network() == c.network() })
	case p.conns.Len() >= maxKeyless:
		evicted = p.worst(func(*countedConn) bool { return true })
	}
	if evicted != nil {
		p.remove(evicted)
		p.evicted++
	}
	p.place(c, p.conns.PushBack(c))
	return evicted
}

// place notes that a connection is in the pool. The caller holds mu.
func (p *keylessPool) place(c *countedConn, at *list.Element) {
	c.element = at
	p.perNetwork[c.network()]++
}

// worst returns which of the connections that among selects should go. Connections that have sent
// nothing get at most half of the places, so neither a flood of them nor connections that never
// finish a request can keep a probe from an answer. The caller holds mu.
func (p *keylessPool) worst(among func(*countedConn) bool) *countedConn {
	var oldestSilent, oldestActive *countedConn
	silent, all := 0, 0
	for e := p.conns.Front(); e != nil; e = e.Next() {
		c := e.Value.(*countedConn) //nolint:forcetypeassert // it holds nothing else
		if !among(c) {
			continue
		}
		all++
		if c.sent.Load() {
			oldestActive = cmp.Or(oldestActive, c)
			continue
		}
		silent++
		oldestSilent = cmp.Or(oldestSilent, c)
	}
	if 2*silent > all {
		return oldestSilent
	}
	return cmp.Or(oldestActive, oldestSilent)
}

// remove takes a connection out of the pool if it is there. The caller holds mu.
func (p *keylessPool) remove(c *countedConn) {
	if c.element == nil {
		return
	}
	p.conns.Remove(c.element)
	c.element = nil
	from := c.network()
	p.perNetwork[from]--
	if p.perNetwork[from] == 0 {
		delete(p.perNetwork, from)
	}
}

// touch is called when a connection has sent something.
func (p *keylessPool) touch(c *countedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.element != nil {
		p.conns.MoveToBack(c.element)
	}
}

// promote is called when a connection has shown a valid key. It reports whether it may stay. If
// there is no room, connections whose keys have been revoked make room, and then one of another key
// that has more of them; the caller closes those that are evicted.
func (p *keylessPool) promote(c *countedConn) (stays bool, evicted []*countedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case c.keyed.Load():
		return true, nil
	case c.element == nil: // closed in the meantime
		return false, nil
	}
	stays = p.enterKeyed(c)
	if !stays {
		p.demoteEnded()
		stays = p.enterKeyed(c)
		if other := p.greediest(c); !stays && other != nil {
			p.demote(other)
			stays = p.enterKeyed(c)
		}
		evicted = p.shrink()
	}
	if !stays {
		p.rejected++
	}
	return stays, evicted
}

// shrink takes as many connections out of the pool as are too many. The caller holds mu.
func (p *keylessPool) shrink() (evicted []*countedConn) {
	for p.conns.Len() > maxKeyless {
		c := p.worst(func(*countedConn) bool { return true })
		p.remove(c)
		p.evicted++
		evicted = append(evicted, c)
	}
	return evicted
}

// enterKeyed moves a connection out of the pool, if there is room. The caller holds mu.
func (p *keylessPool) enterKeyed(c *countedConn) bool {
	if len(p.keyed) >= maxKeyed || p.keyedBy.Enter(c.from) != ratelimit.Admitted {
		return false
	}
	p.remove(c)
	p.keyed[c] = struct{}{}
	c.keyed.Store(true)
	return true
}

// demoteEnded puts the connections whose key isn't valid any more into the pool, as those that have
// been quiet for longest. The caller holds mu.
func (p *keylessPool) demoteEnded() {
	for c := range p.keyed {
		if c.keyEnded() {
			p.demote(c)
		}
	}
}

// demote puts a connection that has shown a key into the pool, as the one that has been quiet for
// longest. The caller holds mu.
func (p *keylessPool) demote(c *countedConn) {
	p.leaveKeyed(c)
	p.place(c, p.conns.PushFront(c))
}

// greediest returns a connection that should make room for one that has shown a key: one of the key
// that has the most, if the other's key has at least two fewer. If it is the address that has too
// many, only its connections count. The caller holds mu.
func (p *keylessPool) greediest(c *countedConn) (greediest *countedConn) {
	full, mine := len(p.keyed) >= maxKeyed, c.ended.Load()
	counts := make(map[any]int)
	for other := range p.keyed {
		if full || other.network() == c.network() {
			counts[other.ended.Load()]++
		}
	}
	most := counts[mine] + 1
	for other := range p.keyed {
		if n := counts[other.ended.Load()]; n > most && (full || other.network() == c.network()) {
			greediest, most = other, n
		}
	}
	return greediest
}

// leaveKeyed frees the place of a connection that has shown a key. The caller holds mu.
func (p *keylessPool) leaveKeyed(c *countedConn) {
	delete(p.keyed, c)
	c.keyed.Store(false)
	p.keyedBy.Leave(c.from)
}

// leave frees the place of a closed connection, in the pool or among those with a key.
func (p *keylessPool) leave(c *countedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(c)
	if c.keyed.Load() {
		p.leaveKeyed(c)
	}
}

// network returns what counts as one address.
func (c *countedConn) network() netip.Addr { return realip.Network(c.from).Addr() }

// poolStats are the counts of a [keylessPool].
type poolStats struct {
	waiting  int
	evicted  uint64 // closed to make room
	rejected uint64 // had a valid key, but there were too many of those
}

func (p *keylessPool) stats() poolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return poolStats{waiting: p.conns.Len(), evicted: p.evicted, rejected: p.rejected}
}

func (p *keylessPool) collectors(labels prometheus.Labels) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sala_listener_keyless_connections", Help: "TCP connections of a control listener that have shown no valid API key.", ConstLabels: labels,
		}, func() float64 { return float64(p.stats().waiting) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sala_listener_keyless_closed_total", Help: "TCP connections of a control listener without a valid API key that were closed to make room for new ones.", ConstLabels: labels,
		}, func() float64 { return float64(p.stats().evicted) }),
	}
}
