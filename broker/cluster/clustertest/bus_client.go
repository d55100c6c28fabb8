package clustertest

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// busClient is a running bus that records what it receives.
type busClient struct {
	cluster.Bus
	t *testing.T

	mu       sync.Mutex
	received map[string][]string // payloads by channel
	state    cluster.State
	states   []cluster.State
	lost     int
	change   chan struct{} // closed and replaced on each change
}

// run runs a bus until the test ends. It doesn't wait for the bus to connect.
func run(t *testing.T, bus cluster.Bus) *busClient {
	t.Helper()
	c := &busClient{Bus: bus, t: t, received: make(map[string][]string), change: make(chan struct{})}
	Run(t, bus, c)
	return c
}

// connect runs a bus and waits until it is connected.
func connect(t *testing.T, n Network) *busClient {
	t.Helper()
	c := run(t, n.Bus())
	c.awaitState(cluster.Connected)
	return c
}

func (c *busClient) changed(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
	close(c.change)
	c.change = make(chan struct{})
}

// Received implements [cluster.Receiver].
func (c *busClient) Received(msg cluster.Message) {
	c.changed(func() { c.received[msg.Channel] = append(c.received[msg.Channel], string(msg.Payload)) })
}

// StateChanged implements [cluster.Receiver].
func (c *busClient) StateChanged(s cluster.State) {
	c.changed(func() { c.state = s; c.states = append(c.states, s) })
}

// Lost implements [cluster.Receiver].
func (c *busClient) Lost(n int) { c.changed(func() { c.lost += n }) }

// await waits until done returns true. done is called with mu held.
func (c *busClient) await(what string, done func() bool) {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		ok, change := done(), c.change
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-change:
		case <-timeout:
			c.t.Fatalf("timed out waiting for %s", what)
		}
	}
}

func (c *busClient) awaitState(s cluster.State) {
	c.t.Helper()
	c.await("the bus to be "+s.String(), func() bool { return c.state == s })
}

// awaitReceived waits until exactly the payloads have come on a channel.
func (c *busClient) awaitReceived(channel string, want ...string) {
	c.t.Helper()
	c.await(fmt.Sprintf("%d messages on %s", len(want), channel), func() bool { return len(c.received[channel]) >= len(want) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := c.received[channel]; !slices.Equal(got, want) {
		c.t.Fatalf("on %s came %.200q, want %.200q", channel, got, want)
	}
}

func (c *busClient) count() (messages int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, payloads := range c.received {
		messages += len(payloads)
	}
	return messages
}

// subscribe subscribes and waits until that is effective.
func (c *busClient) subscribe(channels ...string) {
	c.t.Helper()
	for _, channel := range channels {
		c.effective(c.Subscribe(channel))
	}
}

// settle returns once all earlier changes of subscriptions are effective. In each partition they
// take effect in order.
func (c *busClient) settle() {
	c.t.Helper()
	c.subscribe(barriers("")...)
}

// barriers returns a new name for each partition, such that the channels prefix+name are in
// different partitions.
func barriers(prefix string) []string {
	names := make(map[int]string)
	for len(names) < cluster.Partitions {
		name := "barrier" + rand.Text()
		names[cluster.PartitionOf(prefix+name)] = name
	}
	return slices.Collect(maps.Values(names))
}

func (c *busClient) effective(effective <-chan struct{}) {
	c.t.Helper()
	select {
	case <-effective:
	case <-time.After(patience):
		c.t.Fatal("a subscription doesn't become effective")
	}
}

// publish publishes payloads and returns the number of receivers of each.
func (c *busClient) publish(channel string, payloads ...string) []int {
	c.t.Helper()
	batch := make([]cluster.Message, len(payloads))
	for i, payload := range payloads {
		batch[i] = cluster.Message{Channel: channel, Payload: []byte(payload)}
	}
	receipts, err := c.Publish(c.t.Context(), batch, nil)
	if err != nil {
		c.t.Fatalf("Publish: %v", err)
	}
	receivers := make([]int, len(receipts))
	for i, r := range receipts {
		receivers[i] = r.Receivers
	}
	return receivers
}

// Recorder is a [cluster.Receiver] that records messages.
type Recorder struct {
	mu       sync.Mutex
	messages []cluster.Message
}

// Received implements [cluster.Receiver].
func (r *Recorder) Received(m cluster.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, m)
}

// StateChanged implements [cluster.Receiver].
func (r *Recorder) StateChanged(cluster.State) {}

// Lost implements [cluster.Receiver].
func (r *Recorder) Lost(int) {}

// Messages returns the messages so far.
func (r *Recorder) Messages() []cluster.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// Run runs a bus with subscriptions to channels until the test ends. It doesn't wait for the bus to
// connect.
func Run(t testing.TB, bus cluster.Bus, r cluster.Receiver, channels ...string) {
	t.Helper()
	for _, channel := range channels {
		bus.Subscribe(channel)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- bus.Run(ctx, r) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run doesn't return")
		}
	})
}
