package observe

import (
	"strings"
	"testing"
)

func TestMetrics(t *testing.T) {
	m, err := parseMetrics(strings.NewReader(`# HELP sala_connections Open connections.
# TYPE sala_connections gauge
sala_connections 3
sala_connections_closed_total{reason="slow consumer"} 12
go_memstats_next_gc_bytes 4.194304e+06
go_gc_gogc_percent 100
`))
	if err != nil {
		t.Fatal(err)
	}
	if m[Connections] != 3 || m[SlowConsumers] != 12 || m.LiveHeap() != 2<<20 {
		t.Errorf("got %v with a live heap of %v", m, m.LiveHeap())
	}
	if _, err := parseMetrics(strings.NewReader("sala_connections three\n")); err == nil {
		t.Error("a metric that is not a number was accepted")
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{3: {3}, 2: {9, 1, 2}, 2.5: {4, 2, 9, 1, 3, 2}} {
		if got := Median(values); got != want {
			t.Errorf("the median of %v is %v, want %v", values, got, want)
		}
	}
}
