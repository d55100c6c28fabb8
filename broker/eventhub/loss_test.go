package eventhub

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Other members take over what an ended member owes, in order.
func TestRedelivery(t *testing.T) {
	observer := &counts{}
	h := newHub(t, Options{Observer: observer})
	var replies asked
	first := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 4})
	h.Ask(message("s", "1"), replies.hook("1"))
	h.Publish(message("s", "2"))
	h.Ask(message("s", "3"), replies.hook("3"))
	h.Ask(message("s", "4"), replies.hook("4"))
	h.Publish(message("s", "5"))
	h.Ask(message("s", "6"), replies.hook("6"))
	taken := wantTaken(t, first, "s.1? s.2 s.3? s.4?")
	if err := first.Reply(taken[2].ID, Reply{Args: json.RawMessage("[3]")}); err != nil {
		t.Fatal(err)
	}
	second := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 3})
	wantTaken(t, second, "")
	first.Close()
	wantEnded(t, first, ReasonClosed)
	h.Publish(message("s", "7"))
	// Events that wait for an answer come again. Those that need none and were handed out don't.
	again := wantTaken(t, second, "s.1?! s.4?! s.5")
	if again[0].ID != taken[0].ID {
		t.Error("the id has changed")
	}
	if err := second.Reply(again[0].ID, Reply{Args: json.RawMessage("[1]")}); err != nil {
		t.Fatal(err)
	}
	third := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 100})
	second.Close()
	// 4 has been lost twice; 6 was never handed out.
	wantTaken(t, third, "s.6? s.7")
	replies.want(t, "1", "[1]")
	replies.want(t, "3", "[3]")
	replies.want(t, "4", "!HANDLER_LOST")
	replies.want(t, "6", "")
	third.Close()
	replies.want(t, "6", "!HANDLER_LOST")
	if h.Wants(Message, "/", "x") || len(h.groups) > 0 {
		t.Error("the group isn't gone")
	}
	observer.want(t, map[string]int{
		"opened": 3, "closed SUBSCRIPTION_CLOSED": 3,
		"delivered message false": 7, "delivered message true": 2,
		"lost message HANDLER_LOST": 2, "ended message ": 2, "ended message HANDLER_LOST": 2,
	})
}

// What an ended member leaves doesn't pin a forgotten socket to another member, because nothing would
// unpin it. It does pin a socket that is still there.
func TestForgottenSocketsAreNotPinnedAgain(t *testing.T) {
	h := newHub(t, Options{})
	first := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 1})
	h.Ask(message("gone", "asked"), func(Reply) {})
	h.Publish(message("there", "queued"))
	h.Publish(message("gone", "queued"))
	wantTaken(t, first, "gone.asked?")
	h.Forget("gone")
	second := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 10})
	first.Close()
	wantTaken(t, second, "gone.asked?! there.queued gone.queued")
	if pins := second.group.pins; len(pins) != 1 || pins[pin{name: "there"}] != second {
		t.Errorf("pinned are %v, want the socket that is still there", pins)
	}
}

// A question doesn't fail while another group may answer.
func TestAnotherGroupMayAnswer(t *testing.T) {
	h := newHub(t, Options{})
	var replies asked
	a := subscribe(t, h, SubscribeOptions{Group: "a", Credits: 1})
	b := subscribe(t, h, SubscribeOptions{Group: "b", Credits: 1})
	h.Ask(message("s", "1"), replies.hook("1"))
	take(t, a)
	a.Close()
	replies.want(t, "1", "")
	b.Close()
	replies.want(t, "1", "!HANDLER_LOST")
}

// An event that an ended member had doesn't come again once its client is answered.
func TestAnsweredEventsAreNotRedelivered(t *testing.T) {
	h := newHub(t, Options{})
	b := subscribe(t, h, SubscribeOptions{Group: "b", Credits: 1})
	lost := subscribe(t, h, SubscribeOptions{Group: "a", Credits: 1})
	h.Ask(message("s", "1"), func(Reply) {})
	wantTaken(t, lost, "s.1?")
	other := subscribe(t, h, SubscribeOptions{Group: "a"})
	lost.Close()
	if other.queue.count != 1 {
		t.Fatal("the event hasn't moved to the other member")
	}
	if err := b.Reply(take(t, b)[0].ID, Reply{}); err != nil {
		t.Fatal(err)
	}
	_ = other.Credit(1)
	wantTaken(t, other, "")
}

func TestSlowSubscriberByCount(t *testing.T) {
	observer := &counts{}
	h := newHub(t, Options{MaxQueuedEvents: 4, Observer: observer})
	var replies asked
	slow := subscribe(t, h, SubscribeOptions{Group: "g"})
	for i := range 4 {
		h.Ask(message("s", fmt.Sprint(i)), replies.hook(fmt.Sprint(i)))
	}
	other := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 100})
	bystander := subscribe(t, h, SubscribeOptions{Credits: 100})
	h.Ask(message("s", "4"), replies.hook("4"))
	wantEnded(t, slow, ReasonSlowSubscriber)
	// What the other member takes over fills half of its queue.
	wantTaken(t, other, "s.0? s.1?")
	wantTaken(t, bystander, "s.4?")
	for i, want := range []string{"", "", "!HANDLER_OVERLOADED", "!HANDLER_OVERLOADED", ""} { // 4 is with the bystander
		replies.want(t, fmt.Sprint(i), want)
	}
	h.Publish(message("s", "5"))
	wantTaken(t, other, "s.5")
	observer.want(t, map[string]int{"closed SLOW_SUBSCRIBER": 1, "lost message HANDLER_OVERLOADED": 3})
}

func TestSlowSubscriberByBytes(t *testing.T) {
	h := newHub(t, Options{MaxQueuedBytes: 10_000})
	s := subscribe(t, h, SubscribeOptions{})
	big := message("s", "big")
	big.Attachments = [][]byte{[]byte(strings.Repeat("x", 20_000))}
	h.Publish(big) // one always fits
	wantTaken(t, s, "")
	var replies asked
	h.Ask(message("s", "small"), replies.hook("small"))
	wantEnded(t, s, ReasonSlowSubscriber)
	replies.want(t, "small", "!HANDLER_OVERLOADED")
	if h.Wants(Message, "/", "small") {
		t.Error("the subscription hasn't ended")
	}
}

// The Disconnect of a lost node's socket has the same id whichever node publishes it.
func TestLostDisconnectsKeepTheirID(t *testing.T) {
	var ids []uint64
	for range 2 {
		h := newHub(t, Options{})
		s := subscribe(t, h, SubscribeOptions{Credits: 10})
		for _, socket := range []string{"a", "b"} {
			h.PublishTracked(&Event{Kind: Disconnect, Namespace: "/", Socket: &Socket{ID: socket}}, 1, false, NewTracker())
		}
		h.Publish(message("a", "x"))
		for _, d := range take(t, s) {
			ids = append(ids, d.ID)
		}
	}
	h := newHub(t, Options{})
	s := subscribe(t, h, SubscribeOptions{Credits: 10})
	h.PublishTracked(&Event{Kind: Disconnect, Namespace: "/", Socket: &Socket{ID: "a"}}, 2, false, NewTracker())
	if again := take(t, s)[0].ID; again == ids[0] {
		t.Error("a node that comes back and is lost again ends its socket with the same id")
	}
	h.PublishTracked(&Event{Kind: Disconnect, Namespace: "/", Socket: &Socket{ID: "a", Node: "other"}}, 1, false, NewTracker())
	if again := take(t, s)[0].ID; again == ids[0] {
		t.Error("another node that has taken the socket over and is lost ends it with the same id")
	}
	if ids[0] != ids[3] || ids[1] != ids[4] || ids[0] == ids[1] || ids[2] == ids[5] {
		t.Errorf("two nodes handed out the ids %v", ids)
	}
}

// The events that wait for all members of an owner are bounded, also if each waits for other events.
// Members of other owners aren't affected, and events that are taken make room.
func TestSlowSubscribersOfAnOwner(t *testing.T) {
	h := newHub(t, Options{MaxOwnerBytes: 5 * reserveStep})
	subscribed := func(owner, name string) *Subscription {
		return subscribe(t, h, SubscribeOptions{Owner: owner, Filter: Filter{Kinds: []Kind{Message}, Names: []string{name}}})
	}
	publish := func(name string) {
		big := message("s", name)
		big.Attachments = [][]byte{make([]byte, reserveStep)}
		h.Publish(big)
	}
	greedy := []*Subscription{subscribed("greedy", "a"), subscribed("greedy", "b"), subscribed("greedy", "c"), subscribed("greedy", "d")}
	for _, name := range []string{"a", "b", "c", "a", "b"} {
		publish(name)
	}
	publish("c") // the first of each has taken one step, the second another
	wantEnded(t, greedy[2], ReasonSlowSubscriber)
	other := subscribed("other", "c")
	for range 4 {
		publish("c")
	}
	if err := greedy[0].Credit(10); err != nil {
		t.Fatal(err)
	}
	wantTaken(t, greedy[0], "s.a s.a")
	for range 3 {
		publish("d")
	}
	for i, s := range []*Subscription{greedy[0], greedy[1], greedy[3], other} {
		if err := s.Err(); err != nil {
			t.Errorf("subscription %d: %v", i, err)
		}
	}
}
