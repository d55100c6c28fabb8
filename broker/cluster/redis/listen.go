package redis

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
)

// Listen passes to receiver everything that PUBLISH sends to channels that match one of the
// patterns, until ctx ends. It has a connection of its own and reconnects like the bus, which
// needn't run. Messages that are published while it is disconnected are lost.
func (b *Bus) Listen(ctx context.Context, patterns []string, receiver cluster.Receiver) {
	inbox := cluster.NewInbox(b.options.InboxBytes)
	inboxCtx, stopInbox := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { inbox.Run(inboxCtx, receiver) })
	defer running.Wait()
	defer stopInbox()

	var repeats repeats
	for attempt := 0; ctx.Err() == nil; attempt++ {
		connected, err := b.listen(ctx, patterns, inbox)
		if ctx.Err() == nil && repeats.isNew(err, time.Now()) {
			b.options.Logger.Warn("can't listen to emitters on Redis; trying again", "error", err)
		}
		if connected {
			inbox.AddState(cluster.Disconnected)
			attempt = 0
		}
		b.pause(ctx, attempt)
	}
}

// listen listens until the connection or ctx ends.
func (b *Bus) listen(ctx context.Context, patterns []string, inbox *cluster.Inbox) (connected bool, err error) {
	client, watch, err := b.open(ctx)
	if err != nil {
		return false, err
	}
	defer client.Close()
	conn, _ := client.Dedicate()
	defer conn.Close()
	ended := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) {
		inbox.Add(cluster.Message{Channel: m.Channel, Payload: []byte(m.Message)})
	}})
	limited, cancel := context.WithTimeout(ctx, b.options.Timeout)
	err = conn.Do(limited, conn.B().Psubscribe().Pattern(patterns...).Build()).Error()
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
