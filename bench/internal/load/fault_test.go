package load

import (
	"strings"
	"testing"
)

func TestClimbersWantEverythingOnceAndInOrder(t *testing.T) {
	for name, c := range map[string]struct {
		packets string
		ok      bool
	}{
		"all of it":          {`42["all",7,1] 42["one",1,2] 6 431[{}] 42["all",8,3] 42["all",9,4] 432[] 42["one",2,5]`, true},
		"a gap":              {`42["all",7,1] 42["all",9,3]`, false},
		"twice":              {`42["all",7,1] 42["all",7,1]`, false},
		"late":               {`42["all",7,1] 42["all",9,4] 42["all",8,3]`, false},
		"late across kinds":  {`42["all",7,2] 42["one",1,1]`, false},
		"one's own first":    {`42["one",2,2]`, false},
		"one's own twice":    {`42["one",1,1] 42["one",1,2]`, false},
		"an ack is missing":  {`431[] 433[]`, false},
		"an ack twice":       {`431[] 431[]`, false},
		"another ack's text": {`4310[]`, false},
		"not an event":       {`41`, false},
		"nothing":            {``, false},
	} {
		var climber climber
		err := climber.receive(strings.Split(c.packets, " ")...)
		if (err == nil) != c.ok {
			t.Errorf("%s: got the error %v, want none: %v", name, err, c.ok)
		}
		if c.ok && (climber.all != 3 || climber.one != 2 || climber.acks != 2) {
			t.Errorf("%s: counted %+v", name, climber)
		}
	}
}

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
	if m[openConnections] != 3 || m[slowConsumers] != 12 || m.liveHeap() != 2<<20 {
		t.Errorf("got %v with a live heap of %v", m, m.liveHeap())
	}
	if _, err := parseMetrics(strings.NewReader("sala_connections three\n")); err == nil {
		t.Error("a metric that is no number is no error")
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{3: {3}, 2: {9, 1, 2}, 2.5: {4, 2, 9, 1, 3, 2}} {
		if got := median(values); got != want {
			t.Errorf("the median of %v is %v, want %v", values, got, want)
		}
	}
}
