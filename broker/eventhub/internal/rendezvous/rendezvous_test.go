package rendezvous

import (
	"fmt"
	"testing"
)

// Similar keys spread evenly over similar candidates.
func TestWeightSpreads(t *testing.T) {
	const keys, candidates = 20_000, 10
	var won [candidates]int
	for k := range keys {
		best := 0
		for c := range candidates {
			if Weight("/", fmt.Sprint("key", k), uint64(c)) > Weight("/", fmt.Sprint("key", k), uint64(best)) {
				best = c
			}
		}
		won[best]++
	}
	for c, n := range won {
		if n < keys/candidates*9/10 || n > keys/candidates*11/10 {
			t.Errorf("candidate %d won %d of %d keys", c, n, keys)
		}
	}
}

// Nodes of different versions compare weights, so these must not change.
func TestWeightIsStable(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		n    uint64
		want uint64
	}{
		{"", "", 0, 0x25fc6dd36ce04b20}, {"node-1", "node-2", 0, 0x75adc810dd5d85bd}, {"/", "room", 7, 0x3ce12962befc677f},
	} {
		if got := Weight(tt.a, tt.b, tt.n); got != tt.want {
			t.Errorf("Weight(%q, %q, %d) = %#x, want %#x", tt.a, tt.b, tt.n, got, tt.want)
		}
	}
	if Weight("ab", "c", 0) == Weight("a", "bc", 0) {
		t.Error("the border between the two texts doesn't count")
	}
}
