package eventhub

import (
	"math/rand/v2"
	"testing"
)

// TestQueueAgainstSlice does random things to a queue and to a slice.
func TestQueueAgainstSlice(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q queue
	var want []entry
	bytes := 0
	for step := range 100_000 {
		if rising := step/5000%2 == 0; r.IntN(5) < 2 == rising && len(want) > 0 {
			got := q.pop()
			if got != want[0] {
				t.Fatalf("step %d: popped %v, want %v", step, got, want[0])
			}
			want = want[1:]
			bytes -= got.size
		} else {
			en := entry{id: uint64(step), size: r.IntN(1000)}
			q.push(en)
			want = append(want, en)
			bytes += en.size
		}
		if q.count != len(want) || q.bytes != bytes {
			t.Fatalf("step %d: %d entries of %d bytes, want %d of %d", step, q.count, q.bytes, len(want), bytes)
		}
		if q.count == 0 && len(q.ring) > keptRing {
			t.Fatalf("step %d: an empty queue keeps room for %d", step, len(q.ring))
		}
	}
}
