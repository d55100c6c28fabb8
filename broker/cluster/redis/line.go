package redis

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
)

const (
	// subscribeBatch is how many channels one command names.
	subscribeBatch = 256
	// subscribePipeline is how many commands are sent before the first answer.
	subscribePipeline = 16
)

// line is a connection that a session hears on: that of one partition, or the one
// for all. It is up once it has subscribed to all that is wanted, and hears what
// this node publishes itself. So a node that may not publish doesn't listen
// either: it is there for the others, or it isn't.
type line struct {
	// Static.
	session   *session
	partition int
	parts     []*subscriptions
}

// hearing is one attempt of a line, from its connection's begin to its end.
type hearing struct {
	*line
	ear    rueidis.DedicatedClient
	wake   chan struct{} // holds one token if subscriptions have changed
	echoes chan string   // what has come back by the echo's channel
	fail   context.CancelCauseFunc
}

// serve subscribes and hears until the connection ends or ctx does. It returns
// whether the line was up, and why it no longer is.
func (l *line) serve(ctx context.Context) (up bool, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	ear, _ := l.session.client.Dedicate()
	h := &hearing{line: l, ear: ear, wake: make(chan struct{}, 1), echoes: make(chan string, 1), fail: fail}
	var running sync.WaitGroup
	defer running.Wait()
	defer ear.Close()
	defer fail(errEnded)
	ended := ear.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: h.heard, OnSubscription: h.changed})
	running.Go(func() {
		err := errEnded
		for cause := range ended { // one at the most, then it is closed
			err = cause
		}
		fail(err)
	})
	if err := h.begin(ctx); err != nil {
		return false, err
	}
	l.session.lineChanged(l.partition, nil)
	defer func() {
		for _, part := range l.parts {
			part.forget(h.wake)
		}
	}()
	running.Go(func() { fail(h.pings(ctx)) })
	for {
		select {
		case <-ctx.Done():
			return true, context.Cause(ctx)
		case <-h.wake:
			if err := h.update(ctx); err != nil {
				return true, err
			}
		}
	}
}

// begin brings the line up.
func (h *hearing) begin(ctx context.Context) error {
	if err := h.tell(ctx, []string{h.session.bus.echo}, h.subscribe); err != nil {
		return err
	}
	if err := h.ping(ctx, "0"); err != nil {
		return err
	}
	// This server knows of nothing yet.
	for _, part := range h.parts {
		part.forget(h.wake)
	}
	if err := h.update(ctx); err != nil {
		return err
	}
	if h.session.bus.presence == "" {
		return nil
	}
	return h.tell(ctx, []string{h.session.bus.presence}, h.subscribe)
}

// pings makes sure, as long as ctx lasts, that what this node publishes comes back.
func (h *hearing) pings(ctx context.Context) error {
	tick := time.NewTicker(h.session.bus.options.Timeout / 2)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if err := h.ping(ctx, strconv.Itoa(n)); err != nil {
			return err
		}
	}
}

// ping publishes a text and waits until it has come back.
func (h *hearing) ping(ctx context.Context, text string) error {
	limited, cancel := context.WithTimeout(ctx, h.session.bus.options.Timeout)
	defer cancel()
	err := h.session.client.Do(limited, h.session.publish(h.partition, h.session.bus.echo, []byte(text))).Error()
	if err != nil {
		return err
	}
	for {
		select {
		case got := <-h.echoes:
			if got == text {
				return nil
			}
		case <-limited.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return errUnheard
		}
	}
}

// update brings the server to what is wanted.
func (h *hearing) update(ctx context.Context) error {
	var subscribe, unsubscribe [partitions][]string
	var all, none []string
	for i, part := range h.parts {
		subscribe[i], unsubscribe[i] = part.changes()
		all, none = append(all, subscribe[i]...), append(none, unsubscribe[i]...)
	}
	if err := h.tell(ctx, none, h.unsubscribe); err != nil {
		return err
	}
	if err := h.tell(ctx, all, h.subscribe); err != nil {
		return err
	}
	for i, part := range h.parts {
		part.confirm(subscribe[i])
	}
	return nil
}

// tell has the server carry out a command on channels, and waits until it has.
func (h *hearing) tell(
	ctx context.Context, channels []string, command func(rueidis.Builder, []string) rueidis.Completed,
) error {
	for len(channels) > 0 {
		var commands []rueidis.Completed
		for len(channels) > 0 && len(commands) < subscribePipeline {
			n := min(len(channels), subscribeBatch)
			commands = append(commands, command(h.ear.B(), h.names(channels[:n])))
			channels = channels[n:]
		}
		limited, cancel := context.WithTimeout(ctx, 2*h.session.bus.options.Timeout)
		results := h.ear.DoMulti(limited, commands...)
		cancel()
		for _, result := range results {
			if err := result.Error(); err != nil {
				return err
			}
		}
	}
	return nil
}

// names returns the names of channels on the server.
func (h *hearing) names(channels []string) []string {
	if !h.session.sharded {
		return channels
	}
	names := make([]string, len(channels))
	for i, channel := range channels {
		names[i] = inPartition(h.partition, channel)
	}
	return names
}

func (h *hearing) subscribe(b rueidis.Builder, names []string) rueidis.Completed {
	if h.session.sharded {
		return b.Ssubscribe().Channel(names...).Build()
	}
	return b.Subscribe().Channel(names...).Build()
}

func (h *hearing) unsubscribe(b rueidis.Builder, names []string) rueidis.Completed {
	if h.session.sharded {
		return b.Sunsubscribe().Channel(names...).Build()
	}
	return b.Unsubscribe().Channel(names...).Build()
}

// heard takes a message in.
func (h *hearing) heard(m rueidis.PubSubMessage) {
	channel := h.session.channel(m.Channel)
	if channel != h.session.bus.echo {
		h.session.bus.inbox.Add(cluster.Message{Channel: channel, Payload: []byte(m.Message)})
		return
	}
	select {
	case h.echoes <- m.Message:
	default: // whoever can publish to it makes this node none the worse
	}
}

// changed looks out for the server ending a subscription by itself, which a
// Redis Cluster does when the channel moves to another server.
func (h *hearing) changed(change rueidis.PubSubSubscription) {
	if change.Kind != "sunsubscribe" {
		return
	}
	channel := h.session.channel(change.Channel)
	own := channel == h.session.bus.echo || channel == h.session.bus.presence
	if own || h.session.bus.wanted[h.partition].has(channel) {
		h.fail(errMoved)
	}
}
