package cluster

import (
	"context"
	"fmt"
	"time"
)

// SetNew sets a value that all nodes share until ttl has passed, unless there is one by that name. It
// returns the value that was there, and whether there was one. Of several nodes that call it at once,
// exactly one finds none. After an error, the value may be set all the same.
//
// The error is [ErrUnavailable] while the bus is disconnected, [ErrTooLarge], or the bus's own. It is an
// error, too, if no node of this cluster has signed the value that is there.
func (m *Mesh) SetNew(ctx context.Context, name string, value []byte, ttl time.Duration) (existing []byte, found bool, err error) {
	channel := m.value(name)
	frame, err := m.sealEntry(channel, value)
	if err != nil {
		return nil, false, err
	}
	frame, err = m.bus.SetNew(ctx, channel, frame, ttl)
	if err != nil || frame == nil {
		return nil, false, err
	}
	entry, reason := m.openEntry(channel, frame)
	if reason != "" {
		return nil, false, fmt.Errorf("cluster: a shared value can't be read: %s", reason)
	}
	return entry.Value, true, nil
}

// Set sets a value that all nodes share until ttl has passed, whether or not there is one by that name.
// Its errors are those of [Mesh.SetNew].
func (m *Mesh) Set(ctx context.Context, name string, value []byte, ttl time.Duration) error {
	channel := m.value(name)
	frame, err := m.sealEntry(channel, value)
	if err != nil {
		return err
	}
	return m.bus.Set(ctx, channel, frame, ttl)
}
