package broker_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/eventhub"
)

// Every node shows the groups of all, with what waits for a member at whichever node.
func TestListGroups(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{})
	subscribe := func(node *brokertest.Node, o broker.SubscribeOptions) *broker.Subscription {
		t.Helper()
		sub, err := node.Subscribe(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sub.Close)
		return sub
	}
	subscribe(nodes[0], broker.SubscribeOptions{Group: "orders", Kinds: messages, Events: []string{"buy"}, Credits: 5, Owner: "shop"})
	subscribe(nodes[0], broker.SubscribeOptions{Group: "chat", Kinds: messages, Events: []string{"say"}, Owner: "chat"}) // takes nothing
	subscribe(nodes[1], broker.SubscribeOptions{Observe: true, Kinds: []eventhub.Kind{eventhub.Connect}, Credits: 3, Owner: "log"})
	asked := subscribe(nodes[1], broker.SubscribeOptions{Group: "orders", Kinds: messages, Events: []string{"ask"}, Credits: 9, Owner: "shop"})

	here, there := nodes[0].Join("ana"), nodes[1].Join("ben")
	taken := 0
	groupsOf := func(node *brokertest.Node) []broker.GroupInfo {
		list, err := node.ListGroups(t.Context())
		if err != nil || list.Partial {
			t.Errorf("got %+v, %v", list, err)
		}
		return list.Groups
	}
	eventually(t, "the members get events of both nodes", func() bool {
		here.Emit("say")
		there.Emit("say") // goes nowhere until this node has learned of the other one's subscription
		there.Send(`421["ask"]`)
		var into [4]eventhub.Delivery
		n, err := asked.Take(into[:])
		taken += n
		return err == nil && taken > 0 && groupsOf(nodes[0])[1].Waiting > 2
	})
	eventually(t, "both nodes count the same", func() bool {
		return reflect.DeepEqual(groupsOf(nodes[0]), groupsOf(nodes[1])) && groupsOf(nodes[0])[2].Unacknowledged == taken
	})
	groups := groupsOf(nodes[0])
	if len(groups) != 3 || groups[0].Name != "" || !groups[0].Observes || groups[0].Members[0].Owner != "log" || groups[0].Members[0].Credits != 3 {
		t.Errorf("the group without a name: %+v", groups)
	}
	if g := groups[1]; g.Name != "chat" || len(g.Members) != 1 || g.Members[0].Waiting != g.Waiting || !slices.Equal(g.Members[0].Events, []string{"say"}) {
		t.Errorf("the group that takes nothing: %+v", g)
	}
	if g := groups[2]; g.Name != "orders" || len(g.Members) != 2 || g.Members[0].Node == g.Members[1].Node || g.Members[0].ID == g.Members[1].ID {
		t.Errorf("the group of two nodes: %+v", g)
	}
}

func TestStats(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{})
	list, err := nodes[0].Stats(t.Context(), 0)
	if err != nil || list.Partial || len(list.Nodes) != 2 || list.Nodes[0].Node >= list.Nodes[1].Node {
		t.Errorf("got %+v, %v", list, err)
	}
	for _, points := range []int{-1, 361} {
		var e *broker.Error
		if _, err := nodes[0].Stats(t.Context(), points); !errors.As(err, &e) || e.Reason != broker.ReasonInvalidArgument {
			t.Errorf("%d points: %v", points, err)
		}
	}
}

// Every node shows who hit a limit at any, but only in the namespaces that are asked for.
func TestListLimits(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{Limits: broker.Limits{Events: 1}})
	c := nodes[0].JoinAs(nodes[0].Token("ana", broker.Permissions{Join: []string{"**"}}))
	for range 5 {
		c.Call("say")
	}
	for _, node := range nodes {
		for _, test := range []struct {
			namespaces []string
			want       int
		}{{nil, 1}, {[]string{"/"}, 1}, {[]string{"/chat"}, 0}} {
			list, err := node.ListLimits(t.Context(), test.namespaces)
			if err != nil || list.Partial || len(list.Limits) != test.want {
				t.Fatalf("in %v: %+v, %v", test.namespaces, list, err)
			}
			if test.want > 0 {
				hit := list.Limits[0]
				if hit.Limit != "events" || hit.User != "ana" || hit.Namespace != "/" || hit.Count < 2 || hit.Node == "" || hit.Last.IsZero() {
					t.Errorf("got %+v", hit)
				}
			}
		}
	}
}
