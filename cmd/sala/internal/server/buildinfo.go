package server

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
)

// buildInfoMetric says which program this is.
func buildInfoMetric(build buildinfo.Info) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sala_build_info",
		Help: "Always 1, with the version of Sala, the revision of its source, and the version of Go that built it.",
		ConstLabels: prometheus.Labels{
			"version":   cmp.Or(build.Version, "unknown"),
			"revision":  cmp.Or(build.Commit, "unknown"),
			"goversion": build.Go,
		},
	})
	info.Set(1)
	return info
}
