package eventhub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestFilters(t *testing.T) {
	for _, tt := range []struct {
		name   string
		filter Filter
		want   string
	}{
		{"all", Filter{}, "connect/ connect/a message/x message/y message/ax join/"},
		{"a kind", Filter{Kinds: []Kind{Connect, Join}}, "connect/ connect/a join/"},
		{"a namespace", Filter{Namespaces: []string{"/a", "/b"}}, "connect/a message/ax"},
		{"names of messages only", Filter{Names: []string{"x"}}, "connect/ connect/a message/x message/ax join/"},
		{"all of it", Filter{Kinds: []Kind{Message}, Namespaces: []string{"/a"}, Names: []string{"x"}}, "message/ax"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub(t, Options{})
			if h.Wants(Message, "/", "x") {
				t.Error("wanted without subscribers")
			}
			s := subscribe(t, h, SubscribeOptions{Filter: tt.filter, Credits: 100})
			wanted := ""
			for _, e := range []Event{
				{Kind: Connect, Namespace: "/"}, {Kind: Connect, Namespace: "/a"},
				{Kind: Message, Namespace: "/", Name: "x"}, {Kind: Message, Namespace: "/", Name: "y"},
				{Kind: Message, Namespace: "/a", Name: "x"}, {Kind: Join, Namespace: "/"},
			} {
				h.Publish(&e)
				if h.Wants(e.Kind, e.Namespace, e.Name) {
					wanted += " " + e.Kind.String() + e.Namespace + e.Name
				}
			}
			got := ""
			for _, d := range take(t, s) {
				got += " " + d.Event.Kind.String() + d.Event.Namespace + d.Event.Name
			}
			if got != " "+tt.want || wanted != got {
				t.Errorf("got %q, Wants said %q, want %q", got, wanted, tt.want)
			}
		})
	}
}

func TestOneMemberOfEachGroup(t *testing.T) {
	h := newHub(t, Options{})
	groups := map[string][]*Subscription{}
	for _, name := range []string{"a", "a", "a", "b", "", ""} {
		groups[name] = append(groups[name], subscribe(t, h, SubscribeOptions{Group: name, Credits: 1000}))
	}
	const sockets = 60
	for i := range 2 * sockets {
		h.Publish(message(fmt.Sprint("s", i%sockets), fmt.Sprint(i/sockets)))
	}
	total := 0
	for i, s := range groups["a"] {
		got := take(t, s)
		total += len(got)
		if len(got) < sockets/5 {
			t.Errorf("member %d of a got %d events of %d", i, len(got), 2*sockets)
		}
		seen := map[string]string{} // sticky: both events of a socket, in order
		for _, d := range got {
			seen[d.Event.Socket.ID] += d.Event.Name
		}
		for socket, events := range seen {
			if events != "01" {
				t.Errorf("member %d got %q of %s", i, events, socket)
			}
		}
	}
	if total != 2*sockets {
		t.Errorf("group a got %d events, want %d", total, 2*sockets)
	}
	for _, s := range append(groups["b"], groups[""]...) {
		if got := take(t, s); len(got) != 2*sockets {
			t.Errorf("a group of one got %d events, want %d", len(got), 2*sockets)
		}
	}
}

func TestNewMembersDontTakeOver(t *testing.T) {
	h := newHub(t, Options{})
	first := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 1000})
	for i := range 100 {
		h.Publish(message(fmt.Sprint("s", i), "early"))
		h.Publish(&Event{Kind: RoomOpened, Namespace: "/", Room: fmt.Sprint("r", i)})
	}
	second := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 1000})
	for i := range 100 {
		h.Publish(message(fmt.Sprint("s", i), "late"))
		h.Publish(&Event{Kind: RoomClosed, Namespace: "/", Room: fmt.Sprint("r", i)})
	}
	if got := len(take(t, first)); got != 400 {
		t.Errorf("the first member got %d events, want all 400", got)
	}
	wantTaken(t, second, "")
	// Forget unpins sockets; the end of a room unpins it.
	for i := range 100 {
		h.Forget(fmt.Sprint("s", i))
	}
	if n := len(first.group.pins); n != 0 {
		t.Errorf("%d pins are left", n)
	}
	for i := range 100 {
		h.Publish(message(fmt.Sprint("s", i), "back"))
	}
	if got := len(take(t, second)); got < 20 || got > 80 {
		t.Errorf("the second member got %d of 100 new sockets", got)
	}
}

// A socket keeps its member while it is away and when it returns, however many members come.
func TestReturningSocketKeepsItsMember(t *testing.T) {
	h := newHub(t, Options{})
	first := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 1000})
	event := func(kind Kind, i int) *Event {
		return &Event{Kind: kind, Namespace: "/", Socket: &Socket{ID: fmt.Sprint("s", i), Namespace: "/"}}
	}
	for i := range 50 {
		h.Publish(event(Connect, i))
	}
	second := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 1000})
	for _, kind := range []Kind{Away, Resumed, Away, Disconnect} {
		for i := range 50 {
			h.Publish(event(kind, i))
		}
	}
	if got := len(take(t, first)); got != 250 {
		t.Errorf("the first member got %d events, want all 250", got)
	}
	wantTaken(t, second, "")
}

func TestKindsHaveNames(t *testing.T) {
	names := make(map[string]bool)
	for _, k := range Kinds() {
		if !k.valid() || k.String() == "unknown" || names[k.String()] {
			t.Errorf("the kind %d has the name %q", k, k)
		}
		names[k.String()] = true
	}
	for _, k := range []Kind{0, numKinds, 255} {
		if k.valid() || k.String() != "unknown" {
			t.Errorf("%d is the kind %q", k, k)
		}
	}
}

// A room is pinned only if the member also gets its end.
func TestRoomsAreUnpinned(t *testing.T) {
	h := newHub(t, Options{})
	s := subscribe(t, h, SubscribeOptions{Group: "g", Filter: Filter{Kinds: []Kind{RoomOpened}}, Credits: 10})
	h.Publish(&Event{Kind: RoomOpened, Namespace: "/", Room: "r"})
	wantTaken(t, s, "r")
	if n := len(s.group.pins); n != 0 {
		t.Errorf("%d rooms stay pinned", n)
	}
}

func TestCredits(t *testing.T) {
	h := newHub(t, Options{MaxCredits: 10})
	s := subscribe(t, h, SubscribeOptions{})
	for i := range 5 {
		h.Publish(message("s", fmt.Sprint(i)))
	}
	wantTaken(t, s, "")
	if err := s.Credit(2); err != nil {
		t.Fatal(err)
	}
	<-s.Ready()
	wantTaken(t, s, "s.0 s.1")
	if err := s.Credit(9); err != nil {
		t.Fatal(err)
	}
	wantTaken(t, s, "s.2 s.3 s.4")
	for _, n := range []int{0, -1, 5, 1 << 40} { // 6 credits are unused
		wantReason(t, s.Credit(n), ReasonInvalid)
	}
	if err := s.Credit(4); err != nil {
		t.Error(err)
	}
	for _, o := range []SubscribeOptions{
		{Credits: 11}, {Credits: -1},
		{Filter: Filter{Kinds: []Kind{0}}}, {Filter: Filter{Kinds: []Kind{99}}},
		{Filter: Filter{Kinds: []Kind{Join}}, Decide: true},
	} {
		_, err := h.Subscribe(o)
		wantReason(t, err, ReasonInvalid)
	}
}

func TestAsk(t *testing.T) {
	h := newHub(t, Options{})
	var replies asked
	h.Ask(message("s", "nobody"), replies.hook("nobody"))
	replies.want(t, "nobody", "!NO_HANDLER")

	a := subscribe(t, h, SubscribeOptions{Group: "a", Credits: 100})
	b := subscribe(t, h, SubscribeOptions{Group: "b", Credits: 100})
	h.Ask(message("s", "q"), replies.hook("q"))
	h.Publish(message("s", "plain"))
	id := wantTaken(t, a, "s.q? s.plain")[0].ID
	wantTaken(t, b, "s.q? s.plain")
	wantReason(t, a.Reply(id+1, Reply{}), ReasonDeliveryNotFound) // needs no answer
	wantReason(t, a.Reply(id+9, Reply{}), ReasonDeliveryNotFound) // there is none
	wantReason(t, a.Decide(id, Decision{}), ReasonDeliveryMismatch)
	if err := a.Reply(id, Reply{Args: json.RawMessage(`["yes"]`)}); err != nil {
		t.Fatal(err)
	}
	wantReason(t, a.Reply(id, Reply{}), ReasonDeliveryAnswered)
	wantReason(t, b.Reply(id, Reply{}), ReasonDeliveryAnswered)
	replies.want(t, "q", `["yes"]`)

	if h.deadlines.first != nil {
		t.Error("the answered question still has a deadline")
	}

	h.Ask(message("s", "no"), replies.hook("no"))
	<-b.Ready()
	id = take(t, b)[0].ID
	other := subscribe(t, h, SubscribeOptions{Group: "b", Credits: 100})
	wantReason(t, other.Reply(id, Reply{}), ReasonDeliveryNotFound) // another member has it
	if err := b.Reply(id, Reply{Error: &Failure{Code: "RUDE"}}); err != nil {
		t.Fatal(err)
	}
	replies.want(t, "no", "!RUDE")
	wantTaken(t, a, "s.no") // whose question is over
	a.Close()
	wantReason(t, a.Reply(id, Reply{}), ReasonClosed)
}

func TestHistoryIsBounded(t *testing.T) {
	h := newHub(t, Options{})
	s := subscribe(t, h, SubscribeOptions{Credits: 100_000})
	var first uint64
	for i := range historySize + 1 {
		h.Ask(message("s", ""), func(Reply) {})
		id := take(t, s)[0].ID
		if i == 0 {
			first = id
		}
		if err := s.Reply(id, Reply{}); err != nil {
			t.Fatal(err)
		}
	}
	wantReason(t, s.Reply(first, Reply{}), ReasonDeliveryNotFound)
	wantReason(t, s.Reply(first+1, Reply{}), ReasonDeliveryAnswered)
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		observer := &counts{}
		h := newHub(t, Options{AckTimeout: 10 * time.Second, Observer: observer})
		s := subscribe(t, h, SubscribeOptions{Credits: 3})
		var replies asked
		for i := range 5 {
			h.Ask(message("s", fmt.Sprint(i)), replies.hook(fmt.Sprint(i)))
			pass(time.Second)
		}
		taken := wantTaken(t, s, "s.0? s.1? s.2?")
		pass(6 * time.Second) // 11 s since the first
		replies.want(t, "0", "!HANDLER_TIMEOUT")
		wantReason(t, s.Reply(taken[0].ID, Reply{}), ReasonDeliveryExpired)
		if err := s.Reply(taken[2].ID, Reply{Args: json.RawMessage("[]")}); err != nil {
			t.Error(err)
		}
		replies.want(t, "3", "")
		pass(2500 * time.Millisecond)
		for i, want := range []string{"!HANDLER_TIMEOUT", "!HANDLER_TIMEOUT", "[]", "!HANDLER_TIMEOUT", ""} {
			replies.want(t, fmt.Sprint(i), want)
		}
		if err := s.Credit(10); err != nil {
			t.Fatal(err)
		}
		wantTaken(t, s, "s.3 s.4?") // the event is handed out, its client has an answer
		pass(time.Minute)
		replies.want(t, "4", "!HANDLER_TIMEOUT")
		if len(s.group.outstanding) > 0 || h.deadlines.first != nil || h.deadlines.last != nil {
			t.Error("not all of the questions is gone")
		}
		observer.want(t, map[string]int{
			"opened": 1, "delivered message false": 5, "ended message HANDLER_TIMEOUT": 4, "ended message ": 1,
		})
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{})
		var replies asked
		fast := subscribe(t, h, SubscribeOptions{Group: "fast", Credits: 10})
		slow := subscribe(t, h, SubscribeOptions{Group: "slow", Credits: 1, Filter: Filter{Names: []string{"b"}}})
		h.Ask(message("s", "a"), replies.hook("a"))
		h.Ask(message("s", "b"), replies.hook("b"))
		h.Publish(message("s", "b"))
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		closed := make(chan error, 1)
		go func() { closed <- h.Close(ctx) }()
		synctest.Wait()
		_, err := h.Subscribe(SubscribeOptions{})
		wantReason(t, err, ReasonDraining)
		// Close waits for what backends can still take and answer ...
		if err := fast.Reply(take(t, fast)[0].ID, Reply{Args: json.RawMessage("[1]")}); err != nil {
			t.Error(err)
		}
		wantTaken(t, slow, "s.b?")
		synctest.Wait()
		select {
		case err := <-closed:
			t.Fatalf("Close didn't wait: %v", err)
		default:
		}
		// ... until the context ends.
		if err := <-closed; err != context.DeadlineExceeded {
			t.Errorf("Close = %v", err)
		}
		replies.want(t, "a", "[1]")
		replies.want(t, "b", "!DRAINING")
		wantEnded(t, fast, ReasonDraining)
		wantEnded(t, slow, ReasonDraining)
		h.Ask(message("s", "late"), replies.hook("late"))
		h.Publish(message("s", "late"))
		replies.want(t, "late", "!DRAINING")
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseWhenAllIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{})
		s := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 10})
		other := subscribe(t, h, SubscribeOptions{Group: "g"})
		h.Ask(message("s", "a"), func(Reply) {})
		h.Publish(message("s", "b"))
		closed := make(chan error, 1)
		go func() { closed <- h.Close(context.Background()) }()
		synctest.Wait()
		if len(closed) > 0 {
			t.Fatal("Close didn't wait")
		}
		other.Close() // members may come and go meanwhile
		if other.queue.count > 0 || !h.Wants(Message, "/", "x") {
			t.Error("the group ended with one of its members")
		}
		got := take(t, s)
		synctest.Wait()
		if len(closed) > 0 {
			t.Fatal("Close didn't wait for the reply")
		}
		if err := s.Reply(got[0].ID, Reply{}); err != nil {
			t.Error(err)
		}
		if err := <-closed; err != nil {
			t.Errorf("Close = %v", err)
		}
	})
}

func TestTooManySubscriptions(t *testing.T) {
	h := newHub(t, Options{MaxSubscriptions: 2})
	subscribe(t, h, SubscribeOptions{})
	s := subscribe(t, h, SubscribeOptions{Group: "g"})
	_, err := h.Subscribe(SubscribeOptions{})
	wantReason(t, err, ReasonTooManySubscriptions)
	s.Close()
	s.Close()
	subscribe(t, h, SubscribeOptions{})
	if len(h.groups) != 2 {
		t.Errorf("%d groups are left, want 2", len(h.groups))
	}
}

// Observers get every event and are never asked. Clients are answered as if there were none.
func TestObservers(t *testing.T) {
	h := newHub(t, Options{})
	var replies asked
	alone := subscribe(t, h, SubscribeOptions{Observe: true, Credits: 100})
	first := subscribe(t, h, SubscribeOptions{Group: "log", Observe: true, Credits: 100})
	second := subscribe(t, h, SubscribeOptions{Group: "log", Observe: true, Credits: 100})
	if !h.Wants(Message, "/", "x") || h.Handles("/", "x") {
		t.Error("observers alone should want messages and not handle them")
	}
	h.Ask(message("s", "unhandled"), replies.hook("unhandled"))
	replies.want(t, "unhandled", "!"+ReasonNoHandler)

	handler := subscribe(t, h, SubscribeOptions{Group: "h", Credits: 100})
	if !h.Handles("/", "x") {
		t.Error("Handles doesn't see the handler")
	}
	h.Ask(message("s", "handled"), replies.hook("handled"))
	h.Publish(message("s", "plain"))
	seen := wantTaken(t, alone, "s.unhandled s.handled s.plain")
	asked := wantTaken(t, handler, "s.handled? s.plain")
	if seen[1].ID != asked[0].ID {
		t.Errorf("one event has the deliveries %d and %d", seen[1].ID, asked[0].ID)
	}
	wantReason(t, alone.Reply(seen[1].ID, Reply{}), ReasonDeliveryNotFound)
	replies.want(t, "handled", "")
	alone.Close() // it was never asked
	replies.want(t, "handled", "")
	if err := handler.Reply(asked[0].ID, Reply{Args: json.RawMessage(`[1]`)}); err != nil {
		t.Error(err)
	}
	replies.want(t, "handled", "[1]")
	if got := names(take(t, first)) + names(take(t, second)); got != "s.unhandled s.handled s.plain" {
		t.Errorf("the group of observers took %q", got)
	}
}

func TestAllMembersObserveOrNone(t *testing.T) {
	h := newHub(t, Options{})
	refused := func(o SubscribeOptions) {
		t.Helper()
		_, err := h.Subscribe(o)
		wantReason(t, err, ReasonInvalid)
		var failed *Error
		if errors.As(err, &failed) && failed.Field != "observe" {
			t.Errorf("the field at fault is %q", failed.Field)
		}
	}
	refused(SubscribeOptions{Observe: true, Decide: true})
	observer := subscribe(t, h, SubscribeOptions{Group: "g", Observe: true})
	refused(SubscribeOptions{Group: "g"})
	subscribe(t, h, SubscribeOptions{Group: "g", Observe: true}).Close()
	subscribe(t, h, SubscribeOptions{}) // groups without a name are independent
	subscribe(t, h, SubscribeOptions{Observe: true})
	observer.Close()
	subscribe(t, h, SubscribeOptions{Group: "g"})
	refused(SubscribeOptions{Group: "g", Observe: true})
}
