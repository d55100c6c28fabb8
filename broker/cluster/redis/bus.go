package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
)

// Bus is a [cluster.Bus] over Redis.
type Bus struct {
	// Static.
	options Options
	client  rueidis.ClientOption
	inbox   *cluster.Inbox
	wanted  *subscriptions

	// Guarded by mu.
	mu        sync.Mutex
	connected rueidis.Client // nil while disconnected
	sharded   bool           // connected is to a Redis Cluster
}

// aliveChannel is one that every bus hears and nobody speaks on, so that there
// is always a connection whose end is noticed.
const aliveChannel = "sala:alive"

// New returns a bus that connects when it runs. The error says what is wrong
// with the options.
func New(o Options) (*Bus, error) {
	client, err := o.client()
	if err != nil {
		return nil, err
	}
	b := &Bus{options: o, client: client, inbox: cluster.NewInbox(o.InboxBytes), wanted: newSubscriptions()}
	b.wanted.want(aliveChannel)
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
		connected, err := b.session(ctx)
		switch {
		case ctx.Err() != nil:
		case connected:
			b.options.Logger.Warn("disconnected from Redis; connecting again", "error", err)
			attempt, complaint.told = 0, ""
		case complaint.due(err, time.Now()):
			b.options.Logger.Warn("can't connect to Redis; trying on", "error", err)
		}
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
	timer := time.NewTimer(most/2 + rand.N(most/2+1)) //nolint:gosec // needn't be secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// setConnected says from when on the client can be used, with nil until when.
func (b *Bus) setConnected(client rueidis.Client, sharded bool) {
	b.mu.Lock()
	b.connected, b.sharded = client, sharded
	b.mu.Unlock()
	if client != nil {
		b.inbox.AddState(cluster.Connected)
	} else {
		b.inbox.AddState(cluster.Disconnected)
	}
}

// current returns the client, and whether it is of a Redis Cluster.
func (b *Bus) current() (client rueidis.Client, sharded bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.connected == nil {
		return nil, false, cluster.ErrUnavailable
	}
	return b.connected, b.sharded, nil
}

// State implements [cluster.Bus].
func (b *Bus) State() cluster.State {
	if _, _, err := b.current(); err != nil {
		return cluster.Disconnected
	}
	return cluster.Connected
}

// Subscribe implements [cluster.Bus].
func (b *Bus) Subscribe(channel string) <-chan struct{} { return b.wanted.want(channel) }

// Unsubscribe implements [cluster.Bus].
func (b *Bus) Unsubscribe(channel string) { b.wanted.unwant(channel) }

// Publish implements [cluster.Bus].
func (b *Bus) Publish(ctx context.Context, batch []cluster.Message) ([]int, error) {
	receivers := make([]int, len(batch))
	for i := range receivers {
		receivers[i] = -1
	}
	client, sharded, err := b.current()
	if err != nil {
		return receivers, err
	}
	commands := make([]rueidis.Completed, len(batch))
	for i, m := range batch {
		payload := rueidis.BinaryString(m.Payload)
		if sharded {
			name := tagged(m.Channel)
			commands[i] = client.B().Spublish().Channel(name).Message(payload).Build()
		} else {
			commands[i] = client.B().Publish().Channel(m.Channel).Message(payload).Build()
		}
	}
	for i, result := range client.DoMulti(ctx, commands...) {
		n, failed := result.AsInt64()
		if failed != nil {
			if err == nil {
				err = errors.Join(cluster.ErrUnavailable, failed)
			}
			continue
		}
		receivers[i] = int(n)
	}
	return receivers, err
}
