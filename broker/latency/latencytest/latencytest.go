// Package latencytest looks into histograms of durations for tests.
package latencytest

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Trace returns the id of the trace that an exemplar of a histogram names; "" if there is none.
func Trace(t testing.TB, registry *prometheus.Registry, name string) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, bucket := range m.GetHistogram().GetBucket() {
				for _, label := range bucket.GetExemplar().GetLabel() {
					if label.GetName() == "trace_id" {
						return label.GetValue()
					}
				}
			}
		}
	}
	return ""
}
