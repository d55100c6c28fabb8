package broker

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/stats"
	"github.com/salabroker/sala/broker/token"
)

// A sample has a value for each series, also for those that have no data yet.
func TestSample(t *testing.T) {
	ring, err := token.NewKeyring(token.Options{Keys: []token.Key{{Secret: []byte(strings.Repeat("s", 32))}}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{Tokens: ring})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Shutdown(context.Background()) })
	meter := &stats.Meter{}
	meter.Begin(time.Now())
	b.sample(meter)
	names := make(map[string]int)
	for _, v := range meter.End() {
		names[v.Name]++
	}
	for _, name := range []string{
		"connections", "sockets", "sockets_away", "rooms", "memory", "messages_in", "messages_out", "emits",
		"events_to_backends", "refused_connects", "limits",
	} {
		if names[name] != 1 {
			t.Errorf("%d values of %s", names[name], name)
		}
	}
	if names["emit_latency"] != 2 || names["delivery_latency"] != 2 {
		t.Errorf("the quantiles are %v", names)
	}
}
