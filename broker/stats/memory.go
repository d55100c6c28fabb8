package stats

import "runtime/metrics"

// Memory returns the bytes that the process has taken from the system for Go.
func Memory() float64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	if samples[0].Value.Kind() != metrics.KindUint64 || samples[1].Value.Kind() != metrics.KindUint64 {
		return 0 // a release of Go without these metrics
	}
	return float64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
