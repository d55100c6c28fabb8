package clustertest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// patience bounds every wait of these tests. None should come close.
const patience = 30 * time.Second

// Network is a network of buses of one kind.
type Network struct {
	// Bus returns a new bus on it.
	Bus func() cluster.Bus
	// SetDown interrupts it, or restores it.
	SetDown func(down bool)
	// Faulty returns a new bus on it, and a function that breaks that bus alone or, with [Healthy],
	// repairs it. May be nil; then the tests with faults are skipped.
	Faulty func() (bus cluster.Bus, set func(Fault))
}

// TestBus checks that the buses of a network keep the contract of [cluster.Bus]. make returns a
// network that nothing else uses.
func TestBus(t *testing.T, make func(t *testing.T) Network) {
	for name, test := range map[string]func(*testing.T, Network){
		"reaches exactly the subscribers":  testSubscribers,
		"keeps the order of a channel":     testOrder,
		"carries any payload":              testPayloads,
		"changes many subscriptions":       testManySubscriptions,
		"follows quick changes":            testChurn,
		"fails at once while down":         testDown,
		"subscribes again after an outage": testResume,
		"keeps tables":                     testTables,
		"keeps values":                     testValues,
		"starts before the network does":   testLateNetwork,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

func testSubscribers(t *testing.T, n Network) {
	a, b, c := connect(t, n), connect(t, n), connect(t, n)
	a.subscribe("x")
	b.subscribe("x", "y")
	c.subscribe("y")
	if got := a.publish("x", "one"); got[0] != 2 {
		t.Errorf("%d got it, want 2, including the publisher", got[0])
	}
	if got := a.publish("z", "nobody's"); got[0] != 0 {
		t.Errorf("%d got a message on a channel without subscribers, want 0", got[0])
	}
	a.publish("y", "two")
	a.awaitReceived("x", "one")
	b.awaitReceived("x", "one")
	b.awaitReceived("y", "two")
	c.awaitReceived("y", "two")

	b.Unsubscribe("x")
	b.settle()
	if got := a.publish("x", "three"); got[0] != 1 {
		t.Errorf("%d got it after one of two has unsubscribed, want 1", got[0])
	}
	a.awaitReceived("x", "one", "three")
	if b.count() != 2 || c.count() != 1 {
		t.Errorf("buses without a subscription received %d and %d messages, want 2 and 1 as before", b.count(), c.count())
	}
}

func testOrder(t *testing.T, n Network) {
	a, b := connect(t, n), connect(t, n)
	b.subscribe("x", "y")
	var want []string
	for i := range 200 {
		batch := make([]string, 25)
		for j := range batch {
			batch[j] = fmt.Sprint(i*25 + j)
		}
		want = append(want, batch...)
		a.publish("x", batch...)
		a.publish("y", batch...)
	}
	b.awaitReceived("x", want...)
	b.awaitReceived("y", want...)
}

func testPayloads(t *testing.T, n Network) {
	a, b := connect(t, n), connect(t, n)
	channel := "Raum \u00fc \U0001f642 #:/*?[a]"
	b.subscribe(channel)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	payloads := []string{"", string(all), "\r\n$5\r\n", strings.Repeat("long", 1<<18)}
	a.publish(channel, payloads...)
	b.awaitReceived(channel, payloads...)
}

func testManySubscriptions(t *testing.T, n Network) {
	a, b := connect(t, n), connect(t, n)
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
		if got := a.publish(name(i), "hello"); got[0] != 1 {
			t.Fatalf("%d got a message on %q, want 1", got[0], name(i))
		}
		b.awaitReceived(name(i), "hello")
	}
	for i := range many {
		b.Unsubscribe(name(i))
	}
	b.settle()
	for i := 0; i < many; i += 997 {
		if got := a.publish(name(i), "anybody?"); got[0] != 0 {
			t.Fatalf("%d got a message on %q, want 0", got[0], name(i))
		}
	}
}

// Subscribes and unsubscribes the same channels from several goroutines. The last call for each
// decides.
func testChurn(t *testing.T, n Network) {
	a, b := connect(t, n), connect(t, n)
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
	b.settle()
	for i := range channels {
		if got, want := a.publish(name(i), "x")[0], (i+1)%2; got != want {
			t.Errorf("%q has %d subscribers, want %d", name(i), got, want)
		}
	}
}

func testDown(t *testing.T, n Network) {
	a := connect(t, n)
	n.SetDown(true)
	a.awaitState(cluster.Disconnected)
	if a.State() != cluster.Disconnected {
		t.Error("State says connected")
	}
	receipts, err := a.Publish(t.Context(), []cluster.Message{{Channel: "x"}, {Channel: "y"}}, nil)
	if !errors.Is(err, cluster.ErrUnavailable) || len(receipts) != 2 || receipts[0].Receivers != -1 || receipts[1].Receivers != -1 {
		t.Errorf("Publish: %v, %v; want -1 twice and ErrUnavailable", receipts, err)
	}
	if a.Health() == nil {
		t.Error("Health returns nil")
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
	a.subscribe("x")
}

func testResume(t *testing.T, n Network) {
	a, b := connect(t, n), connect(t, n)
	b.subscribe("kept", "dropped")
	n.SetDown(true)
	a.awaitState(cluster.Disconnected)
	b.awaitState(cluster.Disconnected)
	b.Unsubscribe("dropped")
	added := b.Subscribe("added")
	n.SetDown(false)
	a.awaitState(cluster.Connected)
	b.awaitState(cluster.Connected)
	b.effective(added)
	b.subscribe("kept")
	for channel, want := range map[string]int{"kept": 1, "dropped": 0, "added": 1} {
		if got := a.publish(channel, "again")[0]; got != want {
			t.Errorf("%q has %d subscribers, want %d", channel, got, want)
		}
	}
	b.awaitReceived("kept", "again")
	b.awaitReceived("added", "again")
}

func testTables(t *testing.T, n Network) {
	a, b := connect(t, n), connect(t, n)
	ctx := t.Context()
	put := func(m *busClient, table, key, value string, ttl time.Duration) {
		t.Helper()
		if err := m.Put(ctx, table, key, []byte(value), ttl); err != nil {
			t.Fatalf("Put: %v", err)
		}
	}
	entries := func(m *busClient, table string) string {
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

func testValues(t *testing.T, n Network) {
	a, b := connect(t, n), connect(t, n)
	ctx := t.Context()
	setNew := func(c *busClient, name, value string, ttl time.Duration) string {
		t.Helper()
		existing, err := c.SetNew(ctx, name, []byte(value), ttl)
		if err != nil {
			t.Fatalf("SetNew: %v", err)
		}
		return string(existing)
	}
	for _, step := range []struct {
		bus         *busClient
		name, value string
		want        string
	}{{a, "n", "1", ""}, {b, "n", "2", "1"}, {a, "n", "3", "1"}, {b, "m", "4", ""}, {a, "m", "5", "4"}} {
		if got := setNew(step.bus, step.name, step.value, time.Minute); got != step.want {
			t.Errorf("before %s was set, %s was %q, want %q", step.value, step.name, got, step.want)
		}
	}
	if err := b.Set(ctx, "n", []byte("6"), time.Minute); err != nil {
		t.Fatalf("Set: %v", err)
	}
	if got := setNew(a, "n", "7", time.Minute); got != "6" {
		t.Errorf("the value is %q, want the one that replaced it", got)
	}
	setNew(a, "short", "8", time.Millisecond)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for setNew(b, "short", "9", time.Minute) != "" {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("a value doesn't expire")
		}
	}
	firsts := make(chan string, 8)
	for i := range cap(firsts) {
		go func() {
			existing, err := []*busClient{a, b}[i%2].SetNew(ctx, "race", []byte(strconv.Itoa(i)), time.Minute)
			firsts <- fmt.Sprintf("%s%v", existing, err)
		}()
	}
	won := 0
	for range cap(firsts) {
		if first := <-firsts; first == "<nil>" {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d of %d were first", won, cap(firsts))
	}
}

func testLateNetwork(t *testing.T, n Network) {
	n.SetDown(true)
	a := run(t, n.Bus())
	effective := a.Subscribe("x")
	n.SetDown(false)
	a.awaitState(cluster.Connected)
	a.effective(effective)
	a.publish("x", "hello")
	a.awaitReceived("x", "hello")
}
