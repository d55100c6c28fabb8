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

// member is a bus that runs, and what it has heard.
type member struct {
	cluster.Bus
	t *testing.T

	mu     sync.Mutex
	heard  map[string][]string // payloads by channel
	state  cluster.State
	states []cluster.State
	lost   int
	change chan struct{} // closed and replaced at each change
}

// run runs a bus until the test ends, without waiting for it to connect.
func run(t *testing.T, bus cluster.Bus) *member {
	t.Helper()
	m := &member{Bus: bus, t: t, heard: make(map[string][]string), change: make(chan struct{})}
	Run(t, bus, m)
	return m
}

// join runs a bus and waits until it is connected.
func join(t *testing.T, n Network) *member {
	t.Helper()
	m := run(t, n.Bus())
	m.awaitState(cluster.Connected)
	return m
}

func (m *member) changed(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
	close(m.change)
	m.change = make(chan struct{})
}

// Received implements [cluster.Receiver].
func (m *member) Received(msg cluster.Message) {
	m.changed(func() { m.heard[msg.Channel] = append(m.heard[msg.Channel], string(msg.Payload)) })
}

// StateChanged implements [cluster.Receiver].
func (m *member) StateChanged(s cluster.State) {
	m.changed(func() { m.state = s; m.states = append(m.states, s) })
}

// Lost implements [cluster.Receiver].
func (m *member) Lost(n int) { m.changed(func() { m.lost += n }) }

// await waits until done, which is called with mu held.
func (m *member) await(what string, done func() bool) {
	m.t.Helper()
	timeout := time.After(patience)
	for {
		m.mu.Lock()
		ok, change := done(), m.change
		m.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-change:
		case <-timeout:
			m.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (m *member) awaitState(s cluster.State) {
	m.t.Helper()
	m.await("the bus to be "+s.String(), func() bool { return m.state == s })
}

// awaitHeard waits until exactly the payloads have come by channel.
func (m *member) awaitHeard(channel string, want ...string) {
	m.t.Helper()
	m.await(fmt.Sprintf("%d messages by %s", len(want), channel), func() bool { return len(m.heard[channel]) >= len(want) })
	m.mu.Lock()
	defer m.mu.Unlock()
	if got := m.heard[channel]; !slices.Equal(got, want) {
		m.t.Fatalf("by %s came %.200q, want %.200q", channel, got, want)
	}
}

func (m *member) count() (messages int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, heard := range m.heard {
		messages += len(heard)
	}
	return messages
}

// hear subscribes and waits until that is effective.
func (m *member) hear(channels ...string) {
	m.t.Helper()
	for _, channel := range channels {
		m.effective(m.Subscribe(channel))
	}
}

// settle returns once all changes of subscriptions before it have been carried out,
// which they are in order in each partition.
func (m *member) settle() {
	m.t.Helper()
	m.hear(barriers("")...)
}

// barriers returns a name in each partition of channels that begin with prefix,
// without that. No two calls return the same.
func barriers(prefix string) []string {
	names := make(map[int]string)
	for len(names) < cluster.Partitions {
		name := "barrier" + rand.Text()
		names[cluster.PartitionOf(prefix+name)] = name
	}
	return slices.Collect(maps.Values(names))
}

func (m *member) effective(effective <-chan struct{}) {
	m.t.Helper()
	select {
	case <-effective:
	case <-time.After(patience):
		m.t.Fatal("a subscription doesn't become effective")
	}
}

// say publishes and returns the number of receivers.
func (m *member) say(channel string, payloads ...string) []int {
	m.t.Helper()
	batch := make([]cluster.Message, len(payloads))
	for i, payload := range payloads {
		batch[i] = cluster.Message{Channel: channel, Payload: []byte(payload)}
	}
	receipts, err := m.Publish(m.t.Context(), batch, nil)
	if err != nil {
		m.t.Fatalf("Publish: %v", err)
	}
	receivers := make([]int, len(receipts))
	for i, r := range receipts {
		receivers[i] = r.Receivers
	}
	return receivers
}

// Recorder is a [cluster.Receiver] that keeps the messages it gets.
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

// Messages returns what has come.
func (r *Recorder) Messages() []cluster.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// Run runs a bus that hears channels until the test ends, without waiting for
// it to connect.
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
