package redis

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
)

// Listen hands to receiver everything that is published, by PUBLISH, to channels that match
// one of the patterns, until ctx ends. It has a connection of its own, which it
// makes again as the bus does, so it may be called whether or not the bus runs.
// What is published while it is disconnected it never hears.
func (b *Bus) Listen(ctx context.Context, patterns []string, receiver cluster.Receiver) {
	inbox := cluster.NewInbox(b.options.InboxBytes)
	inboxCtx, stopInbox := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { inbox.Run(inboxCtx, receiver) })
	defer running.Wait()
	defer stopInbox()

	var complaint complaint
	for attempt := 0; ctx.Err() == nil; attempt++ {
		connected, err := b.listen(ctx, patterns, inbox)
		if ctx.Err() == nil && complaint.due(err, time.Now()) {
			b.options.Logger.Warn("not listening to emitters on Redis; trying on", "error", err)
		}
		if connected {
			inbox.AddState(cluster.Disconnected)
			attempt = 0
		}
		b.pause(ctx, attempt)
	}
}

// listen listens until the connection ends or ctx does.
func (b *Bus) listen(ctx context.Context, patterns []string, inbox *cluster.Inbox) (connected bool, err error) {
	client, watch, err := b.open(ctx)
	if err != nil {
		return false, err
	}
	defer client.Close()
	ear, _ := client.Dedicate()
	defer ear.Close()
	ended := ear.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) {
		inbox.Add(cluster.Message{Channel: m.Channel, Payload: []byte(m.Message)})
	}})
	limited, cancel := context.WithTimeout(ctx, b.options.Timeout)
	err = ear.Do(limited, ear.B().Psubscribe().Pattern(patterns...).Build()).Error()
	cancel()
	if err != nil {
		return false, err
	}
	inbox.AddState(cluster.Connected)
	ctx, fail := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	if watch != nil {
		watching.Go(func() { watch(ctx, fail) })
	}
	defer watching.Wait()
	defer fail(errEnded)
	select {
	case <-ctx.Done():
		return true, context.Cause(ctx)
	case err := <-ended:
		return true, err
	}
}
