package cluster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// memoryInboxBytes bounds what a node on an [Exchange] may have waiting.
const memoryInboxBytes = 64 << 20

// Exchange joins nodes within one process, for tests. It behaves as a [Bus] on
// Redis does, without the network. All methods may be called concurrently.
type Exchange struct {
	mu     sync.Mutex
	buses  map[*memoryBus]struct{} // those that run
	down   bool
	tables map[string]map[string]tableEntry
}

type tableEntry struct {
	value   []byte
	expires time.Time
}

// NewExchange returns an exchange that is up.
func NewExchange() *Exchange {
	return &Exchange{
		buses:  make(map[*memoryBus]struct{}),
		tables: make(map[string]map[string]tableEntry),
	}
}

// Bus returns a new bus on x, for one node.
func (x *Exchange) Bus() Bus {
	return &memoryBus{exchange: x, inbox: NewInbox(memoryInboxBytes), wanted: make(map[string]chan struct{})}
}

// SetDown disconnects every bus, or connects them again. The tables stay.
func (x *Exchange) SetDown(down bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.down == down {
		return
	}
	x.down = down
	for bus := range x.buses {
		bus.setState(!down)
	}
}

// Clear empties the tables, as a Redis does that restarts without its data.
func (x *Exchange) Clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	clear(x.tables)
}

// memoryBus is one node's bus on an exchange. Everything in it but the inbox
// is guarded by exchange.mu.
type memoryBus struct {
	exchange *Exchange
	inbox    *Inbox

	up     bool
	wanted map[string]chan struct{} // closed where effective
}

// Run implements [Bus].
func (b *memoryBus) Run(ctx context.Context, receiver Receiver) error {
	x := b.exchange
	x.mu.Lock()
	x.buses[b] = struct{}{}
	b.setState(!x.down)
	x.mu.Unlock()

	b.inbox.Run(ctx, receiver)

	x.mu.Lock()
	defer x.mu.Unlock()
	b.setState(false)
	delete(x.buses, b)
	return nil
}

// setState connects or disconnects. The caller holds exchange.mu.
func (b *memoryBus) setState(up bool) {
	if b.up == up {
		return
	}
	b.up = up
	state := Disconnected
	for channel, effective := range b.wanted {
		if up {
			close(effective)
		} else {
			b.wanted[channel] = make(chan struct{})
		}
	}
	if up {
		state = Connected
	}
	b.inbox.AddState(state)
}

// Publish implements [Bus].
func (b *memoryBus) Publish(ctx context.Context, batch []Message) ([]int, error) {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	receivers := make([]int, len(batch))
	if err := b.usable(ctx); err != nil {
		for i := range receivers {
			receivers[i] = -1
		}
		return receivers, err
	}
	for i, m := range batch {
		for other := range x.buses {
			if _, ok := other.wanted[m.Channel]; ok && other.up {
				other.inbox.Add(Message{Channel: m.Channel, Payload: slices.Clone(m.Payload)})
				receivers[i]++
			}
		}
	}
	return receivers, nil
}

// usable returns why the bus can't be used, if so. The caller holds exchange.mu.
func (b *memoryBus) usable(ctx context.Context) error {
	if !b.up {
		return ErrUnavailable
	}
	return ctx.Err()
}

// Subscribe implements [Bus].
func (b *memoryBus) Subscribe(channel string) <-chan struct{} {
	b.exchange.mu.Lock()
	defer b.exchange.mu.Unlock()
	effective, ok := b.wanted[channel]
	if !ok {
		effective = make(chan struct{})
		b.wanted[channel] = effective
		if b.up {
			close(effective)
		}
	}
	return effective
}

// Unsubscribe implements [Bus].
func (b *memoryBus) Unsubscribe(channel string) {
	b.exchange.mu.Lock()
	defer b.exchange.mu.Unlock()
	delete(b.wanted, channel)
}

// State implements [Bus].
func (b *memoryBus) State() State {
	b.exchange.mu.Lock()
	defer b.exchange.mu.Unlock()
	if b.up {
		return Connected
	}
	return Disconnected
}

// Put implements [Bus].
func (b *memoryBus) Put(ctx context.Context, table, key string, value []byte, ttl time.Duration) error {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := b.usable(ctx); err != nil {
		return err
	}
	if x.tables[table] == nil {
		x.tables[table] = make(map[string]tableEntry)
	}
	x.tables[table][key] = tableEntry{value: slices.Clone(value), expires: time.Now().Add(ttl)}
	return nil
}

// Remove implements [Bus].
func (b *memoryBus) Remove(ctx context.Context, table, key string) error {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := b.usable(ctx); err != nil {
		return err
	}
	delete(x.tables[table], key)
	return nil
}

// Entries implements [Bus].
func (b *memoryBus) Entries(ctx context.Context, table string) (map[string][]byte, error) {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	now := time.Now()
	maps.DeleteFunc(x.tables[table], func(_ string, e tableEntry) bool { return !e.expires.After(now) })
	entries := make(map[string][]byte, len(x.tables[table]))
	for key, e := range x.tables[table] {
		entries[key] = slices.Clone(e.value)
	}
	return entries, nil
}
