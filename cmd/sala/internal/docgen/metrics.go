package main

import (
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const metricsIntro = `# Metrics

Every metric of a broker. [Operations](../operations.md#metrics) says where to get them, and has a
dashboard, alerts, and what the values of the labels mean. A series with labels appears when it is
first counted. No label value comes from a client.

| metric | type | labels | value |
|---|---|---|---|
`

const metricsOutro = "| `go_…`, `process_…` | | | The Go runtime and the process: memory, CPU, open files. |\n"

var (
	metricName = regexp.MustCompile(`^sala_[a-z_]+[a-z]$`)
	labelName  = regexp.MustCompile(`^[a-z]+$`)
)

type metric struct {
	help   string
	labels []string
}

// metricsPage lists the metrics that the source creates.
func metricsPage(source []*ast.File, n notes) (string, error) {
	metrics := make(map[string]metric)
	for _, file := range source {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				addMetric(metrics, call)
			}
			return true
		})
	}
	names := slices.Sorted(maps.Keys(metrics))
	var page strings.Builder
	page.WriteString(metricsIntro)
	for _, name := range names {
		m, note := metrics[name], n.Metrics[name]
		labels := note.Labels
		for _, label := range m.labels {
			switch {
			case note.Labels == "" && labels == "":
				labels = code(label)
			case note.Labels == "":
				labels += ", " + code(label)
			case !strings.Contains(note.Labels, code(label)):
				return "", fmt.Errorf("notes.yaml: metrics.%s.labels lacks %s", name, label)
			}
		}
		help := plain(m.help)
		if note.More != "" {
			help += " " + note.More
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", name, kindOf(name), labels, help)
	}
	page.WriteString(metricsOutro)
	return page.String(), unknown("metrics", n.Metrics, names)
}

// addMetric adds the metric that a call creates: the innermost call whose literals are the name of a metric, its help and
// its labels.
func addMetric(metrics map[string]metric, call *ast.CallExpr) {
	literals := texts(call)
	if len(literals) < 2 || !metricName.MatchString(literals[0]) {
		return
	}
	m := metric{help: literals[1]}
	for _, label := range literals[2:] {
		if !labelName.MatchString(label) {
			break // a help text follows, so the call creates several
		}
		m.labels = append(m.labels, label)
	}
	// A call around this one has been here before, and knows the labels as well.
	if known, found := metrics[literals[0]]; !found || len(m.labels) > len(known.labels) {
		metrics[literals[0]] = m
	}
}

// kindOf returns the type that the name of a metric tells, by the conventions of Prometheus.
func kindOf(name string) string {
	switch {
	case strings.HasSuffix(name, "_total"):
		return "counter"
	case strings.HasSuffix(name, "_duration_seconds"):
		return "histogram"
	}
	return "gauge"
}
