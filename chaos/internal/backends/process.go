package backends

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// backendRole is the role of a child that is a backend.
const backendRole = "backend"

// startTimeout is how long a backend may take to subscribe.
const startTimeout = time.Minute

// Roles returns the roles of children that this scenario needs.
func Roles() map[string]process.Role {
	return map[string]process.Role{backendRole: process.NewRole(runBackend)}
}

// backendConfig configures a backend.
type backendConfig struct {
	Target process.Target
	// Think is how long it takes for an answer.
	Think time.Duration
}

// delivery is the delivery of an event to a backend.
type delivery struct {
	// Number is the event's.
	Number uint64
	// Redelivered says that another backend may have received the event before.
	Redelivered bool
	// At is when the backend read it.
	At time.Time
}

// backendProcess is a backend in a process of its own.
type backendProcess struct {
	*process.Child
	killed     time.Time    // shortly before it was; zero if it was not
	count      atomic.Int64 // of deliveries
	deliveries []delivery   // of the reading goroutine until the process has ended
}

// startBackend starts a backend and waits until it has subscribed. It reports each delivery before
// it handles it, so that none is lost when it is killed.
func startBackend(ctx context.Context, c backendConfig) (b *backendProcess, err error) {
	b = &backendProcess{}
	b.Child, err = process.StartChild(ctx, backendRole, c, func(note json.RawMessage) {
		var d delivery
		if err := json.Unmarshal(note, &d); err != nil {
			slog.Error("a backend's note", "error", err)
			return
		}
		b.deliveries = append(b.deliveries, d)
		b.count.Add(1)
	})
	if err != nil {
		return nil, err
	}
	return b, b.AwaitReady(startTimeout)
}

// pendingAnswer is an event whose answer is due at a time.
type pendingAnswer struct {
	event *salav1.ClientEvent
	due   time.Time
}

// runBackend answers events after the configured time. It returns only with an error, since it is
// ended by killing it.
func runBackend(ctx context.Context, c backendConfig, notify func(any)) (any, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s, err := load.Subscribe(ctx, &c.Target)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	notify(process.Ready{})
	pending := make(chan pendingAnswer, load.Credits) // there are never more, since credits are renewed after answers
	go func() {
		for {
			select {
			case p := <-pending:
				err := load.Sleep(ctx, time.Until(p.due))
				if err == nil {
					err = s.Answer(p.event)
				}
				if err != nil {
					fail(err)
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		event, err := s.Next()
		if err != nil {
			fail(err) // unless answering has failed before
			return nil, context.Cause(ctx)
		}
		now := time.Now()
		number, _, _, _ := load.NextPayload([]byte(event.GetArgsJson())) // 0 is no event's number
		notify(delivery{Number: number, Redelivered: event.GetRedelivered(), At: now})
		pending <- pendingAnswer{event: event, due: now.Add(c.Think)}
	}
}
