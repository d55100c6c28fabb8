package load

import (
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	last := -1
	for _, v := range []uint64{0, 1, 127, 128, 129, 255, 256, 257, 258, 1000, 65535, 65536, 1 << 40, 1<<63 - 1} {
		i := bucket(v)
		if i < last {
			t.Errorf("bucket(%d) = %d comes before the one of a smaller value, %d", v, i, last)
		}
		if upper(i) < v {
			t.Errorf("the bucket of %d ends at %d", v, upper(i))
		}
		if i > 0 && upper(i-1) >= v {
			t.Errorf("the bucket before that of %d ends at %d", v, upper(i-1))
		}
		last = i
	}
}

func TestQuantile(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.99); got != 0 {
		t.Errorf("an empty Histogram has the quantile %v", got)
	}
	for i := range 1000 {
		h.Record(time.Duration(i+1) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond, 1: time.Millisecond} {
		got := h.Quantile(q)
		if error := (got - want).Abs(); error > want/100 {
			t.Errorf("quantile(%v) = %v, want about %v", q, got, want)
		}
	}
}
