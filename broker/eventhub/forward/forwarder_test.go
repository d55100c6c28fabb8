package forward_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

const lag = 5 * time.Millisecond

// inBubble runs a test with two nodes.
func inBubble(t *testing.T, o eventhub.Options, test func(t *testing.T, net *network, a, b *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t, 1, lag, 0)
		test(t, net, net.add("A", o), net.add("B", o))
	})
}

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	var failed *eventhub.Error
	if !errors.As(err, &failed) || failed.Reason != reason {
		t.Errorf("the error is %v, want the reason %s", err, reason)
	}
}

func TestEventsReachOtherNodes(t *testing.T) {
	inBubble(t, eventhub.Options{}, func(t *testing.T, _ *network, a, b *node) {
		var r replies
		if a.Wants(eventhub.Message, "/", "x") {
			t.Error("an event is wanted before any subscription")
		}
		in := b.subscribe(eventhub.SubscribeOptions{Group: "g", Credits: 100})
		filtered := b.subscribe(eventhub.SubscribeOptions{Filter: eventhub.Filter{Kinds: []eventhub.Kind{eventhub.Message}, Namespaces: []string{"/"}, Names: []string{"x"}}, Credits: 100})
		observer := b.subscribe(eventhub.SubscribeOptions{Filter: eventhub.Filter{Namespaces: []string{"/other"}}, Observe: true, Credits: 100})
		pass(time.Second)
		if !a.Handles("/", "y") || a.Decides("/") {
			t.Error("the other node doesn't know what is wanted")
		}
		a.Publish(message("s", "x"))
		a.Ask(message("s", "y"), r.hook("y"))
		pass(time.Second)
		got := wantTaken(t, in, "s.x s.y?")
		wantTaken(t, filtered, "s.x")
		wantTaken(t, observer, "")
		wantReason(t, in.Decide(got[1].ID, eventhub.Decision{}), eventhub.ReasonDeliveryMismatch)
		wantReason(t, in.Reply(got[0].ID, eventhub.Reply{}), eventhub.ReasonDeliveryNotFound)
		if err := in.Reply(got[1].ID, eventhub.Reply{Args: json.RawMessage(`["hi"]`)}); err != nil {
			t.Error(err)
		}
		wantReason(t, in.Reply(got[1].ID, eventhub.Reply{}), eventhub.ReasonDeliveryAnswered)
		pass(time.Second)
		r.want(t, "y", `["hi"]`)
		in.Close()
		filtered.Close()
		pass(time.Second)
		if a.Wants(eventhub.Message, "/", "x") || !a.Wants(eventhub.Join, "/other", "") {
			t.Error("the other node doesn't know that the subscriptions have ended")
		}
	})
}

// A subscriber learns which nodes offer it their clients' events.
func TestAwaitSubscribed(t *testing.T) {
	soon := 200 * time.Millisecond
	tests := map[string]struct {
		third   eventhub.Options
		trouble func(net *network, third *node)
		missing []cluster.NodeID
		within  time.Duration
	}{
		"all answer":        {within: soon},
		"one is silent":     {trouble: func(net *network, c *node) { net.silence(c.id) }, missing: []cluster.NodeID{"C"}, within: time.Minute},
		"one is lost":       {trouble: func(net *network, c *node) { go net.cut(c) }, within: 5 * time.Second},
		"one has no room":   {third: eventhub.Options{MaxRemotes: 1}, missing: []cluster.NodeID{"C"}, within: soon},
		"messages get lost": {trouble: func(net *network, _ *node) { net.set(0.3, false) }, within: 50 * time.Second},
		"there is no bus":   {trouble: func(net *network, _ *node) { net.set(0, true) }, missing: []cluster.NodeID{"B", "C"}, within: time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, eventhub.Options{}, func(t *testing.T, net *network, a, b *node) {
				c := net.add("C", test.third)
				pass(time.Second)
				a.subscribe(eventhub.SubscribeOptions{Filter: eventhub.Filter{Names: []string{"first"}}})
				pass(time.Second)
				if test.trouble != nil {
					test.trouble(net, c)
				}
				a.subscribe(eventhub.SubscribeOptions{Filter: eventhub.Filter{Names: []string{"second"}}})
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				missing := a.forwarder.AwaitSubscribed(ctx)
				slices.Sort(missing)
				if took := time.Since(start); !slices.Equal(missing, test.missing) || took > test.within {
					t.Errorf("after %s %v are missing, want %v within %s", took, missing, test.missing, test.within)
				}
				if there := b.Handles("/", "second"); there == slices.Contains(missing, b.id) {
					t.Errorf("missing are %v, but the node B has the subscription: %t", missing, there)
				}
			})
		})
	}
}

// Nothing of an event is lost on the way to another node.
func TestEventsArriveWhole(t *testing.T) {
	inBubble(t, eventhub.Options{}, func(t *testing.T, _ *network, a, b *node) {
		in := b.subscribe(eventhub.SubscribeOptions{Credits: 100})
		pass(time.Second)
		const home = "AAAAAAAAAA" // the node that the socket's id names
		at := time.Unix(1_700_000_000, 5)
		events := []eventhub.Event{
			{Kind: eventhub.Connect, PreviousSocketID: "before", NotRecovered: "EXPIRED"},
			{Kind: eventhub.Away, Reason: "ping timeout"},
			{Kind: eventhub.Resumed},
		}
		for i := range events {
			events[i].Namespace, events[i].Time = "/chat", at
			events[i].Socket = &eventhub.Socket{
				ID: home + "0123456789ABCDEF", User: "ana", Namespace: "/chat", Node: "BBBBBBBBBB", Moves: 2, Address: "1.2.3.4:5",
				Transport: "polling", ConnectTime: at, Away: events[i].Kind == eventhub.Away,
				Data: json.RawMessage(`1`), Auth: json.RawMessage(`{"a":1}`),
			}
			a.Publish(&events[i])
		}
		pass(time.Second)
		got := take(t, in)
		if len(got) != len(events) {
			t.Fatalf("%d of %d events have arrived", len(got), len(events))
		}
		for i, d := range got {
			if !reflect.DeepEqual(*d.Event, events[i]) {
				t.Errorf("%+v of %+v arrived,\nwant %+v of %+v", *d.Event, *d.Event.Socket, events[i], *events[i].Socket)
			}
		}
	})
}

// A node of an earlier release gets no events of kinds that it doesn't know.
func TestEarlierReleasesGetNoNewKinds(t *testing.T) {
	for name, test := range map[string]struct {
		subscription *wire.SubscriptionInfo
		want         []eventhub.Kind
	}{
		"all that an earlier release knows":  {&wire.SubscriptionInfo{}, []eventhub.Kind{1, 2, 3, 4, 5, 6, 7}},
		"all that this release knows":        {&wire.SubscriptionInfo{NewestKind: uint32(eventhub.UserLeft)}, eventhub.Kinds()},
		"all that a later release knows":     {&wire.SubscriptionInfo{NewestKind: 1000}, eventhub.Kinds()},
		"some, from an earlier release":      {&wire.SubscriptionInfo{Kinds: []uint32{1, 5}}, []eventhub.Kind{eventhub.Connect, eventhub.Message}},
		"some, from a release like this one": {&wire.SubscriptionInfo{Kinds: []uint32{8, 9}, NewestKind: 9}, []eventhub.Kind{eventhub.Away, eventhub.Resumed}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newNetwork(t, 1, lag, 0).add("A", eventhub.Options{})
				a.forwarder.Joined("B")
				test.subscription.Id = 1
				a.forwarder.Receive("B", &wire.EventTraffic{Body: &wire.EventTraffic_Subscriptions{Subscriptions: &wire.SubscriptionList{
					Ids: []uint64{1}, Subscriptions: []*wire.SubscriptionInfo{test.subscription},
				}}})
				var wanted []eventhub.Kind
				for _, k := range eventhub.Kinds() {
					if a.Wants(k, "/", "x") {
						wanted = append(wanted, k)
					}
				}
				if !slices.Equal(wanted, test.want) {
					t.Errorf("the node gets %v, want %v", wanted, test.want)
				}
			})
		})
	}
}

// What an ended subscription was handed and hasn't answered is marked, the rest is not.
func TestOtherNodesTakeOver(t *testing.T) {
	inBubble(t, eventhub.Options{}, func(t *testing.T, net *network, a, b *node) {
		var r replies
		first := b.subscribe(eventhub.SubscribeOptions{Group: "g", Credits: 3})
		pass(time.Second)
		for _, name := range []string{"1", "2", "3", "4"} {
			a.Ask(message("s", name), r.hook(name))
		}
		a.Publish(message("s", "5"))
		pass(time.Second)
		got := wantTaken(t, first, "s.1? s.2? s.3?")
		if err := first.Reply(got[1].ID, eventhub.Reply{Args: json.RawMessage(`["first"]`)}); err != nil {
			t.Error(err)
		}
		c := net.add("C", eventhub.Options{})
		second := c.subscribe(eventhub.SubscribeOptions{Group: "g", Credits: 100})
		pass(time.Second)
		first.Close()
		pass(time.Second)
		again := wantTaken(t, second, "s.1?! s.3?! s.4? s.5")
		if again[0].ID != got[0].ID || again[1].ID != got[2].ID {
			t.Errorf("redelivered with the ids %d and %d, want %d and %d", again[0].ID, again[1].ID, got[0].ID, got[2].ID)
		}
		for _, d := range again {
			if d.NeedsAck {
				if err := second.Reply(d.ID, eventhub.Reply{Args: json.RawMessage(`["second"]`)}); err != nil {
					t.Error(err)
				}
			}
		}
		pass(time.Second)
		r.want(t, "2", `["first"]`)
		for _, name := range []string{"1", "3", "4"} {
			r.want(t, name, `["second"]`)
		}
	})
}

// What a lost node hasn't reported is handed out again, marked, whether it needs an answer or not.
func TestTakeOverFromLostNode(t *testing.T) {
	inBubble(t, eventhub.Options{AckTimeout: time.Minute}, func(t *testing.T, net *network, a, b *node) {
		var r replies
		first := b.subscribe(eventhub.SubscribeOptions{Group: "g", Credits: 100})
		pass(time.Second)
		a.Publish(message("s", "reported"))
		pass(time.Second)
		wantTaken(t, first, "s.reported")
		pass(time.Second)
		a.Publish(message("s", "unreported"))
		a.Ask(message("s", "asked"), r.hook("asked"))
		second := net.add("C", eventhub.Options{}).subscribe(eventhub.SubscribeOptions{Group: "g", Credits: 100})
		synctest.Wait()
		net.cut(b)
		pass(time.Second)
		got := wantTaken(t, second, "s.unreported! s.asked?!")
		if err := second.Reply(got[1].ID, eventhub.Reply{Args: json.RawMessage(`[2]`)}); err != nil {
			t.Error(err)
		}
		pass(time.Second)
		r.want(t, "asked", "[2]")
	})
}

// A backend learns that a question has ended at the other node.
func TestQuestionsEndAtOtherNodes(t *testing.T) {
	inBubble(t, eventhub.Options{AckTimeout: 10 * time.Second, DecisionTimeout: 2 * time.Second}, func(t *testing.T, _ *network, a, b *node) {
		var r replies
		one := b.subscribe(eventhub.SubscribeOptions{Group: "one", Credits: 100})
		two := a.subscribe(eventhub.SubscribeOptions{Group: "two", Credits: 100})
		decider := b.subscribe(eventhub.SubscribeOptions{Group: "d", Filter: eventhub.Filter{Kinds: []eventhub.Kind{eventhub.Connect}}, Decide: true, Credits: 100})
		pass(time.Second)
		a.Ask(message("s", "x"), r.hook("x"))
		pass(time.Second)
		late := wantTaken(t, one, "s.x?")[0].ID
		if err := two.Reply(take(t, two)[0].ID, eventhub.Reply{Args: json.RawMessage(`["two"]`)}); err != nil {
			t.Error(err)
		}
		pass(time.Second)
		wantReason(t, one.Reply(late, eventhub.Reply{}), eventhub.ReasonDeliveryAnswered)

		a.Ask(message("s", "y"), r.hook("y"))
		pass(11 * time.Second)
		r.want(t, "x", `["two"]`)
		r.want(t, "y", "!"+eventhub.ReasonHandlerTimeout)
		wantTaken(t, one, "s.y") // still handed out

		connect := message("c", "")
		connect.Kind = eventhub.Connect
		decided := make(chan error, 2)
		decide := func() { _, err := a.Decide(connect, nil); decided <- err }
		go decide()
		pass(3 * time.Second)
		if err := <-decided; !errors.Is(err, eventhub.ErrUndecided) {
			t.Errorf("undecided is %v", err)
		}
		wantTaken(t, decider, "") // too late
		go decide()
		pass(time.Second)
		if err := decider.Decide(wantTaken(t, decider, "c.?")[0].ID, eventhub.Decision{Rooms: []string{"r"}}); err != nil {
			t.Error(err)
		}
		if err := <-decided; err != nil {
			t.Error(err)
		}
	})
}

// A subscription that doesn't read ends at its own node too, once the window there and the queue here
// are full. It doesn't delay others.
func TestSlowSubscriptionAtOtherNode(t *testing.T) {
	inBubble(t, eventhub.Options{MaxQueuedEvents: 10_000}, func(t *testing.T, _ *network, a, b *node) {
		slow := b.subscribe(eventhub.SubscribeOptions{Group: "slow"})
		fast := b.subscribe(eventhub.SubscribeOptions{Group: "fast", Credits: 100_000})
		pass(time.Second)
		total := 0
		for i := range 30 {
			for j := range 500 {
				a.Publish(message("s", fmt.Sprint(i, " ", j)))
			}
			pass(100 * time.Millisecond)
			total += len(take(t, fast))
			pass(100 * time.Millisecond)
		}
		pass(time.Second)
		if total += len(take(t, fast)); total != 15_000 {
			t.Errorf("the fast one got %d events, want 15000", total)
		}
		wantReason(t, slow.Err(), eventhub.ReasonSlowSubscriber)
		if fast.Err() != nil {
			t.Errorf("the fast one has ended: %v", fast.Err())
		}
	})
}

// Events wait while other nodes can't be reached. Then all of them arrive, in order.
func TestOutages(t *testing.T) {
	inBubble(t, eventhub.Options{}, func(t *testing.T, net *network, a, b *node) {
		s := b.subscribe(eventhub.SubscribeOptions{Credits: 10_000})
		pass(time.Second)
		var want []string
		publish := func(n int) {
			for range n {
				name := fmt.Sprint(len(want))
				a.Publish(message("s", name))
				want = append(want, "s."+name)
			}
		}
		publish(10)
		net.set(0, true) // with some of them in flight
		publish(10)
		pass(20 * time.Second)
		net.set(1, false) // messages are lost, and no node knows
		publish(10)
		pass(20 * time.Second)
		net.set(0, false)
		publish(10)
		pass(10 * time.Second)
		wantTaken(t, s, strings.Join(want, " "))

		net.set(1, false) // the reports are lost too
		publish(1)
		pass(time.Second)
		net.set(0, false)
		for range 3 {
			publish(4000)
			pass(5 * time.Second)
			if got := take(t, s); len(got) < 4000 {
				t.Errorf("%d events came, want at least 4000", len(got))
			}
			if err := s.Credit(4001); err != nil {
				t.Error(err)
			}
		}
	})
}

// A node that drains reports what it couldn't hand out.
func TestDrainingOtherNode(t *testing.T) {
	inBubble(t, eventhub.Options{}, func(t *testing.T, net *network, a, b *node) {
		first := b.subscribe(eventhub.SubscribeOptions{Group: "g", Credits: 1})
		second := net.add("C", eventhub.Options{}).subscribe(eventhub.SubscribeOptions{Group: "g", Credits: 100})
		pass(time.Second)
		var socket string // one that goes to the first
		for i := 0; socket == ""; i++ {
			a.Publish(message(fmt.Sprint("s", i), "x"))
			pass(time.Second)
			if got := take(t, first); len(got) > 0 {
				socket = got[0].Event.Socket.ID
			}
			take(t, second)
		}
		a.Publish(message(socket, "1"))
		a.Publish(message(socket, "2"))
		pass(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_ = b.Close(ctx)
		b.stop()
		pass(time.Second)
		wantTaken(t, second, socket+".1 "+socket+".2")
	})
}

// An event that is sent again because a report was lost isn't delivered twice.
func TestNothingTwice(t *testing.T) {
	inBubble(t, eventhub.Options{}, func(t *testing.T, net *network, a, b *node) {
		s := b.subscribe(eventhub.SubscribeOptions{Credits: 1000})
		pass(time.Second)
		net.silence("B")
		for _, name := range []string{"1", "2", "3"} {
			a.Publish(message("s", name))
			pass(3 * time.Second)
		}
		net.silence("")
		pass(5 * time.Second)
		a.Publish(message("s", "4"))
		pass(time.Second)
		wantTaken(t, s, "s.1 s.2 s.3 s.4")
	})
}

// An event that another group answers while it is in flight is still handed out, also if another
// member takes over.
func TestAnsweredInFlight(t *testing.T) {
	inBubble(t, eventhub.Options{}, func(t *testing.T, net *network, a, b *node) {
		var r replies
		idle := b.subscribe(eventhub.SubscribeOptions{Group: "g"})
		fast := a.subscribe(eventhub.SubscribeOptions{Group: "fast", Credits: 100})
		pass(time.Second)
		a.Ask(message("s", "x"), r.hook("x"))
		pass(time.Second)
		if err := fast.Reply(wantTaken(t, fast, "s.x?")[0].ID, eventhub.Reply{Args: json.RawMessage(`[1]`)}); err != nil {
			t.Error(err)
		}
		other := net.add("C", eventhub.Options{}).subscribe(eventhub.SubscribeOptions{Group: "g", Credits: 100})
		pass(time.Second)
		idle.Close()
		pass(time.Second)
		wantTaken(t, other, "s.x")
		r.want(t, "x", "[1]")
	})
}

// An answer counts if the subscription ends right after it.
func TestAnswersBeforeTheEnd(t *testing.T) {
	inBubble(t, eventhub.Options{}, func(t *testing.T, _ *network, a, b *node) {
		for i := range 50 {
			var r replies
			s := b.subscribe(eventhub.SubscribeOptions{Credits: 10})
			pass(time.Second)
			a.Ask(message(fmt.Sprint(i), "x"), r.hook("x"))
			pass(time.Second)
			if err := s.Reply(take(t, s)[0].ID, eventhub.Reply{Args: json.RawMessage(`[1]`)}); err != nil {
				t.Error(err)
			}
			s.Close()
			pass(time.Second)
			r.want(t, "x", "[1]")
		}
	})
}
