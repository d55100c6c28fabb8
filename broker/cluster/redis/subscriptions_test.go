package redis

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Wants, unwants, confirms and resets channels at random, and compares the subscriptions of a
// server with what is wanted.
func TestSubscriptionsAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := newSubscriptions()
	wanted, server := make(map[string]bool), make(map[string]bool)
	change := func() {
		channel := fmt.Sprint(random.IntN(20))
		if random.IntN(2) == 0 {
			s.want(channel)
			wanted[channel] = true
		} else {
			s.unwant(channel)
			delete(wanted, channel)
		}
	}
	update := func(between func()) {
		subscribe, unsubscribe := s.changes()
		for _, channel := range unsubscribe {
			if !server[channel] {
				t.Fatalf("%q is unsubscribed, which the server doesn't have", channel)
			}
			delete(server, channel)
		}
		for _, channel := range subscribe {
			if server[channel] {
				t.Fatalf("%q is subscribed again", channel)
			}
			server[channel] = true
		}
		between()
		s.confirm(subscribe)
	}
	for range 20_000 {
		switch action := random.IntN(10); {
		case action < 7:
			change()
		case action < 9:
			update(change)
		default:
			s.reset(s.wake)
			clear(server)
		}
		update(func() {})
		if len(server) != len(wanted) || len(s.channels) != len(wanted) || len(s.dirty) != 0 {
			t.Fatalf("the server has %v and %d are kept, want %v", server, len(s.channels), wanted)
		}
		for channel := range wanted {
			select {
			case <-s.want(channel):
			default:
				t.Fatalf("%q isn't effective", channel)
			}
		}
	}
}

// Channels that are wanted and unwanted during an outage leave nothing behind.
func TestSubscriptionsInOutage(t *testing.T) {
	s := newSubscriptions()
	for i := range 10_000 {
		channel := fmt.Sprint(i)
		s.want(channel)
		s.unwant(channel)
	}
	if len(s.channels) != 0 || len(s.dirty) != 0 {
		t.Errorf("%d channels and %d changes are kept", len(s.channels), len(s.dirty))
	}
}
