// Package observe looks at a server during a scenario: at its metrics and the kernel's view of it,
// and through clients that check everything they receive.
//
//	metrics.go     the server's metrics
//	observer.go    metrics after garbage collection
//	kernel.go      connections, as the kernel counts them
//	health.go      the liveness check
//	bystanders.go  clients that do nothing wrong, and what others cost them
//	watchers.go    clients that check each message and each answer
package observe

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// garbageSize is the size of the messages to nobody that make the server collect its garbage.
	garbageSize = 64 << 10
	// garbageMessages is how many of them are sent before the metrics are read again.
	garbageMessages = 50
	// collectionsWanted is how many garbage collections must pass: one may have been under way.
	collectionsWanted = 3
)

// KeptReaders returns how many goroutines a server of Sala may keep to read connections with: 16
// for each processor.
func KeptReaders() float64 { return float64(16 * runtime.NumCPU()) }

// Observer reads the metrics of a server and can call its API.
type Observer struct {
	*Scraper
	// Control is a connection to the control API.
	Control *grpc.ClientConn

	target  *process.Target
	timeout time.Duration
}

// NewObserver returns an observer of a server. Timeout bounds how long [Observer.Settle] waits.
func NewObserver(t *process.Target, timeout time.Duration) (*Observer, error) {
	control, err := t.DialControl()
	if err != nil {
		return nil, err
	}
	return &Observer{Scraper: NewScraper(t), Control: control, target: t, timeout: timeout}, nil
}

// Close closes the connections.
func (o *Observer) Close() {
	o.Scraper.Close()
	o.Control.Close()
}

// Always accepts all metrics.
func Always(Metrics) bool { return true }

// Settle returns the metrics once the server has collected its garbage and they are as wanted, or
// the timeout is over. It makes the server collect garbage by emitting messages to nobody.
func (o *Observer) Settle(ctx context.Context, wanted func(Metrics) bool) (Metrics, error) {
	first, err := o.Read(ctx)
	if err != nil {
		return nil, err
	}
	messages := salav1.NewMessageServiceClient(o.Control)
	payload := []byte(`"` + strings.Repeat("x", garbageSize) + `"`)
	var failed error
	m, err := o.Await(ctx, o.timeout, func(m Metrics) bool {
		if m[collections] >= first[collections]+collectionsWanted {
			return wanted(m)
		}
		for range garbageMessages {
			if _, failed = messages.Emit(o.target.Authorize(ctx), load.NewEmit("nobody", payload)); failed != nil {
				return true
			}
		}
		return false
	})
	return m, errors.Join(err, failed)
}
