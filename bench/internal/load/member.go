package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// member is a backend in a process of its own.
type member struct {
	*child
	killed time.Time    // when it was about to be; zero if it wasn't
	count  atomic.Int64 // how many events it was handed
	handed []job.Handed // of the reading goroutine until the process has ended
}

// startMember starts a backend and waits until it has subscribed.
func startMember(ctx context.Context, j job.Job) (m *member, err error) {
	j.Kind = job.Backend
	m = &member{}
	m.child, err = startChild(ctx, j, func(h job.Handed) {
		m.handed = append(m.handed, h)
		m.count.Add(1)
	})
	return m, err
}

// alive returns an error if the backend has ended.
func (m *member) alive() error {
	select {
	case <-m.ended:
		return fmt.Errorf("a backend ended by itself: %w", m.failure)
	default:
		return nil
	}
}
