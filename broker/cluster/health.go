package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// health keeps whether the cluster works for this node: not whether its bus is connected, but
// whether its own messages come back, whether it can write tables, and whether the other nodes get
// its messages.
type health struct {
	log *slog.Logger

	mu       sync.Mutex
	lastEcho time.Time   // when this node's own heartbeat last came back, or began to be waited for
	isolated bool        // no echo has come for too long, although the bus is connected
	publish  [2]error    // of the last heartbeat over each channel
	table    error       // of the last write to a table
	absent   [2][]string // the nodes that did not get the last heartbeat over each channel
}

// restart begins to wait for an echo, after a time in which none could come.
func (h *health) restart(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastEcho = now
}

// echoed records that a heartbeat of this node has come back. It reports whether the node was
// isolated.
func (h *health) echoed(now time.Time) (recovered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	recovered, h.isolated, h.lastEcho = h.isolated, false, now
	if recovered {
		h.log.Info("this node is no longer isolated: its own messages come back again")
	}
	return recovered
}

// check reports whether the node has just become isolated.
func (h *health) check(now time.Time, after time.Duration) (found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isolated || now.Sub(h.lastEcho) <= after {
		return false
	}
	h.isolated = true
	h.log.Error("this node is isolated: its bus is connected, but its own messages don't come back", "error", h.isolationError())
	return true
}

// silence returns how long no echo has come.
func (h *health) silence(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Sub(h.lastEcho)
}

// isIsolated reports whether the node's own messages don't come back.
func (h *health) isIsolated() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.isolated
}

// isolationError returns why no echo comes. The caller holds mu.
func (h *health) isolationError() error {
	if err := cmp.Or(h.publish[:]...); err != nil {
		return fmt.Errorf("can't publish messages to other nodes: %w", err)
	}
	return errors.New("this node's own messages don't come back")
}

// published records what became of a heartbeat over one of the channels: its error, or the nodes
// that did not get it.
func (h *health) published(channel uint64, absent []NodeID, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(&h.publish[channel], err, "can't publish messages to other nodes")
	if err != nil {
		return
	}
	names := make([]string, len(absent))
	for i, id := range absent {
		names[i] = string(id)
		if !slices.Contains(h.missed(), names[i]) {
			h.log.Warn("a node doesn't get messages: it has lost its connection to the bus, or was killed; answers are partial until it is back or taken for lost", "node", names[i])
		}
	}
	h.absent[channel] = names
}

// missed returns the nodes that did not get one of the last heartbeats. The caller holds mu.
func (h *health) missed() []string {
	names := slices.Concat(h.absent[:]...)
	slices.Sort(names)
	return slices.Compact(names)
}

// wroteTable records the error of a write to a table.
func (h *health) wroteTable(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(&h.table, err, "can't write the shared tables")
}

// note keeps an error and logs it when it changes. The caller holds mu.
func (h *health) note(kept *error, err error, what string) {
	switch {
	case err != nil && (*kept == nil || (*kept).Error() != err.Error()):
		h.log.Error(what, "error", err)
	case err == nil && *kept != nil:
		h.log.Info(what + ": solved")
	}
	*kept = err
}

// unreachable returns how many nodes did not get the last heartbeat.
func (h *health) unreachable() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.missed())
}

// problem returns what doesn't work, or nil.
func (h *health) problem() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.isolated:
		return h.isolationError()
	case cmp.Or(h.publish[:]...) != nil:
		return fmt.Errorf("can't publish messages to other nodes: %w", cmp.Or(h.publish[:]...))
	case h.table != nil:
		return fmt.Errorf("can't write the shared tables: %w", h.table)
	}
	return nil
}

// Health returns what doesn't work between this node and the others and what to do about it, or nil
// if everything works. If only a part doesn't work, the node may still be [Connected].
func (m *Mesh) Health() error {
	if err := m.bus.Health(); err != nil {
		return err
	}
	if err := m.health.problem(); err != nil {
		return err
	}
	return m.clocks.problem(m.now())
}

// Unreachable returns how many of the cluster's nodes can't be reached at the moment.
func (m *Mesh) Unreachable() int { return m.health.unreachable() }
