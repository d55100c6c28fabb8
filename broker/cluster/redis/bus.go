package redis

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
)

// Bus is a [cluster.Bus] over Redis.
type Bus struct {
	// Static.
	options   Options
	client    rueidis.ClientOption
	sentinels *sentinels // nil without
	inbox     *cluster.Inbox
	wanted    [partitions]*subscriptions
	presence  string // the channel that this bus is known by; empty for none
	echo      string // a channel that it alone publishes to and hears, to know that both work

	// Guarded by mu.
	mu      sync.Mutex
	session *session // nil while disconnected
	trouble error    // why it is disconnected
}

var errNotYet = errors.New("redis: not connected yet")

// New returns a bus that connects when it runs. The error says what is wrong
// with the options.
func New(o Options) (*Bus, error) {
	client, err := o.client()
	if err != nil {
		return nil, err
	}
	sentinels, err := sentinelsOf(o.URL, &client, o.Timeout)
	if err != nil {
		return nil, err
	}
	b := &Bus{
		options: o, client: client, sentinels: sentinels, inbox: cluster.NewInbox(o.InboxBytes),
		echo: "sala:echo:" + rand.Text(), trouble: errNotYet,
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

	var complaint complaint
	for attempt := 0; ctx.Err() == nil; attempt++ {
		connected, err := b.connect(ctx)
		switch {
		case ctx.Err() != nil:
		case connected:
			b.options.Logger.Warn("disconnected from Redis; connecting again", "error", err)
			attempt, complaint.told = 0, ""
		case complaint.due(err, time.Now()):
			b.options.Logger.Warn("can't connect to Redis; trying on", "error", err)
		}
		b.fail(err)
		b.pause(ctx, attempt)
	}
	return nil
}

// remindEvery is how often the log is told the same.
const remindEvery = 30 * time.Second

// complaint is what the log was told last.
type complaint struct {
	told string
	at   time.Time
}

// due reports whether the log is to be told of err: it is another than the one
// before, or that was some time ago.
func (c *complaint) due(err error, now time.Time) bool {
	if err.Error() == c.told && now.Sub(c.at) < remindEvery {
		return false
	}
	c.told, c.at = err.Error(), now
	return true
}

// pause waits before the next attempt, longer each time: between half and all of
// a time that doubles, so that nodes that lost the same server don't all come
// back at the same moment.
func (b *Bus) pause(ctx context.Context, attempt int) {
	most := min(b.options.MinBackoff<<min(attempt, 16), b.options.MaxBackoff)
	timer := time.NewTimer(most/2 + mathrand.N(most/2+1)) //nolint:gosec // needn't be secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// fail keeps why the bus is disconnected.
func (b *Bus) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trouble = err
}

// setSession says from when on a session can be used, with nil until when.
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

// current returns the session.
func (b *Bus) current() (*session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session == nil {
		return nil, cluster.ErrUnavailable
	}
	return b.session, nil
}

// State implements [cluster.Bus]. On a Redis Cluster the bus is connected while
// one of its parts is.
func (b *Bus) State() cluster.State {
	if _, err := b.current(); err != nil {
		return cluster.Disconnected
	}
	return cluster.Connected
}

// Health implements [cluster.Bus].
func (b *Bus) Health() error {
	b.mu.Lock()
	s, err := b.session, b.trouble
	b.mu.Unlock()
	if s == nil {
		return err
	}
	return s.trouble()
}

// Identify implements [cluster.Bus]. On a Redis Cluster the bus is present in every
// partition by the same name.
func (b *Bus) Identify(channel string) {
	b.presence, b.echo = channel, channel+":echo"
}

// Lane implements [cluster.Bus]: one on one server, one for each partition on a
// Redis Cluster.
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
