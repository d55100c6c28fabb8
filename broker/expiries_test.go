package broker

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/token"
)

// Whatever sockets come, go and get new tokens, the first one is that which expires first.
func TestExpiriesAreOrdered(t *testing.T) {
	x, b := expiries{}, &Broker{started: time.Now()}
	rng := rand.New(rand.NewPCG(1, 2))
	scheduled := make(map[*socket]bool)
	var sockets []*socket
	for range 50 {
		sockets = append(sockets, &socket{b: b})
	}
	for range 5000 {
		s := sockets[rng.IntN(len(sockets))]
		if rng.IntN(3) == 0 {
			x.remove(s)
			delete(scheduled, s)
		} else {
			x.set(s, time.Hour+time.Duration(rng.Int64N(int64(time.Hour))))
			scheduled[s] = true
		}
		if len(x.queue) != len(scheduled) {
			t.Fatalf("%d sockets are to expire, want %d", len(x.queue), len(scheduled))
		}
		for s := range scheduled {
			if !x.has(s) || s.expiry.at < x.queue[0].expiry.at {
				t.Fatalf("a socket that expires after %v isn't the first", s.expiry.at)
			}
		}
	}
	x.timer.Stop()
}

// Tokens may last for thousands of years, and then last until then at each node.
func TestTokensThatLastForAges(t *testing.T) {
	x, s := expiries{}, &socket{b: &Broker{started: time.Now().Add(-time.Hour)}}
	x.set(s, math.MaxInt64)
	x.timer.Stop()
	if s.expiry.at < latest {
		t.Errorf("the socket expires after %v", s.expiry.at)
	}
	c := token.Claims{User: "ana", ExpiresAt: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	if got := claimsFromWire("ana", claimsToWire(&c)).ExpiresAt; got.Year() < 2262 {
		t.Errorf("another node has it expire at %v", got)
	}
}
