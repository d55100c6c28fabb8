package cluster

import (
	"context"
	"errors"
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

// Fault is what can happen to one bus on an [Exchange].
type Fault uint8

// The faults there are.
const (
	// Healthy: nothing is wrong.
	Healthy Fault = iota
	// Severed: its connections are closed, and it notices.
	Severed
	// Unsubscribed: the connection that it hears on is closed, and it doesn't
	// notice.
	Unsubscribed
	// Deaf: what is sent to it never arrives, and nobody notices.
	Deaf
	// Mute: what it publishes is refused. It hears the others.
	Mute
	// Stalled: what it publishes never gets there, and there is no answer.
	Stalled
	// ReadOnly: its tables can be read but not written.
	ReadOnly
)

// SetFault changes what is wrong with a bus of x.
func (x *Exchange) SetFault(bus Bus, f Fault) {
	x.mu.Lock()
	defer x.mu.Unlock()
	b, ok := bus.(*memoryBus)
	if !ok {
		return
	}
	b.fault = f
	if _, runs := x.buses[b]; runs {
		b.setState(!x.down && f != Severed)
	}
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
		bus.setState(!down && bus.fault != Severed)
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
	fault  Fault
	wanted map[string]chan struct{} // closed where effective
}

// errRefused is what a bus with a fault answers.
var errRefused = errors.New("cluster: the exchange refuses it")

// Run implements [Bus].
func (b *memoryBus) Run(ctx context.Context, receiver Receiver) error {
	x := b.exchange
	x.mu.Lock()
	x.buses[b] = struct{}{}
	b.setState(!x.down && b.fault != Severed)
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

// Present implements [Bus]. On an exchange all subscriptions of a bus become
// effective in one step.
func (b *memoryBus) Present(channel string) { b.Subscribe(channel) }

// Lane implements [Bus].
func (b *memoryBus) Lane(string) int { return 0 }

// Publish implements [Bus].
func (b *memoryBus) Publish(ctx context.Context, batch []Message, peers []string) ([]Receipt, error) {
	receipts, fault, err := b.publish(ctx, batch, peers)
	if fault == Stalled {
		<-ctx.Done()
		err = ctx.Err()
	}
	return receipts, err
}

func (b *memoryBus) publish(ctx context.Context, batch []Message, peers []string) ([]Receipt, Fault, error) {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	receipts := make([]Receipt, len(batch))
	err := b.usable(ctx)
	if err == nil && b.fault == Mute {
		err = errRefused
	}
	if err != nil || b.fault == Stalled {
		for i := range receipts {
			receipts[i].Receivers = -1
		}
		return receipts, b.fault, err
	}
	absent := slices.DeleteFunc(slices.Clone(peers), func(peer string) bool { return len(x.subscribers(peer)) > 0 })
	for i, m := range batch {
		receipts[i].Absent = absent
		for _, other := range x.subscribers(m.Channel) {
			receipts[i].Receivers++
			if other.fault != Deaf {
				other.inbox.Add(Message{Channel: m.Channel, Payload: slices.Clone(m.Payload)})
			}
		}
	}
	return receipts, b.fault, nil
}

// subscribers returns the buses that are subscribed to a channel. The caller
// holds mu.
func (x *Exchange) subscribers(channel string) (buses []*memoryBus) {
	for bus := range x.buses {
		if _, ok := bus.wanted[channel]; ok && bus.up && bus.fault != Unsubscribed {
			buses = append(buses, bus)
		}
	}
	return buses
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

// Trouble implements [Bus].
func (b *memoryBus) Trouble() error {
	if b.State() == Connected {
		return nil
	}
	return ErrUnavailable
}

// Put implements [Bus].
func (b *memoryBus) Put(ctx context.Context, table, key string, value []byte, ttl time.Duration) error {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := b.usable(ctx); err != nil {
		return err
	}
	if b.fault == ReadOnly {
		return errRefused
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
	if b.fault == ReadOnly {
		return errRefused
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
