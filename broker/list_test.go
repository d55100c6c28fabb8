package broker_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/room"
)

func TestListRoomsPagesThroughAllNamespaces(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Namespaces: []string{"/", "/chat"}})
	var want []string
	perms := broker.Permissions{}
	for i := range 25 {
		perms.Rooms = append(perms.Rooms, fmt.Sprintf("room:%02d", i))
	}
	raw := node.Token("ana", perms)
	for _, namespace := range []string{"/", "/chat"} {
		c := node.Dial(nil)
		c.Connect(namespace, map[string]string{"token": raw})
		for _, room := range perms.Rooms {
			want = append(want, namespace+" "+room)
		}
	}
	for size := range 52 {
		if size == 0 {
			continue
		}
		q := broker.RoomQuery{Page: broker.Page{Size: size}}
		var got []string
		for pages := 0; pages == 0 || q.Page.Token != ""; pages++ {
			list, err := node.ListRooms(t.Context(), q)
			rooms, next := list.Rooms, list.Next
			if err != nil || len(rooms) > size || pages > 50 {
				t.Fatalf("page %d of %d: %d rooms, %v", pages, size, len(rooms), err)
			}
			for _, r := range rooms {
				got = append(got, r.Namespace+" "+r.Name)
			}
			q.Page.Token = next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pages of %d: got %v", size, got)
		}
	}
	list, err := node.ListRooms(t.Context(), broker.RoomQuery{Namespace: "/chat", Prefix: "room:1"})
	rooms := list.Rooms
	if err != nil || len(rooms) != 10 || !reflect.DeepEqual(rooms[0], broker.RoomInfo{Name: "room:10", Namespace: "/chat", Sockets: 1}) {
		t.Errorf("with namespace and prefix: %v, %v", rooms, err)
	}
}

func TestGetRoomCountsUsers(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	for _, user := range []string{"ana", "ana", "luis"} {
		node.JoinAs(node.Token(user, broker.Permissions{Rooms: []string{"a"}}))
	}
	if got, err := node.GetRoom(t.Context(), "", "a"); err != nil || !reflect.DeepEqual(got, broker.RoomInfo{Name: "a", Namespace: "/", Sockets: 3, Users: 2}) {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err := node.GetRoom(t.Context(), "", "b")
	var e *broker.Error
	if !errors.As(err, &e) || e.Code != broker.CodeNotFound || e.Reason != broker.ReasonRoomNotFound {
		t.Errorf("an empty room: %v", err)
	}
}

func TestListSockets(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Namespaces: []string{"/", "/chat"}})
	var all []string
	for i := range 7 {
		c := node.Dial(nil)
		rooms := []string{fmt.Sprint("mod", i%2)}
		c.Connect([]string{"/", "/chat"}[i%2], map[string]string{"token": node.Token(fmt.Sprint("user", i%3), broker.Permissions{Rooms: rooms})})
		all = append(all, c.ID)
	}
	slices.Sort(all)
	list := func(q broker.SocketQuery) (ids []string) {
		t.Helper()
		q.Page.Size = 2
		for pages := 0; pages == 0 || q.Page.Token != ""; pages++ {
			list, err := node.ListSockets(t.Context(), q)
			sockets, next := list.Sockets, list.Next
			if err != nil || len(sockets) > 2 || pages > 10 {
				t.Fatalf("%v, %v", sockets, err)
			}
			for _, s := range sockets {
				ids = append(ids, s.ID)
			}
			q.Page.Token = next
		}
		return ids
	}
	if got := list(broker.SocketQuery{}); !slices.Equal(got, all) {
		t.Errorf("all: %v, want %v", got, all)
	}
	for name, test := range map[string]struct {
		query broker.SocketQuery
		want  int
	}{
		"namespace":     {broker.SocketQuery{Namespace: "/chat"}, 3},
		"room":          {broker.SocketQuery{Room: "mod0"}, 4},
		"user":          {broker.SocketQuery{User: "user0"}, 3},
		"room and user": {broker.SocketQuery{Room: "mod0", User: "user0"}, 2},
		"all three":     {broker.SocketQuery{Namespace: "/", Room: "mod1", User: "user0"}, 0},
		"nobody":        {broker.SocketQuery{User: "eva"}, 0},
	} {
		if got := list(test.query); len(got) != test.want {
			t.Errorf("%s: %v, want %d", name, got, test.want)
		}
	}
}

func TestPagesAreChecked(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	for _, page := range []broker.Page{{Size: -1}, {Size: 1001}, {Token: "nonsense"}, {Token: "!"}} {
		var e *broker.Error
		if _, err := node.ListRooms(t.Context(), broker.RoomQuery{Page: page}); !errors.As(err, &e) || e.Code != broker.CodeInvalidArgument {
			t.Errorf("rooms %+v: %v", page, err)
		}
		if _, err := node.ListSockets(t.Context(), broker.SocketQuery{Page: page}); !errors.As(err, &e) || e.Code != broker.CodeInvalidArgument {
			t.Errorf("sockets %+v: %v", page, err)
		}
	}
}

func TestListNodes(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Version: "v9"})
	node.JoinAs(node.Token("ana", broker.Permissions{Rooms: []string{"a", "b"}}))
	list, err := node.ListNodes(t.Context())
	nodes := list.Nodes
	if err != nil || len(nodes) != 1 {
		t.Fatalf("%v, %v", nodes, err)
	}
	n := nodes[0]
	if n.ID == "" || n.Version != "v9" || n.Sockets != 1 || n.Rooms != 2 || n.State != broker.NodeActive || n.Uptime <= 0 {
		t.Errorf("node %+v", n)
	}
}

// A list that is limited pages through what it may show, and its page tokens
// name nothing else.
func TestListsWithin(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Namespaces: []string{"/", "/chat"}})
	raw := node.Token("ana", broker.Permissions{Rooms: []string{"a", "room-1", "room-2", "room-2:log", "room-3", "z"}})
	var ids []string
	for _, namespace := range []string{"/", "/chat"} {
		c := node.Dial(nil)
		c.Connect(namespace, map[string]string{"token": raw})
		ids = append(ids, c.ID)
	}
	within := []room.Area{{Namespace: "/chat", Rooms: "room-*"}}
	for namespace, want := range map[string][]string{"": {"room-1", "room-2", "room-3"}, "/chat": {"room-1", "room-2", "room-3"}, "/": nil} {
		q := broker.RoomQuery{Namespace: namespace, Within: within, Page: broker.Page{Size: 1}}
		var got []string
		for pages := 0; pages == 0 || q.Page.Token != ""; pages++ {
			list, err := node.ListRooms(t.Context(), q)
			if err != nil || pages > 10 {
				t.Fatal(pages, err)
			}
			for _, r := range list.Rooms {
				got = append(got, r.Name)
			}
			q.Page.Token = list.Next
		}
		if !slices.Equal(got, want) {
			t.Errorf("rooms of %q: %q, want %q", namespace, got, want)
		}
	}
	list, err := node.ListSockets(t.Context(), broker.SocketQuery{Within: []string{"/chat"}})
	if err != nil || len(list.Sockets) != 1 || list.Sockets[0].ID != ids[1] {
		t.Errorf("sockets: %v, %v", list.Sockets, err)
	}
	if list, err := node.ListSockets(t.Context(), broker.SocketQuery{Namespace: "/", Within: []string{"/chat"}}); err != nil || len(list.Sockets) != 0 {
		t.Errorf("sockets of another namespace: %v, %v", list.Sockets, err)
	}
}
