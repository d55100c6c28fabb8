package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// Compares the window with a set of all sequence numbers.
func TestReplaysAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	r := newReplays(time.Minute)
	seen := make(map[uint64]bool)
	var latest, base uint64
	for range 300_000 {
		switch random.IntN(1000) {
		case 0:
			base += uint64(random.IntN(3 * windowBits)) // a gap
		default:
			base += uint64(random.IntN(3))
		}
		sequence := base - min(base, uint64(random.ExpFloat64()*windowBits/4))
		want := sequence > 0 && !seen[sequence] && sequence+windowBits > latest
		if got := r.accept("A", sequence, now); got != want {
			t.Fatalf("accept(%d) with the latest %d is %t, want %t", sequence, latest, got, want)
		}
		seen[sequence] = true
		latest = max(latest, sequence)
	}
}

// Silent senders give way to new ones, others don't.
func TestReplaysAreBounded(t *testing.T) {
	r := newReplays(time.Minute)
	now := time.Now()
	for i := range maxSenders {
		if !r.accept(NodeID(fmt.Sprint(i)), 1, now) {
			t.Fatal("a first message isn't accepted")
		}
	}
	if r.accept("one more", 1, now) {
		t.Error("one sender too many is accepted")
	}
	if !r.accept("one more", 1, now.Add(2*time.Minute)) || len(r.senders) != 1 {
		t.Errorf("silent senders don't give way: there are %d", len(r.senders))
	}
}
