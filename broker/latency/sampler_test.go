package latency

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// receive receives messages that come so far apart and returns how many of them are measured.
func receive(s *Sampler, messages int, apart time.Duration) (measured int) {
	for range messages {
		time.Sleep(apart) //nolint:forbidigo // the bubble's clock
		if s.Receive().Measured() {
			measured++
		}
	}
	return measured
}

// Slow messages are all measured, fast ones rarely, and slow ones that follow all again.
func TestSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSampler()
		if n := receive(s, 100, 10*time.Millisecond); n != 100 {
			t.Errorf("%d of 100 slow messages are measured", n)
		}
		if n := receive(s, 64_000, time.Microsecond); n < 1000 || n > 1010 {
			t.Errorf("%d of 64,000 fast messages are measured, want 1000 and the first few", n)
		}
		if n := receive(s, 1000, 10*time.Millisecond); n < 1000-2*maxEvery || n > 1000 {
			t.Errorf("%d of 1000 messages are measured after fast ones", n)
		}
		if n := receive(s, 100, 10*time.Millisecond); n != 100 {
			t.Errorf("%d of 100 slow messages are measured", n)
		}
	})
}

// The time passes from when the message was received, even if that was at the start.
func TestSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSampler()
		for range 2 {
			received := s.Receive()
			if !received.Measured() {
				t.Fatal("a message isn't measured")
			}
			time.Sleep(3 * time.Second) //nolint:forbidigo // the bubble's clock
			if took := s.Since(received).Round(time.Microsecond); took != 3*time.Second {
				t.Errorf("it took %s, want 3 s", took)
			}
		}
	})
}

// A histogram has the buckets that it was given, and native ones.
func TestHistogramOpts(t *testing.T) {
	registry, h := prometheus.NewRegistry(), prometheus.NewHistogram(HistogramOpts("h", "", .1, 1))
	registry.MustRegister(h)
	h.Observe(.2)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := families[0].GetMetric()[0].GetHistogram()
	if n := len(got.GetBucket()); n != 2 {
		t.Errorf("it has %d buckets, want 2", n)
	}
	if got.GetSchema() != 3 || len(got.GetPositiveSpan()) != 1 {
		t.Errorf("it has no native buckets of the schema 3: %v", got)
	}
}
