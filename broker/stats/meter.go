package stats

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Meter turns metrics that only grow into values per second, and histograms into quantiles of what
// has come since the last sample. The zero value is ready. It is used by one goroutine.
type Meter struct {
	now, before time.Time
	totals      map[key]float64
	histograms  map[string]*dto.Histogram
	values      []Value
}

type key struct{ name, label string }

// Begin begins a sample.
func (m *Meter) Begin(now time.Time) {
	m.before, m.now, m.values = m.now, now, nil
	if m.totals == nil {
		m.totals, m.histograms = make(map[key]float64), make(map[string]*dto.Histogram)
	}
}

// End returns the values of the sample.
func (m *Meter) End() []Value { return m.values }

// Set adds the value of a series.
func (m *Meter) Set(name string, value float64) {
	m.values = append(m.values, Value{Name: name, Value: value})
}

// Level adds the value of a gauge.
func (m *Meter) Level(name string, gauge prometheus.Collector) {
	each(gauge, func(metric *dto.Metric) { m.Set(name, metric.GetGauge().GetValue()) })
}

// Rate adds how fast the counters of a collector have grown together.
func (m *Meter) Rate(name string, c prometheus.Collector) {
	total := 0.0
	each(c, func(metric *dto.Metric) { total += metric.GetCounter().GetValue() })
	m.rate(key{name, ""}, total)
}

// RateBy adds how fast the counters of collectors have grown, for each value of a label.
func (m *Meter) RateBy(name, label string, collectors ...prometheus.Collector) {
	totals := make(map[string]float64)
	for _, c := range collectors {
		each(c, func(metric *dto.Metric) {
			for _, pair := range metric.GetLabel() {
				if pair.GetName() == label {
					totals[pair.GetValue()] += metric.GetCounter().GetValue()
				}
			}
		})
	}
	for value, total := range totals {
		m.rate(key{name, value}, total)
	}
}

func (m *Meter) rate(k key, total float64) {
	grown := max(total-m.totals[k], 0)
	m.totals[k] = total
	seconds := Step.Seconds()
	if !m.before.IsZero() {
		seconds = max(m.now.Sub(m.before).Seconds(), 1e-3)
	}
	m.values = append(m.values, Value{k.name, k.label, grown / seconds})
}

// Quantiles adds the 50th and the 99th percentile of what a histogram has observed since the last
// sample: 0 for nothing.
func (m *Meter) Quantiles(name string, h prometheus.Collector) {
	var now *dto.Histogram
	each(h, func(metric *dto.Metric) { now = metric.GetHistogram() })
	before := m.histograms[name]
	m.histograms[name] = now
	m.values = append(m.values,
		Value{name, "p50", quantile(.5, before, now)},
		Value{name, "p99", quantile(.99, before, now)})
}

// quantile interpolates within a bucket, as Prometheus does. A value beyond the last bucket counts
// as its bound.
func quantile(q float64, before, now *dto.Histogram) float64 {
	total := float64(now.GetSampleCount()) - float64(before.GetSampleCount())
	if total <= 0 {
		return 0
	}
	rank, low, below := q*total, 0.0, 0.0
	for i, bucket := range now.GetBucket() {
		n := float64(bucket.GetCumulativeCount())
		if i < len(before.GetBucket()) {
			n -= float64(before.GetBucket()[i].GetCumulativeCount())
		}
		high := bucket.GetUpperBound()
		if n >= rank {
			return low + (high-low)*(rank-below)/(n-below)
		}
		low, below = high, n
	}
	return low
}

// each calls visit with each metric of a collector.
func each(c prometheus.Collector, visit func(*dto.Metric)) {
	metrics := make(chan prometheus.Metric)
	go func() {
		defer close(metrics)
		c.Collect(metrics)
	}()
	for metric := range metrics {
		var written dto.Metric
		if err := metric.Write(&written); err == nil {
			visit(&written)
		}
	}
}
