package broker_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/eventhub"
)

// seesAll may join every room and see who is there.
var seesAll = broker.Permissions{Join: []string{"**"}, Presence: []string{"**"}}

// withPresence are options of brokers whose rooms offer presence.
func withPresence() broker.Options {
	return broker.Options{Rooms: broker.RoomEvents{
		JoinEvent: "join", LeaveEvent: "leave", PresenceEvent: "presence", PresenceRooms: []string{"chat:**"},
	}}
}

// userEvents gets the events about users.
type userEvents struct {
	t   *testing.T
	sub *broker.Subscription
}

func subscribeUsers(t *testing.T, node *brokertest.Node) *userEvents {
	t.Helper()
	sub, err := node.Subscribe(broker.SubscribeOptions{
		Kinds:   []eventhub.Kind{eventhub.UserOnline, eventhub.UserOffline, eventhub.UserJoined, eventhub.UserLeft},
		Credits: 100_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	return &userEvents{t: t, sub: sub}
}

// next returns the next event as "kind room user".
func (u *userEvents) next() string {
	u.t.Helper()
	deadline := time.After(time.Minute)
	for {
		into := make([]eventhub.Delivery, 1)
		n, err := u.sub.Take(into)
		if err != nil {
			u.t.Fatal(err)
		}
		if n == 1 {
			e := into[0].Event
			return strings.Join(strings.Fields(e.Kind.String()+" "+e.Room+" "+e.User), " ")
		}
		select {
		case <-u.sub.Ready():
		case <-deadline:
			u.t.Fatal("no event")
		}
	}
}

// want expects these events next, in any order.
func (u *userEvents) want(want ...string) {
	u.t.Helper()
	var got []string
	for range want {
		got = append(got, u.next())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		u.t.Errorf("got %q, want %q", got, want)
	}
}

// A user with tabs at several nodes is announced with the first and the last, to backends and to the
// members of the room.
func TestFirstAndLastSocketAreAnnounced(t *testing.T) {
	o := withPresence()
	o.Anonymous = &brokertest.Everything
	nodes, _ := brokertest.StartCluster(t, 3, o)
	events := subscribeUsers(t, nodes[2])
	awaitSubscription(t, nodes, eventhub.UserOnline)
	stranger := nodes[1].Dial(nil) // who isn't permitted to see who is there
	stranger.Connect("/", nil)
	stranger.Call("join", "chat:1")
	luis := nodes[0].JoinAs(nodes[0].Token("luis", seesAll))
	events.want("user_online luis")
	if got := luis.Call("join", map[string]any{"room": "chat:1", "presence": true}); got != `[{"ok":true,"users":[{"user":"luis"}]}]` {
		t.Errorf("the first join: %s", got)
	}
	events.want("user_joined chat:1 luis")
	luis.Expect("presence", `[{"room":"chat:1","state":"joined","user":"luis"}]`)
	var tabs []*brokertest.Client
	for i, node := range nodes {
		tab := node.JoinAs(node.Token("ana", seesAll))
		if i == 0 {
			events.want("user_online ana")
		}
		if got := tab.Call("join", map[string]any{"room": "chat:1", "presence": true}); !strings.Contains(got, `{"user":"luis"}`) || !strings.Contains(got, `{"user":"ana"}`) {
			t.Errorf("tab %d: %s", i, got)
		}
		if i == 0 {
			events.want("user_joined chat:1 ana")
			luis.Expect("presence", `[{"room":"chat:1","state":"joined","user":"ana"}]`)
		}
		tab.Call("join", "other") // which has no presence
		tabs = append(tabs, tab)
	}
	tabs[1].Call("leave", "chat:1")
	tabs[2].Send("41")
	tabs[0].Send("41")
	events.want("user_left chat:1 ana")
	luis.Expect("presence", `[{"room":"chat:1","state":"left","user":"ana"}]`)
	tabs[1].Send("41")
	events.want("user_offline ana")
	stranger.ExpectNothing()
}

// awaitSubscription waits until all nodes know that a backend wants events of a kind.
func awaitSubscription(t *testing.T, nodes []*brokertest.Node, kind eventhub.Kind) {
	t.Helper()
	deadline := time.After(time.Minute)
	for _, node := range nodes {
		for !node.WantsEvents(kind, "/") {
			select {
			case <-time.After(time.Millisecond):
			case <-deadline:
				t.Fatal("a node doesn't learn about the subscription")
			}
		}
	}
}

// A client sees who is in a room only if the room offers that and its token permits it.
func TestPresenceNeedsPermission(t *testing.T) {
	node := brokertest.Start(t, withPresence())
	c := node.JoinAs(node.Token("ana", broker.Permissions{Join: []string{"**"}}))
	for _, room := range []string{"chat:1", "other"} {
		if got := c.Call("join", map[string]any{"room": room, "presence": true}); !strings.Contains(got, broker.ReasonPresenceDenied) {
			t.Errorf("%s: %s", room, got)
		}
	}
	if got := c.Call("join", map[string]any{"room": "chat:1", "presence": false}); got != `[{"ok":true}]` {
		t.Errorf("without presence: %s", got)
	}
	if got := c.Call("join", map[string]any{"room": "chat:1", "presence": nil}); got != `[{"ok":true}]` {
		t.Errorf("with null: %s", got)
	}
	if got := c.Call("join", map[string]any{"room": "chat:1", "presence": "yes"}); !strings.Contains(got, "presence: must be true or false") {
		t.Errorf("with text: %s", got)
	}
}

// A node ends whose clients have taken all the time that it had, while another one has just been
// killed. It still hands over whom it awaits, and whom it was about to find out about: they have left
// once the lost node is noticed.
func TestLeavesAreHandedOverInAHurry(t *testing.T) {
	t.Parallel()
	m := newPresenceModel(t, rand.New(rand.NewPCG(1, 2)), true)
	ending, killed := m.nodes[1], m.nodes[2]
	ana, luis := ending.JoinAs(ending.Token("ana", seesAll)), ending.JoinAs(ending.Token("luis", seesAll))
	m.events.want("user_online ana", "user_online luis")
	killed.proxy.StopPublishing()
	killed.proxy.StopReceiving()
	ana.Close()
	luis.Send("41")
	for deadline := time.After(30 * time.Second); ; {
		list, err := ending.Users(t.Context(), broker.UserQuery{})
		if err == nil && len(list.Users) == 0 {
			break
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("the users are still there: %+v, %v", list, err)
		}
	}
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	_ = ending.Shutdown(expired) // it hasn't ended in order
	m.events.want("user_offline ana", "user_offline luis")
}
