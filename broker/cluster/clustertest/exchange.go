package clustertest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// exchangeInboxBytes bounds what may wait for a node on an [Exchange].
const exchangeInboxBytes = 64 << 20

// Exchange connects nodes within one process. Its buses behave as those on Redis do, without the
// network. All methods may be called concurrently.
type Exchange struct {
	mu     sync.Mutex
	buses  map[*exchangeBus]struct{} // those that run
	down   bool
	tables map[string]map[string]tableEntry
	values map[string]tableEntry
}

type tableEntry struct {
	value   []byte
	expires time.Time
}

// NewExchange returns an exchange that is up.
func NewExchange() *Exchange {
	return &Exchange{
		buses:  make(map[*exchangeBus]struct{}),
		tables: make(map[string]map[string]tableEntry),
		values: make(map[string]tableEntry),
	}
}

// Bus returns a new bus on x, for one node.
func (x *Exchange) Bus() cluster.Bus {
	return &exchangeBus{exchange: x, inbox: cluster.NewInbox(exchangeInboxBytes), wanted: make(map[string]chan struct{})}
}

// Fault is what can go wrong with one bus on an [Exchange].
type Fault uint8

// Faults of a bus.
const (
	// Healthy means that nothing is wrong.
	Healthy Fault = iota
	// Severed means that its connections are closed, and it notices.
	Severed
	// Unsubscribed means that the connection it receives on is closed, and it doesn't notice.
	Unsubscribed
	// Deaf means that what is sent to it never arrives, and nobody notices.
	Deaf
	// Mute means that its publications are refused. It receives those of others.
	Mute
	// Stalled means that its publications never arrive and are never acknowledged.
	Stalled
	// ReadOnly means that its tables can be read, and that nothing can be written.
	ReadOnly
)

// SetFault changes what is wrong with a bus of x.
func (x *Exchange) SetFault(bus cluster.Bus, f Fault) {
	x.mu.Lock()
	defer x.mu.Unlock()
	b, ok := bus.(*exchangeBus)
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

// Clear removes tables and values, as a Redis does that restarts without its data.
func (x *Exchange) Clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	clear(x.tables)
	clear(x.values)
}

// Subscriptions returns how many channels the buses want, each counted once for each bus.
func (x *Exchange) Subscriptions() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for bus := range x.buses {
		n += len(bus.wanted)
	}
	return n
}

// exchangeBus is one node's bus on an exchange. Everything in it but the inbox is guarded by
// exchange.mu.
type exchangeBus struct {
	exchange *Exchange
	inbox    *cluster.Inbox

	up     bool
	fault  Fault
	wanted map[string]chan struct{} // closed where effective
}

// errFault is the error of a bus with a [Fault].
var errFault = errors.New("clustertest: the exchange refuses this")

// Run implements [cluster.Bus].
func (b *exchangeBus) Run(ctx context.Context, receiver cluster.Receiver) error {
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
func (b *exchangeBus) setState(up bool) {
	if b.up == up {
		return
	}
	b.up = up
	state := cluster.Disconnected
	for channel, effective := range b.wanted {
		if up {
			close(effective)
		} else {
			b.wanted[channel] = make(chan struct{})
		}
	}
	if up {
		state = cluster.Connected
	}
	b.inbox.AddState(state)
}

// Identify implements [cluster.Bus]. All subscriptions of a bus on an exchange become effective in
// one step.
func (b *exchangeBus) Identify(channel string) { b.Subscribe(channel) }

// Lane implements [cluster.Bus].
func (b *exchangeBus) Lane(string) int { return 0 }

// Publish implements [cluster.Bus].
func (b *exchangeBus) Publish(ctx context.Context, batch []cluster.Message, peers []string) ([]cluster.Receipt, error) {
	receipts, fault, err := b.publish(ctx, batch, peers)
	if fault == Stalled {
		<-ctx.Done()
		err = ctx.Err()
	}
	return receipts, err
}

func (b *exchangeBus) publish(ctx context.Context, batch []cluster.Message, peers []string) ([]cluster.Receipt, Fault, error) {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	receipts := make([]cluster.Receipt, len(batch))
	err := b.usable(ctx)
	if err == nil && b.fault == Mute {
		err = errFault
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
				other.inbox.Add(cluster.Message{Channel: m.Channel, Payload: slices.Clone(m.Payload)})
			}
		}
	}
	return receipts, b.fault, nil
}

// subscribers returns the buses that are subscribed to a channel. The caller holds mu.
func (x *Exchange) subscribers(channel string) (buses []*exchangeBus) {
	for bus := range x.buses {
		if _, ok := bus.wanted[channel]; ok && bus.up && bus.fault != Unsubscribed {
			buses = append(buses, bus)
		}
	}
	return buses
}

// usable returns an error if the bus can't be used. The caller holds exchange.mu.
func (b *exchangeBus) usable(ctx context.Context) error {
	if !b.up {
		return cluster.ErrUnavailable
	}
	return ctx.Err()
}

// writable returns an error if the tables can't be written. The caller holds exchange.mu.
func (b *exchangeBus) writable(ctx context.Context) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	if b.fault == ReadOnly {
		return errFault
	}
	return nil
}

// Subscribe implements [cluster.Bus].
func (b *exchangeBus) Subscribe(channel string) <-chan struct{} {
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

// Unsubscribe implements [cluster.Bus].
func (b *exchangeBus) Unsubscribe(channel string) {
	b.exchange.mu.Lock()
	defer b.exchange.mu.Unlock()
	delete(b.wanted, channel)
}

// State implements [cluster.Bus].
func (b *exchangeBus) State() cluster.State {
	b.exchange.mu.Lock()
	defer b.exchange.mu.Unlock()
	if b.up {
		return cluster.Connected
	}
	return cluster.Disconnected
}

// Health implements [cluster.Bus].
func (b *exchangeBus) Health() error {
	if b.State() == cluster.Connected {
		return nil
	}
	return cluster.ErrUnavailable
}

// Put implements [cluster.Bus].
func (b *exchangeBus) Put(ctx context.Context, table, key string, value []byte, ttl time.Duration) error {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := b.writable(ctx); err != nil {
		return err
	}
	if x.tables[table] == nil {
		x.tables[table] = make(map[string]tableEntry)
	}
	x.tables[table][key] = tableEntry{value: slices.Clone(value), expires: time.Now().Add(ttl)}
	return nil
}

// Remove implements [cluster.Bus].
func (b *exchangeBus) Remove(ctx context.Context, table, key string) error {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := b.writable(ctx); err != nil {
		return err
	}
	delete(x.tables[table], key)
	return nil
}

// Entries implements [cluster.Bus].
func (b *exchangeBus) Entries(ctx context.Context, table string) (map[string][]byte, error) {
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

// SetNew implements [cluster.Bus].
func (b *exchangeBus) SetNew(ctx context.Context, name string, value []byte, ttl time.Duration) ([]byte, error) {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := b.writable(ctx); err != nil {
		return nil, err
	}
	now := time.Now()
	if there, ok := x.values[name]; ok && there.expires.After(now) {
		return slices.Clone(there.value), nil
	}
	x.values[name] = tableEntry{value: slices.Clone(value), expires: now.Add(ttl)}
	return nil, nil
}

// Set implements [cluster.Bus].
func (b *exchangeBus) Set(ctx context.Context, name string, value []byte, ttl time.Duration) error {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := b.writable(ctx); err != nil {
		return err
	}
	x.values[name] = tableEntry{value: slices.Clone(value), expires: time.Now().Add(ttl)}
	return nil
}
