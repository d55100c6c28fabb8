package ratelimit

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	type step struct {
		at   time.Duration
		n    int64
		want bool
	}
	for name, test := range map[string]struct {
		rate  Rate
		steps []step
	}{
		"no limit":                 {Rate{}, []step{{0, 1 << 40, true}, {0, 1 << 40, true}}},
		"at the limit, and over":   {Rate{10, 2}, []step{{0, 1, true}, {0, 1, true}, {0, 1, false}}},
		"at once":                  {Rate{10, 20}, []step{{0, 20, true}, {0, 1, false}}},
		"never fits":               {Rate{10, 20}, []step{{time.Hour, 21, false}, {time.Hour, 20, true}}},
		"refilled, and no earlier": {Rate{10, 1}, []step{{0, 1, true}, {100*time.Millisecond - 1, 1, false}, {100 * time.Millisecond, 1, true}}},
		"refilled up to the burst": {Rate{10, 2}, []step{{0, 2, true}, {time.Hour, 2, true}, {time.Hour, 1, false}}},
		"what is refused is free":  {Rate{10, 10}, []step{{0, 10, true}, {0, 5, false}, {0, 5, false}, {500 * time.Millisecond, 5, true}}},
		"the largest numbers":      {Rate{MaxRate, MaxRate}, []step{{0, MaxRate, true}, {0, MaxRate, false}, {time.Second, MaxRate, true}}},
		"slow":                     {Rate{1, MaxRate}, []step{{0, MaxRate, true}, {0, 1, false}, {time.Second, 1, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			var b Bucket
			for i, s := range test.steps {
				if got := b.Take(test.rate, s.n, s.at); got != s.want {
					t.Fatalf("step %d, %d at %s: %v, want %v", i, s.n, s.at, got, s.want)
				}
			}
		})
	}
}

// Compares with a bucket that keeps its level.
func TestBucketAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		rate := Rate{PerSecond: []int64{1, 2, 5, 10, 1000}[r.IntN(5)], Burst: 1 + r.Int64N(50)}
		each := time.Second / time.Duration(rate.PerSecond) // these divide it
		var b Bucket
		level, now := time.Duration(rate.Burst)*each, time.Duration(0) // as the time that it took to refill
		for range 500 {
			pause := time.Duration(r.Int64N(int64(3 * each)))
			now += pause
			level = min(level+pause, time.Duration(rate.Burst)*each)
			n := r.Int64N(rate.Burst + 3)
			want := time.Duration(n)*each <= level
			if want {
				level -= time.Duration(n) * each
			}
			if got := b.Take(rate, n, now); got != want {
				t.Fatalf("%+v: %d at %s: %v, want %v", rate, n, now, got, want)
			}
			if full := level == time.Duration(rate.Burst)*each; b.Full(now) != full {
				t.Fatalf("%+v at %s: full is %v, want %v", rate, now, b.Full(now), full)
			}
		}
	}
}

func TestSpend(t *testing.T) {
	var b Bucket
	r := Rate{PerSecond: 100, Burst: 200}
	for i, s := range []struct {
		at   time.Duration
		n    int64
		want time.Duration
	}{{0, 200, 0}, {0, 10, 100 * time.Millisecond}, {0, 90, time.Second}, {time.Second, 0, 0}, {time.Second, 1, 10 * time.Millisecond}, {time.Hour, 200, 0}} {
		if got := b.Spend(r, s.n, s.at); got != s.want {
			t.Errorf("step %d: %s, want %s", i, got, s.want)
		}
	}
	if b.Spend(Rate{}, 1<<40, 0) != 0 {
		t.Error("without a rate there is a wait")
	}
}
