package server

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// buildInfo returns the metric that says which program this is.
func buildInfo(version string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sala_build_info",
		Help: "Always 1, with the version of Sala, the revision of its source, and the version of Go that built it.",
		ConstLabels: prometheus.Labels{
			"version":   cmp.Or(version, "unknown"),
			"revision":  cmp.Or(revision(), "unknown"),
			"goversion": runtime.Version(),
		},
	})
	info.Set(1)
	return info
}

// revision is the commit that the Go tool has recorded in the binary; "" if it has recorded none.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
