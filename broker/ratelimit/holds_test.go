package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// testHold is a hold that records whether it was cut.
type testHold struct {
	*Hold
	cut bool
}

func hold(a *Holds, addr string) *testHold {
	w := &testHold{}
	w.Hold = a.Hold(netip.MustParseAddr(addr), func() { w.cut = true })
	return w
}

func newTestHolds() (a *Holds, exceeded *int) {
	exceeded = new(int)
	return NewHolds(HoldOptions{
		Total: 1000, PerAddress: 400, Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Exceeded: func() { *exceeded++ },
	}), exceeded
}

func grow(t *testing.T, w *testHold, n int64, want bool) {
	t.Helper()
	if got := w.Grow(n); got != want {
		t.Errorf("Grow(%d) = %t, want %t", n, got, want)
	}
	<-time.After(time.Second)
}

// An address over its limit loses its own heaviest holds, and only those.
func TestHoldsPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, exceeded := newTestHolds()
		other := hold(a, "192.0.2.1")
		grow(t, other, 390, true)
		old, large, young := hold(a, "2001:db8::1"), hold(a, "2001:db8::2"), hold(a, "2001:db8::3")
		grow(t, old, 100, true)
		grow(t, large, 250, true)
		grow(t, young, 40, true)
		grow(t, young, 20, true) // 410: large ends, with 250 bytes for two seconds; old has 100 for three
		if old.cut || !large.cut || young.cut || other.cut || a.Bytes() != 390+160 {
			t.Errorf("cut %t %t %t %t, %d bytes", old.cut, large.cut, young.cut, other.cut, a.Bytes())
		}
		grow(t, large, 1, false)
		large.Release()
		grow(t, young, 400, false) // too much by itself: all holds of the address end
		if !old.cut || young.cut || a.Bytes() != 390 || *exceeded != 3 {
			t.Errorf("cut %t %t, %d bytes, %d exceeded", old.cut, young.cut, a.Bytes(), *exceeded)
		}
		other.Release()
		grow(t, other, 400, true)
		other.Release()
		if a.Bytes() != 0 || len(a.addresses) != 0 {
			t.Errorf("%d bytes of %d addresses are left", a.Bytes(), len(a.addresses))
		}
	})
}

// Over the total limit, the address that holds most loses holds, whether it is exempt or not.
func TestHoldsInTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, exceeded := newTestHolds()
		var hoard []*testHold
		for range 9 {
			w := hold(a, "10.1.2.3")
			grow(t, w, 100, true)
			hoard = append(hoard, w)
		}
		small := hold(a, "192.0.2.1")
		grow(t, small, 50, true)
		grow(t, small, 300, true)
		for i, w := range hoard {
			if w.cut != (i < 3) {
				t.Errorf("hold %d: cut %t", i, w.cut)
			}
		}
		if small.cut || a.Bytes() != 950 || *exceeded != 3 {
			t.Errorf("cut %t, %d bytes, %d exceeded", small.cut, a.Bytes(), *exceeded)
		}
	})
}

// However holds grow and are released, the sums are right and the limits are kept.
func TestHoldsAddUp(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		a, _ := newTestHolds()
		var holds []*testHold
		for range 30 {
			holds = append(holds, hold(a, fmt.Sprintf("%s.0.0.%d", []string{"10", "192"}[r.IntN(2)], r.IntN(4))))
		}
		for range 2000 {
			w := holds[r.IntN(len(holds))]
			if r.IntN(3) == 0 {
				w.Release()
			} else if ok := w.Grow(r.Int64N(120)); !ok {
				*w = *hold(a, w.addr.String())
			}
			var total int64
			for k, of := range a.addresses {
				var sum int64
				for i, h := range of.holds {
					sum += h.bytes
					if h.of != of || h.place != i || h.ended {
						t.Fatalf("hold %d of %x is out of place", i, k)
					}
				}
				if sum != of.bytes || !of.exempt && sum > 400 || len(of.holds) == 0 {
					t.Fatalf("%d holds of %x: %d bytes, counted %d", len(of.holds), k, sum, of.bytes)
				}
				total += sum
			}
			if total != a.Bytes() || total > 1000 {
				t.Fatalf("%d bytes in all, counted %d", total, a.Bytes())
			}
		}
	}
}
