package stats

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

// The tests run in bubbles of synctest. When the timers of a bubble fire on several processors,
// the race detector may crash: https://go.dev/issue/78156.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}

// A recorder has an hour of points, and series that begin later are 0 before.
func TestRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Recorder
		if series, end := r.Newest(10); series != nil || !end.IsZero() {
			t.Errorf("an empty recorder has %v until %v", series, end)
		}
		ctx, cancel := context.WithCancel(t.Context())
		n := -1 // the first sample is none of the points
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Run(ctx, func(time.Time) []Value {
				n++
				values := []Value{{"a", "", float64(n)}}
				if n > 2 && n != 5 {
					values = append(values, Value{"b", "x", 1}, Value{"b", "y", 2})
				}
				return values
			})
		}()
		<-time.After(6*Step + Step/2)
		series, end := r.Newest(Points)
		want := []Series{{"a", "", []float32{1, 2, 3, 4, 5, 6}}, {"b", "x", []float32{0, 0, 1, 1, 0, 1}}, {"b", "y", []float32{0, 0, 2, 2, 0, 2}}}
		if fmt.Sprint(series) != fmt.Sprint(want) || time.Since(end) != Step/2 {
			t.Errorf("got %v until %v", series, end)
		}
		<-time.After(2 * Points * Step)
		series, _ = r.Newest(Points + 100)
		if first := series[0].Values; len(first) != Points || first[0] != 2*Points+6-Points+1 || first[Points-1] != 2*Points+6 {
			t.Errorf("%d points from %v to %v", len(first), first[0], first[len(first)-1])
		}
		if series, _ = r.Newest(2); !slices.Equal(series[0].Values, []float32{2*Points + 5, 2*Points + 6}) {
			t.Errorf("the newest two are %v", series[0].Values)
		}
		cancel()
		<-done
	})
}

// However many causes there are, memory is fixed, and further points allocate nothing.
func TestRecorderIsBounded(t *testing.T) {
	var r Recorder
	values := make([]Value, 10*MaxSeries)
	for i := range values {
		values[i] = Value{"drops", fmt.Sprint(i), 1}
	}
	r.add(time.Now(), values)
	if series, _ := r.Newest(1); len(series) != MaxSeries {
		t.Errorf("%d series", len(series))
	}
	if n := testing.AllocsPerRun(100, func() { r.add(time.Now(), values) }); n != 0 {
		t.Errorf("a point allocates %v times", n)
	}
}

func TestMeter(t *testing.T) {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c"}, []string{"reason", "kind"})
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g"})
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Buckets: []float64{1, 2, 4}})
	var m Meter
	sample := func(now time.Time) map[string]float64 {
		m.Begin(now)
		m.Level("gauge", gauge)
		m.Rate("rate", counter)
		m.RateBy("by", "reason", counter)
		m.Quantiles("took", histogram)
		all := make(map[string]float64)
		for _, v := range m.End() {
			all[v.Name+" "+v.Label] = v.Value
		}
		return all
	}
	start := time.Now()
	counter.WithLabelValues("a", "x").Add(1000)
	histogram.Observe(3)
	sample(start)

	counter.WithLabelValues("a", "x").Add(5)
	counter.WithLabelValues("a", "y").Add(15)
	counter.WithLabelValues("b", "x").Add(20)
	gauge.Set(7)
	for i := range 100 {
		histogram.Observe(float64(i) / 50) // half of them in each of the first two buckets
	}
	got := sample(start.Add(20 * time.Second))
	for name, want := range map[string]float64{"gauge ": 7, "rate ": 2, "by a": 1, "by b": 1, "took p50": 1, "took p99": 2} {
		if math.Abs(got[name]-want) > .05 {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	histogram.Observe(1000)
	got = sample(start.Add(30 * time.Second))
	if got["rate "] != 0 || got["took p50"] != 4 {
		t.Errorf("afterwards: %v", got)
	}
	if got = sample(start.Add(40 * time.Second)); got["took p99"] != 0 {
		t.Errorf("without observations: %v", got)
	}
}

func TestMemory(t *testing.T) {
	if m := Memory(); m < 1<<20 || m > 1<<40 {
		t.Errorf("%v bytes", m)
	}
}
