// Package latency helps to measure how long things take: it says what histograms of durations look
// like, and which of many messages are worth a measurement.
package latency

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Native histograms have buckets that are at most 10 % wider from one to the next, and as many of
// them as there are different durations, up to maxNativeBuckets. Beyond that they get wider, or
// start again if the last start is longer ago than an hour.
const (
	nativeFactor     = 1.1
	maxNativeBuckets = 100
	nativeReset      = time.Hour
)

// HistogramOpts describes a histogram of durations in seconds. It has the given buckets, and those of
// a native histogram for a Prometheus that takes them.
func HistogramOpts(name, help string, buckets ...float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name:                            name,
		Help:                            help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     nativeFactor,
		NativeHistogramMaxBucketNumber:  maxNativeBuckets,
		NativeHistogramMinResetDuration: nativeReset,
	}
}

// Observe adds a duration to a histogram. traceID names the trace that it belongs to, as an exemplar;
// it is empty for none.
func Observe(h prometheus.Observer, took time.Duration, traceID string) {
	if traceID != "" {
		if e, ok := h.(prometheus.ExemplarObserver); ok {
			e.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": traceID})
			return
		}
	}
	h.Observe(took.Seconds())
}
