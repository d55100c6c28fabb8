package clustertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// patience bounds every wait of these tests; none is expected to come near.
const patience = 30 * time.Second

// Network is what buses of one kind are joined by.
type Network struct {
	// Bus returns a new bus on it.
	Bus func() cluster.Bus
	// SetDown breaks it, or mends it again.
	SetDown func(down bool)
}

// TestBus checks that the buses of a network keep the promises of [cluster.Bus].
// Make makes a network that nothing else uses.
func TestBus(t *testing.T, make func(t *testing.T) Network) {
	for name, test := range map[string]func(*testing.T, Network){
		"reaches exactly the subscribers": testSubscribers,
		"keeps the order of a channel":    testOrder,
		"carries any payload":             testPayloads,
		"changes many subscriptions":      testManySubscriptions,
		"follows changes of mind":         testChurn,
		"fails at once while down":        testDown,
		"subscribes again after an end":   testResume,
		"keeps tables":                    testTables,
		"begins before the network does":  testLateNetwork,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

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
	receivers, err := m.Publish(m.t.Context(), batch)
	if err != nil {
		m.t.Fatalf("Publish: %v", err)
	}
	return receivers
}

func testSubscribers(t *testing.T, n Network) {
	a, b, c := join(t, n), join(t, n), join(t, n)
	a.hear("x")
	b.hear("x", "y")
	c.hear("y")
	if got := a.say("x", "one"); got[0] != 2 {
		t.Errorf("the publisher hears that %d got it, want 2, itself included", got[0])
	}
	if got := a.say("z", "nobody's"); got[0] != 0 {
		t.Errorf("%d got what nobody subscribed, want 0", got[0])
	}
	a.say("y", "two")
	a.awaitHeard("x", "one")
	b.awaitHeard("x", "one")
	b.awaitHeard("y", "two")
	c.awaitHeard("y", "two")

	b.Unsubscribe("x")
	b.hear("barrier") // changes are carried out in order
	if got := a.say("x", "three"); got[0] != 1 {
		t.Errorf("%d got it after one of two has unsubscribed, want 1", got[0])
	}
	a.awaitHeard("x", "one", "three")
	if b.count() != 2 || c.count() != 1 {
		t.Errorf("those who aren't subscribed heard %d and %d messages, want 2 and 1 as before", b.count(), c.count())
	}
}

func testOrder(t *testing.T, n Network) {
	a, b := join(t, n), join(t, n)
	b.hear("x", "y")
	var want []string
	for i := range 200 {
		batch := make([]string, 25)
		for j := range batch {
			batch[j] = fmt.Sprint(i*25 + j)
		}
		want = append(want, batch...)
		a.say("x", batch...)
		a.say("y", batch...)
	}
	b.awaitHeard("x", want...)
	b.awaitHeard("y", want...)
}

func testPayloads(t *testing.T, n Network) {
	a, b := join(t, n), join(t, n)
	channel := "Raum \u00fc \U0001f642 #:/*?[a]"
	b.hear(channel)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	payloads := []string{"", string(all), "\r\n$5\r\n", strings.Repeat("long", 1<<18)}
	a.say(channel, payloads...)
	b.awaitHeard(channel, payloads...)
}

func testManySubscriptions(t *testing.T, n Network) {
	a, b := join(t, n), join(t, n)
	const many = 20_000
	effective := make([]<-chan struct{}, many)
	name := func(i int) string { return fmt.Sprintf("room %d", i) }
	for i := range many {
		effective[i] = b.Subscribe(name(i))
	}
	for _, e := range effective {
		b.effective(e)
	}
	for i := 0; i < many; i += 997 {
		if got := a.say(name(i), "hello"); got[0] != 1 {
			t.Fatalf("%d heard what was said in %q, want 1", got[0], name(i))
		}
		b.awaitHeard(name(i), "hello")
	}
	for i := range many {
		b.Unsubscribe(name(i))
	}
	b.hear("barrier")
	for i := 0; i < many; i += 997 {
		if got := a.say(name(i), "anybody?"); got[0] != 0 {
			t.Fatalf("%d heard what was said in %q, want 0", got[0], name(i))
		}
	}
}

// testChurn subscribes and unsubscribes the same channels from several
// goroutines; what each wanted last holds.
func testChurn(t *testing.T, n Network) {
	a, b := join(t, n), join(t, n)
	const channels, rounds = 20, 300
	name := func(i int) string { return fmt.Sprintf("churn %d", i) }
	var busy sync.WaitGroup
	for i := range channels {
		busy.Go(func() {
			for range rounds {
				b.Subscribe(name(i))
				b.Unsubscribe(name(i))
			}
			if i%2 == 0 {
				b.effective(b.Subscribe(name(i)))
			}
		})
	}
	busy.Wait()
	b.hear("barrier")
	for i := range channels {
		if got, want := a.say(name(i), "x")[0], (i+1)%2; got != want {
			t.Errorf("%q has %d subscribers, want %d", name(i), got, want)
		}
	}
}

func testDown(t *testing.T, n Network) {
	a := join(t, n)
	n.SetDown(true)
	a.awaitState(cluster.Disconnected)
	if a.State() != cluster.Disconnected {
		t.Error("State says connected")
	}
	receivers, err := a.Publish(t.Context(), []cluster.Message{{Channel: "x"}, {Channel: "y"}})
	if !errors.Is(err, cluster.ErrUnavailable) || !slices.Equal(receivers, []int{-1, -1}) {
		t.Errorf("Publish: %v, %v; want [-1 -1] and ErrUnavailable", receivers, err)
	}
	if err := a.Put(t.Context(), "t", "k", nil, time.Minute); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("Put: %v, want ErrUnavailable", err)
	}
	if _, err := a.Entries(t.Context(), "t"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("Entries: %v, want ErrUnavailable", err)
	}
	select {
	case <-a.Subscribe("x"):
		t.Error("a subscription became effective without a network")
	default:
	}
	n.SetDown(false)
	a.awaitState(cluster.Connected)
	a.hear("x")
}

func testResume(t *testing.T, n Network) {
	a, b := join(t, n), join(t, n)
	b.hear("kept", "dropped")
	n.SetDown(true)
	a.awaitState(cluster.Disconnected)
	b.awaitState(cluster.Disconnected)
	b.Unsubscribe("dropped")
	added := b.Subscribe("added")
	n.SetDown(false)
	a.awaitState(cluster.Connected)
	b.awaitState(cluster.Connected)
	b.effective(added)
	b.hear("kept")
	for channel, want := range map[string]int{"kept": 1, "dropped": 0, "added": 1} {
		if got := a.say(channel, "again")[0]; got != want {
			t.Errorf("%q has %d subscribers, want %d", channel, got, want)
		}
	}
	b.awaitHeard("kept", "again")
	b.awaitHeard("added", "again")
}

func testTables(t *testing.T, n Network) {
	a, b := join(t, n), join(t, n)
	ctx := t.Context()
	put := func(m *member, table, key, value string, ttl time.Duration) {
		t.Helper()
		if err := m.Put(ctx, table, key, []byte(value), ttl); err != nil {
			t.Fatalf("Put: %v", err)
		}
	}
	entries := func(m *member, table string) string {
		t.Helper()
		got, err := m.Entries(ctx, table)
		if err != nil {
			t.Fatalf("Entries: %v", err)
		}
		return fmt.Sprintf("%s", got)
	}
	put(a, "t", "one", "1", time.Minute)
	put(b, "t", "two", "2", time.Minute)
	put(a, "other", "one", "other", time.Minute)
	put(b, "t", "one", "uno", time.Minute)
	if got := entries(a, "t"); got != "map[one:uno two:2]" {
		t.Errorf("the table is %s", got)
	}
	if err := b.Remove(ctx, "t", "one"); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	if err := b.Remove(ctx, "t", "never was"); err != nil {
		t.Errorf("Remove of nothing: %v", err)
	}
	put(a, "t", "short", "3", time.Millisecond)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for entries(b, "t") != "map[two:2]" {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("an entry doesn't expire")
		}
	}
	put(a, "t", "short", "again", time.Minute)
	if got := entries(b, "t"); got != "map[short:again two:2]" {
		t.Errorf("the table is %s", got)
	}
	if got := entries(b, "empty"); got != "map[]" {
		t.Errorf("an empty table is %s", got)
	}
}

func testLateNetwork(t *testing.T, n Network) {
	n.SetDown(true)
	a := run(t, n.Bus())
	effective := a.Subscribe("x")
	n.SetDown(false)
	a.awaitState(cluster.Connected)
	a.effective(effective)
	a.say("x", "hello")
	a.awaitHeard("x", "hello")
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
