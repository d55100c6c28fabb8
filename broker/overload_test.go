package broker_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// roomyLimit is a memory limit that this process is far from, and can reach.
func roomyLimit() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(2*(m.Sys-m.HeapReleased)) + 64<<20
}

// fill holds memory until condition holds, and returns what lets go of it.
func fill(t *testing.T, limit int64, condition func() bool) (free func()) {
	t.Helper()
	var held [][]byte
	for size := int64(0); size < 2*limit && !condition(); size += 16 << 20 {
		held = append(held, make([]byte, 16<<20))
		runtime.GC()
	}
	eventually(t, "memory is short", condition)
	return func() {
		runtime.KeepAlive(held)
		held = nil
	}
}

func TestShortOfMemory(t *testing.T) {
	registry := prometheus.NewRegistry()
	limit := roomyLimit()
	node := brokertest.Start(t, broker.Options{
		Metrics: registry, MemoryLimit: limit,
		Relay: []broker.RelayRule{{Event: "shout", Emit: "heard", To: broker.RelayToBroadcast}},
	})
	ana, ben := node.Join("ana"), node.Join("ben")
	begun := node.Dial(nil)
	free := fill(t, limit, node.Overloaded)

	var refused *broker.Error
	_, err := node.Emit(t.Context(), broker.Target{Everyone: true}, broker.Message{Event: "x"})
	if !errors.As(err, &refused) || refused.Code != broker.CodeResourceExhausted || refused.Reason != broker.ReasonOverloaded {
		t.Errorf("Emit: %v", err)
	}
	_, err = node.EmitWithAck(t.Context(), broker.Target{Everyone: true}, broker.Message{Event: "x"}, broker.AckOptions{}, nil)
	if !errors.As(err, &refused) || refused.Reason != broker.ReasonOverloaded {
		t.Errorf("EmitWithAck: %v", err)
	}
	if answer := ana.Call("shout"); !strings.Contains(answer, `"code":"OVERLOADED"`) {
		t.Errorf("a relayed event is answered with %s", answer)
	}
	if _, err := node.TryDial(nil); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a new connection: %v", err)
	}
	if answer := begun.Connect("/", map[string]string{"token": node.Token("eve", broker.Permissions{})}); !strings.HasPrefix(answer, "40") {
		t.Errorf("one that had begun is answered with %s", answer)
	}
	ben.ExpectNothing()
	counted := gather(t, registry)
	for name, want := range map[string]float64{
		`sala_overloaded{}`:                                1,
		`sala_emits_shed_total{}`:                          3,
		`sala_sockets{namespace="/"}`:                      3,
		`sala_connects_refused_total{reason="OVERLOADED"}`: 1,
	} {
		if counted[name] != want {
			t.Errorf("%s is %v, want %v", name, counted[name], want)
		}
	}

	free()
	eventually(t, "memory is enough again", func() bool { return !node.Overloaded() })
	if answer := ana.Call("shout"); answer != `[{"ok":true}]` {
		t.Errorf("a relayed event is answered with %s", answer)
	}
	ben.Expect("heard", "[]")
	node.Join("carl")
	if got := gather(t, registry)["sala_overloaded{}"]; got != 0 {
		t.Errorf("sala_overloaded is %v", got)
	}
}

// A message of another node is dropped while memory is short, and the sender's report
// says so.
func TestAnotherNodeIsShortOfMemory(t *testing.T) {
	exchange := clustertest.NewExchange()
	registry := prometheus.NewRegistry()
	limit := roomyLimit()
	sender := brokertest.Start(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: exchange.Bus()}})
	other := brokertest.Start(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: exchange.Bus()}, Metrics: registry, MemoryLimit: limit})
	ana := other.Join("ana")
	target := broker.Target{Users: []string{"ana"}}
	eventually(t, "the nodes know each other", func() bool {
		return emit(t, sender, target, broker.Message{Event: "before"}).Queued == 1
	})
	fill(t, limit, other.Overloaded)
	if r := emit(t, sender, target, broker.Message{Event: "during"}); r.Matched != 1 || r.Queued != 0 || r.Dropped != 1 || r.Partial {
		t.Errorf("the report is %+v", r)
	}
	ana.Expect("before", "[]")
	ana.ExpectNothing()
	if got := gather(t, registry)[`sala_deliveries_dropped_total{reason="overloaded"}`]; got != 1 {
		t.Errorf("%v dropped messages were counted", got)
	}
}
