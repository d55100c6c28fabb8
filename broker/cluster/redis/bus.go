package redis

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// Bus is a [cluster.Bus] over Redis.
type Bus struct {
	dialer

	// Static.
	inbox    *cluster.Inbox
	wanted   [partitions]*subscriptions
	identity string // the channel that identifies this bus; empty for none
	echo     string // a channel that only this bus uses, to check that publishing and receiving work

	// Guarded by mu.
	mu      sync.Mutex
	session *session // nil while disconnected
	err     error    // why it is disconnected
}

// New returns a bus that connects when it runs. The error says what is wrong with the options.
func New(o Options) (*Bus, error) {
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	b := &Bus{
		dialer: d, inbox: cluster.NewInbox(d.options.InboxBytes),
		echo: "sala:echo:" + rand.Text(), err: errNotYet,
	}
	for i := range b.wanted {
		b.wanted[i] = newSubscriptions()
	}
	return b, nil
}

// Run implements [cluster.Bus].
func (b *Bus) Run(ctx context.Context, receiver cluster.Receiver) error {
	inboxCtx, stopInbox := context.WithCancel(context.WithoutCancel(ctx))
	var inbox sync.WaitGroup
	inbox.Go(func() { b.inbox.Run(inboxCtx, receiver) })
	defer inbox.Wait()
	defer stopInbox()

	var repeats repeats
	for attempt := 0; ctx.Err() == nil; attempt++ {
		connected, err := b.connect(ctx)
		switch {
		case ctx.Err() != nil:
		case connected:
			b.options.Logger.Warn("disconnected from Redis; connecting again", "error", err)
			attempt, repeats.last = 0, ""
		case repeats.isNew(err, time.Now()):
			b.options.Logger.Warn("can't connect to Redis; trying again", "error", err)
		}
		b.fail(err)
		b.pause(ctx, attempt)
	}
	return nil
}

// fail records why the bus is disconnected.
func (b *Bus) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// setSession sets the session when it can be used, and nil when it no longer can.
func (b *Bus) setSession(s *session) {
	b.mu.Lock()
	b.session = s
	b.mu.Unlock()
	if s != nil {
		b.inbox.AddState(cluster.Connected)
	} else {
		b.inbox.AddState(cluster.Disconnected)
	}
}

// current returns the session, or [cluster.ErrUnavailable].
func (b *Bus) current() (*session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session == nil {
		return nil, cluster.ErrUnavailable
	}
	return b.session, nil
}

// State implements [cluster.Bus]. On a Redis Cluster, the bus is connected while one of its links
// is.
func (b *Bus) State() cluster.State {
	if _, err := b.current(); err != nil {
		return cluster.Disconnected
	}
	return cluster.Connected
}

// Health implements [cluster.Bus].
func (b *Bus) Health() error {
	b.mu.Lock()
	s, err := b.session, b.err
	b.mu.Unlock()
	if s == nil {
		return err
	}
	return s.health()
}

// Identify implements [cluster.Bus]. On a Redis Cluster, every partition has a channel of that
// name.
func (b *Bus) Identify(channel string) {
	b.identity, b.echo = channel, channel+":echo"
}

// Lane implements [cluster.Bus]. There is a single lane on one server, and one for each partition
// on a Redis Cluster.
func (b *Bus) Lane(channel string) int {
	s, err := b.current()
	if err != nil {
		return 0
	}
	return s.partitionOf(channel)
}

// Subscribe implements [cluster.Bus].
func (b *Bus) Subscribe(channel string) <-chan struct{} {
	return b.wanted[partitionOf(channel)].want(channel)
}

// Unsubscribe implements [cluster.Bus].
func (b *Bus) Unsubscribe(channel string) { b.wanted[partitionOf(channel)].unwant(channel) }
