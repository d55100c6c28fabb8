package listen

import (
	"net"
	"net/netip"
	"testing"
)

// TestKeylessPoolIsFair has an active connection outlast a flood of silent ones, and a new one
// outlast a flood of active ones.
func TestKeylessPoolIsFair(t *testing.T) {
	l := &limitListener{limits: limits{keyless: newKeylessPool()}}
	come := func(sent bool) *countedConn {
		p := &countedConn{TCPConn: &net.TCPConn{}, listener: l, from: netip.MustParseAddr("192.0.2.1")}
		l.keyless.add(p)
		p.sent.Store(sent)
		return p
	}
	probe := come(true)
	for range 10 * maxKeyless {
		come(false)
	}
	if probe.element == nil {
		t.Error("a probe that has sent its request was evicted for silent connections")
	}
	for range 10 * maxKeyless {
		come(true)
	}
	probe = come(false)
	for range maxKeylessPerAddress/2 - 1 {
		come(true)
	}
	if probe.element == nil {
		t.Error("a new connection was evicted for active ones")
	}
}

// TestKeylessPool has connections come, send something, show a key and go.
func TestKeylessPool(t *testing.T) {
	l := &limitListener{limits: limits{keyless: newKeylessPool()}}
	pool := l.keyless
	come := func(address string) (p, evicted *countedConn) {
		p = &countedConn{TCPConn: &net.TCPConn{}, listener: l, from: netip.MustParseAddr(address)}
		return p, pool.add(p)
	}
	var crowd []*countedConn
	for range maxKeylessPerAddress {
		p, evicted := come("192.0.2.1")
		if evicted != nil {
			t.Fatal("one was evicted while there was room")
		}
		crowd = append(crowd, p)
	}
	neighbour, _ := come("192.0.2.2")
	pool.touch(crowd[0])
	if _, evicted := come("192.0.2.1"); evicted != crowd[1] {
		t.Error("the evicted one isn't the one of its address that has been quiet for longest")
	}
	if _, evicted := come("2001:db8::1"); evicted != nil {
		t.Error("one was evicted while there was room")
	}
	for i := range maxKeyless - maxKeylessPerAddress - 2 {
		_, _ = come(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String())
	}
	if _, evicted := come("198.51.100.1"); evicted != crowd[2] {
		t.Error("the evicted one isn't the one that has been quiet for longest")
	}

	promote := func(c *countedConn) bool {
		stays, evicted := pool.promote(c)
		if len(evicted) > 0 {
			t.Errorf("%d connections were evicted for one that shows a key", len(evicted))
		}
		return stays
	}
	for range 2 { // it shows the key with each call
		if !promote(neighbour) || neighbour.element != nil {
			t.Error("one that shows a key doesn't leave the pool")
		}
	}
	if promote(crowd[1]) {
		t.Error("a closed connection was promoted")
	}
	for i := range maxKeyedPerAddress {
		p, _ := come("2001:db8:1::1")
		if got := promote(p); !got {
			t.Fatalf("caller %d of an address isn't admitted", i)
		}
	}
	last, _ := come("2001:db8:1::2")
	if promote(last) {
		t.Error("an address has too many callers")
	}
	for range maxKeyed - maxKeyedPerAddress - 1 {
		p, _ := come("192.0.2.3")
		if !promote(p) {
			t.Fatal("a caller of another address isn't admitted")
		}
	}
	p, _ := come("192.0.2.4")
	if promote(p) {
		t.Error("there are more callers than there may be")
	}
	pool.leave(neighbour)
	if !promote(p) {
		t.Error("a place doesn't come back")
	}
	pool.leave(p)
	if got := pool.stats(); got.waiting > maxKeyless || got.rejected != 2 {
		t.Errorf("%d are waiting, %d were rejected", got.waiting, got.rejected)
	}
}

// Connections whose key was revoked stay while there is room, and then make room for callers.
func TestRevokedKeysMakeRoom(t *testing.T) {
	l := &limitListener{limits: limits{keyless: newKeylessPool()}}
	pool := l.keyless
	revoked, valid := make(chan struct{}), make(chan struct{})
	come := func(key <-chan struct{}) (c *countedConn, stays bool) {
		c = &countedConn{TCPConn: &net.TCPConn{}, listener: l, from: netip.MustParseAddr("192.0.2.1")}
		pool.add(c)
		return c, c.ShowKey(key)
	}
	var old []*countedConn
	for range maxKeyedPerAddress {
		c, stays := come(revoked)
		if !stays {
			t.Fatal("a caller isn't admitted")
		}
		old = append(old, c)
	}
	if _, stays := come(revoked); stays {
		t.Fatal("an address has too many callers")
	}
	if stays := old[0].ShowKey(valid); !stays {
		t.Error("a connection that shows a second key doesn't stay")
	}
	close(revoked)
	c, stays := come(valid)
	if !stays || !c.keyed.Load() || !old[0].keyed.Load() {
		t.Error("connections whose key is valid have no place")
	}
	if len(pool.keyed) != 2 || old[1].keyed.Load() {
		t.Errorf("%d connections count as callers, want 2", len(pool.keyed))
	}
	if got := pool.stats(); got.waiting > maxKeyless {
		t.Errorf("%d connections without a valid key stay", got.waiting)
	}
	closed := 0
	for _, c := range old {
		if c.closed.Load() {
			closed++
		}
	}
	if want := maxKeyedPerAddress - 1 - maxKeyless + 1; closed < want-1 {
		t.Errorf("%d connections were closed, want about %d", closed, want)
	}
	if stays := old[len(old)-1].ShowKey(valid); !stays && !old[len(old)-1].closed.Load() {
		t.Error("a connection that shows a valid key again doesn't come back")
	}
}

// One key may have all places, also from several addresses, until another key needs some of them.
func TestKeysShareThePlaces(t *testing.T) {
	l := &limitListener{limits: limits{keyless: newKeylessPool()}}
	pool := l.keyless
	greedy, other := make(chan struct{}), make(chan struct{})
	come := func(address string, key <-chan struct{}) (stays bool) {
		c := &countedConn{TCPConn: &net.TCPConn{}, listener: l, from: netip.MustParseAddr(address)}
		pool.add(c)
		return c.ShowKey(key)
	}
	const sameAddress, otherAddress = "192.0.2.1", "192.0.2.2"
	fill := func() {
		for come(sameAddress, greedy) {
		}
		for come(otherAddress, greedy) {
		}
	}
	for come(sameAddress, greedy) {
	}
	if len(pool.keyed) != maxKeyedPerAddress {
		t.Fatalf("a key has %d connections of an address", len(pool.keyed))
	}
	if !come(sameAddress, other) {
		t.Error("another key has no place at the address")
	}
	fill()
	if len(pool.keyed) != maxKeyed {
		t.Fatalf("there are %d connections with a key", len(pool.keyed))
	}
	for range maxKeyed/2 - 1 {
		if !come("2001:db8::1", other) {
			t.Fatal("another key doesn't get half of the places")
		}
	}
	fill()
	if come("2001:db8::1", other) || come(sameAddress, greedy) {
		t.Error("a key gets more than half of the places from the other")
	}
	counts := make(map[any]int)
	for c := range pool.keyed {
		counts[c.ended.Load()]++
	}
	if len(pool.keyed) != maxKeyed || len(counts) != 2 || counts[any((<-chan struct{})(other))] != maxKeyed/2 {
		t.Errorf("the connections by key: %v", counts)
	}
}
