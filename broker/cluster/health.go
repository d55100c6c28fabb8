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

// health is what a node knows of whether the cluster works for it: not whether
// its bus is connected, but whether what it says comes back to it, whether it
// may write to the tables, and whether the others are there.
type health struct {
	log *slog.Logger

	mu      sync.Mutex
	echoed  time.Time   // when this node last heard itself, or had to begin to
	deaf    bool        // it hasn't for too long, though its bus is connected
	publish [2]error    // of the last heartbeat by each channel
	table   error       // of the last write to a table
	absent  [2][]string // the nodes that did not get the last heartbeat by each channel
}

// restart gives the node a new start: it may not have heard itself for a reason.
func (h *health) restart(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.echoed = now
}

// heardSelf takes in that a heartbeat of this node's has come back. It reports
// whether the node was deaf before.
func (h *health) heardSelf(now time.Time) (recovered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	recovered, h.deaf, h.echoed = h.deaf, false, now
	if recovered {
		h.log.Info("this node hears its own messages through the cluster's bus again")
	}
	return recovered
}

// check reports whether the node has just been found to be deaf.
func (h *health) check(now time.Time, after time.Duration) (found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.deaf || now.Sub(h.echoed) <= after {
		return false
	}
	h.deaf = true
	h.log.Error("this node is isolated: its bus is connected, but its own messages don't come back", "error", h.isolation())
	return true
}

// silence returns for how long the node hasn't heard itself.
func (h *health) silence(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Sub(h.echoed)
}

// isDeaf reports whether the node doesn't hear itself.
func (h *health) isDeaf() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.deaf
}

// isolation returns why the node doesn't hear itself. The caller holds mu.
func (h *health) isolation() error {
	if err := cmp.Or(h.publish[:]...); err != nil {
		return fmt.Errorf("messages to other nodes can't be published: %w", err)
	}
	return errors.New("what this node publishes doesn't come back to it")
}

// published takes in what became of a heartbeat by one of the channels: the error, or
// who did not get it.
func (h *health) published(channel uint64, absent []NodeID, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(&h.publish[channel], err, "messages to other nodes can't be published")
	if err != nil {
		return
	}
	names := make([]string, len(absent))
	for i, id := range absent {
		names[i] = string(id)
		if !slices.Contains(h.missed(), names[i]) {
			h.log.Warn("a node doesn't hear the others: it has lost its connection to the bus, or was killed; answers are partial until it is back or taken for lost", "node", names[i])
		}
	}
	h.absent[channel] = names
}

// missed returns the nodes that did not get one of the last heartbeats. The caller
// holds mu.
func (h *health) missed() []string {
	names := slices.Concat(h.absent[:]...)
	slices.Sort(names)
	return slices.Compact(names)
}

// wroteTable takes in what became of a write to a table.
func (h *health) wroteTable(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(&h.table, err, "the tables that nodes share can't be written")
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

// trouble returns what doesn't work, nil if all does.
func (h *health) trouble() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.deaf:
		return h.isolation()
	case cmp.Or(h.publish[:]...) != nil:
		return fmt.Errorf("messages to other nodes can't be published: %w", cmp.Or(h.publish[:]...))
	case h.table != nil:
		return fmt.Errorf("the tables that nodes share can't be written: %w", h.table)
	}
	return nil
}

// Health returns what doesn't work between this node and the others, and what
// to do about it; nil if everything does. A node in trouble may still be
// [Connected], where only a part of it doesn't work.
func (m *Mesh) Health() error {
	if err := m.bus.Health(); err != nil {
		return err
	}
	if err := m.health.trouble(); err != nil {
		return err
	}
	return m.clocks.trouble(m.now())
}

// Unreachable returns how many nodes that this one knows can't be reached at the moment.
func (m *Mesh) Unreachable() int { return m.health.unreachable() }
