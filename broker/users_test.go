package broker_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// Users with tabs at several nodes are listed, counted and found once, page by page.
func TestUsersOfAllNodes(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 3, broker.Options{Anonymous: &brokertest.Everything, Namespaces: []string{"/", "/chat"}, Rooms: broker.RoomEvents{JoinEvent: "join"}})
	sockets := make(map[string]int)
	for i := range 30 { // 10 users, of whom each has 3 tabs, some at the same node
		user := fmt.Sprintf("user%d", i%10)
		rooms := []string{"all"}
		if i < 10 {
			rooms = append(rooms, "first") // at all nodes
		}
		if i%3 == 0 {
			rooms = append(rooms, "zero") // at one node
		}
		c := nodes[(i+i/10*(i%2))%3].Dial(nil)
		c.Connect("/", map[string]string{"token": nodes[0].Token(user, broker.Permissions{Rooms: rooms})})
		sockets[user]++
	}
	anonymous := nodes[1].Dial(nil)
	anonymous.Connect("/", nil)
	anonymous.Call("join", "all")
	for _, node := range nodes {
		for size := 1; size <= 12; size++ {
			var got []broker.PresentUser
			q := broker.UserQuery{Room: "all", Page: broker.Page{Size: size}}
			for pages := 0; pages == 0 || q.Page.Token != ""; pages++ {
				list, err := node.Users(t.Context(), q)
				if err != nil || list.Partial || len(list.Users) > size || pages > 10 {
					t.Fatalf("page %d of %d: %+v, %v", pages, size, list, err)
				}
				got = append(got, list.Users...)
				q.Page.Token = list.Next
			}
			if len(got) != 10 || !slices.IsSortedFunc(got, func(a, b broker.PresentUser) int { return strings.Compare(a.User, b.User) }) {
				t.Fatalf("pages of %d: %+v", size, got)
			}
			for _, u := range got {
				if u.Sockets != sockets[u.User] {
					t.Fatalf("pages of %d: %+v, want %d sockets", size, u, sockets[u.User])
				}
			}
		}
		counts, err := node.CountUsers(t.Context(), "", []string{"all", "first", "nobody", "zero", "all"})
		want := []broker.RoomCount{{"all", 10, 31}, {"first", 10, 10}, {"nobody", 0, 0}, {"zero", 10, 10}, {"all", 10, 31}}
		if err != nil || counts.Partial || !reflect.DeepEqual(counts.Counts, want) {
			t.Errorf("CountUsers: %+v, %v; want %+v", counts, err, want)
		}
		counts, err = node.CountUsers(t.Context(), "/", nil)
		if err != nil || !reflect.DeepEqual(counts.Counts, []broker.RoomCount{{"", 10, 31}}) {
			t.Errorf("CountUsers of the namespace: %+v, %v", counts, err)
		}
		counts, err = node.CountUsers(t.Context(), "/chat", nil)
		if err != nil || !reflect.DeepEqual(counts.Counts, []broker.RoomCount{{"", 0, 0}}) {
			t.Errorf("CountUsers of an empty namespace: %+v, %v", counts, err)
		}
		online, err := node.Online(t.Context(), "", []string{"user3", "nobody", "user0", "user3"})
		if err != nil || online.Partial || !slices.Equal(online.Users, []string{"user3", "user0", "user3"}) {
			t.Errorf("Online: %+v, %v", online, err)
		}
	}
}

// A user has the data of the socket that connected last, at whichever node.
func TestUsersHaveTheirLatestData(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{})
	for i, node := range []*brokertest.Node{nodes[0], nodes[1], nodes[0]} {
		c := node.Dial(nil)
		issued, err := node.IssueToken(t.Context(), broker.TokenRequest{User: "ana", Data: fmt.Appendf(nil, `{"tab":%d}`, i)})
		if err != nil {
			t.Fatal(err)
		}
		c.Connect("/", map[string]string{"token": issued.Token})
	}
	list, err := nodes[1].Users(t.Context(), broker.UserQuery{})
	if err != nil || len(list.Users) != 1 || list.Users[0].Sockets != 3 || string(list.Users[0].Data) != `{"tab":2}` {
		t.Errorf("got %+v, %v", list, err)
	}
}

// Nodes that don't answer are named.
func TestUsersNameMissingNodes(t *testing.T) {
	nodes, exchange := brokertest.StartCluster(t, 2, broker.Options{})
	nodes[0].Join("ana")
	nodes[1].Join("luis")
	all, err := nodes[0].ListNodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exchange.SetDown(true)
	defer exchange.SetDown(false)
	list, err := nodes[0].Users(t.Context(), broker.UserQuery{})
	if err != nil || !list.Partial || len(list.Missing) != 1 || len(list.Users) != 1 {
		t.Errorf("Users: %+v, %v; the nodes are %+v", list, err, all)
	}
	counts, err := nodes[0].CountUsers(t.Context(), "", nil)
	if err != nil || !counts.Partial || len(counts.Missing) != 1 || counts.Counts[0].Users != 1 {
		t.Errorf("CountUsers: %+v, %v", counts, err)
	}
	online, err := nodes[0].Online(t.Context(), "", []string{"ana", "luis"})
	if err != nil || !online.Partial || len(online.Missing) != 1 || len(online.Users) != 1 {
		t.Errorf("Online: %+v, %v", online, err)
	}
}

func TestUsersRefuseBadRequests(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprint("room", i)
	}
	_, manyRooms := node.CountUsers(t.Context(), "", many)
	_, noUsers := node.Online(t.Context(), "", nil)
	_, emptyUser := node.Online(t.Context(), "", []string{""})
	_, hugePage := node.Users(t.Context(), broker.UserQuery{Page: broker.Page{Size: 1001}})
	_, otherToken := node.Users(t.Context(), broker.UserQuery{Page: broker.Page{Token: "cm9vbXM"}})
	_, badRoom := node.Users(t.Context(), broker.UserQuery{Room: "a\nb"})
	for what, err := range map[string]error{
		"10,000 rooms": manyRooms, "no users": noUsers, "an empty name": emptyUser,
		"a huge page": hugePage, "a token of another list": otherToken, "a room's name": badRoom,
	} {
		var e *broker.Error
		if !errors.As(err, &e) || e.Code != broker.CodeInvalidArgument || len(e.Fields) == 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := node.Users(t.Context(), broker.UserQuery{Namespace: "/nowhere"})
	var e *broker.Error
	if !errors.As(err, &e) || e.Reason != broker.ReasonNamespaceNotFound {
		t.Errorf("an unknown namespace: %v", err)
	}
}

// Users with much data make pages that gRPC clients still accept.
func TestPagesOfUsersAreBounded(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Namespaces: []string{"/"}})
	const users, size = 1000, 4000
	for n := range users {
		issued, err := node.IssueToken(t.Context(), broker.TokenRequest{
			User: fmt.Sprintf("user-%04d", n), Data: []byte(`"` + strings.Repeat("x", size) + `"`), Permissions: broker.Permissions{Rooms: []string{"large"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		node.Dial(nil).Connect("/", map[string]string{"token": issued.Token})
	}
	seen, pages := 0, 0
	for page := (broker.Page{Size: users}); ; {
		list, err := node.Users(t.Context(), broker.UserQuery{Room: "large", Page: page})
		if err != nil {
			t.Fatal(err)
		}
		bytes := 0
		for _, u := range list.Users {
			if want := fmt.Sprintf("user-%04d", seen); u.User != want {
				t.Fatalf("%s comes, want %s", u.User, want)
			}
			seen++
			bytes += len(u.Data)
		}
		pages++
		if bytes > 3<<20 {
			t.Errorf("a page has %d bytes of data", bytes)
		}
		if list.Next == "" {
			break
		}
		page.Token = list.Next
	}
	if seen != users || pages < 2 {
		t.Errorf("%d users came on %d pages", seen, pages)
	}
}
