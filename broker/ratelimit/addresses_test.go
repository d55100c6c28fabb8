package ratelimit

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func TestConnectionsPerAddress(t *testing.T) {
	a := NewAddresses(AddressOptions{PerAddress: 2})
	expect := func(text string, want Verdict) {
		t.Helper()
		if got := a.Enter(addr(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
	expect("192.0.2.1", Admitted)
	expect("192.0.2.1", Admitted)
	expect("192.0.2.1", TooMany)
	expect("192.0.2.2", Admitted) // another address isn't affected
	a.Leave(addr("192.0.2.1"))
	expect("192.0.2.1", Admitted)
	expect("192.0.2.1", TooMany)

	expect("2001:db8::1", Admitted)
	expect("2001:db8::ffff:1:2", Admitted)
	expect("2001:db8:0:0:1::", TooMany)
	expect("2001:db8:0:1::", Admitted)
}

func TestExemptAddresses(t *testing.T) {
	a := NewAddresses(AddressOptions{
		PerAddress: 1, Handshakes: Rate{1, 1},
		Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fc00::/7")},
	})
	for _, free := range []netip.Addr{addr("127.0.0.1"), addr("fd00::1"), {}} {
		for range 3 {
			if got := a.Enter(free); got != Admitted {
				t.Errorf("%s: %d", free, got)
			}
		}
		for range 3 {
			a.Leave(free)
		}
	}
	if len(a.known) > 0 {
		t.Errorf("%d addresses are known", len(a.known))
	}
}

func TestHandshakesPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAddresses(AddressOptions{Handshakes: Rate{PerSecond: 10, Burst: 3}})
		one, other := addr("192.0.2.1"), addr("192.0.2.2")
		for i := range 3 {
			if got := a.Enter(one); got != Admitted {
				t.Errorf("handshake %d: %d", i+1, got)
			}
			a.Leave(one) // which doesn't give the handshake back
		}
		if got := a.Enter(one); got != TooOften {
			t.Errorf("one over the limit: %d", got)
		}
		if got := a.Enter(other); got != Admitted {
			t.Errorf("a neighbour: %d", got)
		}
		<-time.After(100 * time.Millisecond)
		for i, want := range []Verdict{Admitted, TooOften} {
			if got := a.Enter(one); got != want {
				t.Errorf("handshake %d, a moment later: %d, want %d", i+1, got, want)
			}
		}
	})
}

// A handshake that is refused because of too many connections counts as a handshake.
func TestRefusedHandshakesCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAddresses(AddressOptions{PerAddress: 1, Handshakes: Rate{PerSecond: 10, Burst: 3}})
		for i, want := range []Verdict{Admitted, TooMany, TooMany, TooOften} {
			if got := a.Enter(addr("192.0.2.1")); got != want {
				t.Errorf("handshake %d: %d, want %d", i+1, got, want)
			}
		}
	})
}

// More addresses connect than are kept.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAddresses(AddressOptions{PerAddress: 1, Handshakes: Rate{PerSecond: 1, Burst: 10}})
		staying := addr("192.0.2.1")
		if a.Enter(staying) != Admitted {
			t.Fatal("the first was refused")
		}
		n := 0
		connect := func() {
			n++
			other := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
			if got := a.Enter(other); got != Admitted {
				t.Fatalf("address %d: %d", n, got)
			}
			a.Leave(other)
		}
		for range 2*maxIdle + minClean {
			connect()
		}
		if most := 2*maxIdle + 2; len(a.known) > most {
			t.Errorf("%d addresses are kept, want at most %d", len(a.known), most)
		}
		<-time.After(10 * time.Second)
		a.clean(time.Since(a.start))
		if len(a.known) != 1 || a.Enter(staying) != TooMany {
			t.Errorf("%d addresses are kept, want the one that has a connection", len(a.known))
		}
	})
}

func TestConcurrentConnections(t *testing.T) {
	a := NewAddresses(AddressOptions{PerAddress: 1})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			who := addr(fmt.Sprintf("192.0.2.%d", i%4))
			for range 1000 {
				if a.Enter(who) == Admitted {
					a.Leave(who)
				}
			}
		})
	}
	all.Wait()
	if len(a.known) != 0 {
		t.Errorf("%d addresses are left", len(a.known))
	}
}
