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

	for range 2 { // it shows the key with each call
		if !pool.promote(neighbour) || neighbour.element != nil {
			t.Error("one that shows a key doesn't leave the pool")
		}
	}
	if pool.promote(crowd[1]) {
		t.Error("a closed connection was promoted")
	}
	for i := range maxKeyedPerAddress {
		p, _ := come("2001:db8:1::1")
		if got := pool.promote(p); !got {
			t.Fatalf("caller %d of an address isn't admitted", i)
		}
	}
	last, _ := come("2001:db8:1::2")
	if pool.promote(last) {
		t.Error("an address has more callers than it may have")
	}
	for range maxKeyed - maxKeyedPerAddress - 1 {
		p, _ := come("192.0.2.3")
		if !pool.promote(p) {
			t.Fatal("a caller of another address isn't admitted")
		}
	}
	p, _ := come("192.0.2.4")
	if pool.promote(p) {
		t.Error("there are more callers than there may be")
	}
	pool.leave(neighbour)
	if !pool.promote(p) {
		t.Error("a place doesn't come back")
	}
	pool.leave(p)
	if got := pool.stats(); got.waiting > maxKeyless || got.rejected != 2 {
		t.Errorf("%d are waiting, %d were rejected", got.waiting, got.rejected)
	}
}
