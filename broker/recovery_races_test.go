package broker_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/eventhub"
)

// ways are what a client does between two connections. Each returns the connection over
// which the client goes on.
var ways = map[string]func(ana *absence) *brokertest.Client{
	"after a cut": func(ana *absence) *brokertest.Client {
		ana.client.Close()
		return ana.ReturnTo(ana.token, ana.session)
	},
	"before the old connection ends": func(ana *absence) *brokertest.Client {
		old := ana.client
		c := ana.ReturnTo(ana.token, ana.session)
		go func() { // whatever comes of the old connection now is late
			old.TrySend("3")
			old.TrySend(`42["late"]`)
			old.Close()
		}()
		return c
	},
	"cut again between CONNECT and the first event": func(ana *absence) *brokertest.Client {
		ana.client.Close()
		ana.ReturnTo(ana.token, ana.session).Close()
		return ana.ReturnTo(ana.token, ana.session)
	},
	"over two connections at once": func(ana *absence) *brokertest.Client {
		ana.client.Close()
		first, second := ana.Dial(nil), ana.Dial(nil)
		for _, c := range []*brokertest.Client{first, second} {
			c.TrySend(fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q,"offset":%q}`, ana.token, ana.session.PID, ana.session.Offset))
		}
		return ana.ReturnTo(ana.token, ana.session)
	},
}

// TestNothingIsLostOrDoubled emits all the time to a client that keeps losing its
// connection, at any moment.
func TestNothingIsLostOrDoubled(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			ana := startAbsence(t, broker.Options{Recovery: &broker.RecoveryOptions{MaxMessages: 100_000}}, brokertest.Start)
			const total = 4000
			var received atomic.Int64
			var emitting sync.WaitGroup
			emitting.Go(func() {
				for n := range int64(total) {
					for n > received.Load()+200 { // so that cuts fall everywhere
						time.Sleep(10 * time.Microsecond)
					}
					args := fmt.Appendf(nil, "[%d]", n+1)
					if _, err := ana.Emit(t.Context(), broker.Target{Users: []string{"ana"}}, broker.Message{Event: "e", Args: args}); err != nil {
						t.Errorf("Emit: %v", err)
					}
				}
			})
			defer emitting.Wait()
			cuts := 0
			for received.Load() < total {
				for range min(rand.Int64N(150), total-received.Load()) {
					e, ok := ana.client.TryNext()
					if !ok {
						break
					}
					if want := fmt.Sprintf("[%d]", received.Add(1)); e.Args != want {
						t.Fatalf("after %d cuts ana got %s, want %s", cuts, e.Args, want)
					}
				}
				if received.Load() < total {
					cuts++
					ana.client = way(ana)
					if !ana.session.Recovered {
						t.Fatalf("after %d cuts ana isn't recovered", cuts)
					}
				}
			}
			ana.want()
			if late := ana.backend.has(eventhub.Message); len(late) > 0 && strings.Contains(strings.Join(late, " "), "late") {
				t.Errorf("events of replaced connections have come: %q", late)
			}
			if _, err := ana.Disconnect(t.Context(), broker.Target{Users: []string{"ana"}}, ""); err != nil {
				t.Error(err)
			}
			ana.wantMetric(`sala_session_bytes{}`, 0)
		})
	}
}
