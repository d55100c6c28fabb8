package cluster

import (
	"context"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// Put sets an entry of a table that all nodes share, until ttl has passed. Its error is
// [ErrUnavailable] while the bus is disconnected, [ErrTooLarge], or the bus's own.
func (m *Mesh) Put(ctx context.Context, table, key string, value []byte, ttl time.Duration) error {
	frame, err := m.sealEntry(m.entryChannel(table, key), value)
	if err != nil {
		return err
	}
	return m.bus.Put(ctx, m.table(table), key, frame, ttl)
}

// Remove removes an entry of a shared table. Its errors are those of [Mesh.Put].
func (m *Mesh) Remove(ctx context.Context, table, key string) error {
	return m.bus.Remove(ctx, m.table(table), key)
}

// Entry is the value of a key in a shared table.
type Entry struct {
	Value []byte
	// Outdated is true if the entry is signed with another key than the one this node signs with.
	// It becomes unreadable when that key is removed.
	Outdated bool
}

// Entries returns the entries of a shared table. Entries that no node has signed are left out and
// counted as lost. Its errors are those of [Mesh.Put].
func (m *Mesh) Entries(ctx context.Context, table string) (map[string]Entry, error) {
	frames, err := m.bus.Entries(ctx, m.table(table))
	if err != nil {
		return nil, err
	}
	entries := make(map[string]Entry, len(frames))
	for key, frame := range frames {
		entry, reason := m.openEntry(m.entryChannel(table, key), frame)
		if reason != "" {
			continue
		}
		entries[key] = entry
	}
	return entries, nil
}

// sealEntry returns the frame of a value for a channel.
func (m *Mesh) sealEntry(channel string, value []byte) ([]byte, error) {
	e := m.envelope()
	e.Body = &wire.Envelope_Entry{Entry: &wire.Entry{Value: value}}
	return m.sealer.seal(channel, e)
}

// openEntry returns what sealEntry has sealed for a channel, or why it is refused, and counts that.
func (m *Mesh) openEntry(channel string, frame []byte) (Entry, LossReason) {
	e, by, reason := m.sealer.openWith(channel, frame)
	if reason == "" && e.GetEntry() == nil {
		reason = LostMalformed
	}
	if reason != "" {
		m.observer.Lost(reason, 1)
		return Entry{}, reason
	}
	return Entry{Value: e.GetEntry().GetValue(), Outdated: by > 0}, ""
}

// entryChannel returns the channel that an entry is sealed for. Nothing is published on it.
func (m *Mesh) entryChannel(table, key string) string { return m.table(table) + "/" + key }
