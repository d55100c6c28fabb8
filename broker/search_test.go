package broker_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/room"
)

// namesOfRooms returns "room sockets" of each room of all pages, and the token of the second page.
func namesOfRooms(t *testing.T, node *brokertest.Node, q broker.RoomQuery) (names []string, second string) {
	t.Helper()
	for pages := 0; pages == 0 || q.Page.Token != ""; pages++ {
		list, err := node.ListRooms(t.Context(), q)
		if err != nil || list.Partial || pages > 100 {
			t.Fatalf("page %d: %+v, %v", pages, list, err)
		}
		for _, r := range list.Rooms {
			names = append(names, fmt.Sprint(r.Namespace, " ", r.Name, " ", r.Sockets))
		}
		if q.Page.Token = list.Next; pages == 0 {
			second = list.Next
		}
	}
	return names, second
}

// Rooms that are at several nodes are found once, with the sockets of all, at whichever node
// somebody looks, and a further page comes from whichever node it is asked of.
func TestSearchRooms(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{})
	for _, rooms := range [][]string{{"Chat:1", "news"}, {"Chat:1", "chat:2", "x"}, {"Chat:1", "chat:2", "the-chat"}} {
		for i, node := range nodes {
			node.JoinAs(node.Token(fmt.Sprint("user", i), broker.Permissions{Rooms: append(rooms, fmt.Sprint("CHAT:node", i))}))
		}
	}
	bySize := []string{"/ Chat:1 6", "/ chat:2 4", "/ CHAT:node0 3", "/ CHAT:node1 3", "/ news 2", "/ the-chat 2", "/ x 2"}
	found := []string{"/ CHAT:node0 3", "/ CHAT:node1 3", "/ Chat:1 6", "/ chat:2 4", "/ the-chat 2"}
	for _, node := range nodes {
		for size := 1; size < 8; size++ {
			page := broker.Page{Size: size}
			if got, _ := namesOfRooms(t, node, broker.RoomQuery{BySockets: true, Page: page}); !slices.Equal(got, bySize) {
				t.Errorf("by sockets: %v, want %v", got, bySize)
			}
			if got, _ := namesOfRooms(t, node, broker.RoomQuery{Query: "cHat", Page: page}); !slices.Equal(got, found) {
				t.Errorf("with cHat: %v, want %v", got, found)
			}
		}
	}
	q := broker.RoomQuery{Query: "chat", BySockets: true, Prefix: "c", Page: broker.Page{Size: 1}}
	if got, _ := namesOfRooms(t, nodes[0], q); !slices.Equal(got, []string{"/ chat:2 4"}) {
		t.Errorf("with a prefix: %v", got)
	}
	q = broker.RoomQuery{BySockets: true, Page: broker.Page{Size: 3}}
	_, q.Page.Token = namesOfRooms(t, nodes[0], q)
	list, err := nodes[1].ListRooms(t.Context(), q)
	if err != nil || len(list.Rooms) != 3 || list.Rooms[0].Name != "CHAT:node1" || list.Made.IsZero() {
		t.Errorf("the second page at the other node: %+v, %v", list, err)
	}
}

// While rooms grow and shrink, no room is on two pages.
func TestSearchWhileRoomsChange(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	var clients []*brokertest.Client
	for i := range 9 {
		c := node.JoinAs(node.Token("ana", broker.Permissions{Rooms: []string{fmt.Sprint("room", i)}}))
		clients = append(clients, c)
	}
	seen := make(map[string]bool)
	q := broker.RoomQuery{BySockets: true, Page: broker.Page{Size: 2}}
	for page := 0; page == 0 || q.Page.Token != ""; page++ {
		list, err := node.ListRooms(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.Rooms {
			if seen[r.Name] {
				t.Errorf("%s is on two pages", r.Name)
			}
			seen[r.Name] = true
		}
		q.Page.Token = list.Next
		last := fmt.Sprint("room", 8-page) // to the front, past those that were shown
		if _, err := node.Broker.Join(t.Context(), broker.Target{Sockets: []string{clients[page].ID}}, []string{last}); err != nil {
			t.Fatal(err)
		}
		if _, err := node.Leave(t.Context(), broker.Target{Rooms: []string{fmt.Sprint("room", page)}}, []string{fmt.Sprint("room", page)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d rooms are on the pages, want 9", len(seen))
	}
}

// A token of a page shows only what its caller may see, and only of the search that it is of.
func TestSearchTokensOfOthers(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	node.JoinAs(node.Token("ana", broker.Permissions{Rooms: []string{"a1", "a2", "b1", "b2"}}))
	q := broker.RoomQuery{BySockets: true, Page: broker.Page{Size: 1}}
	_, second := namesOfRooms(t, node, q)
	token := func(parts ...string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(parts, "\x00")))
	}
	nodes, err := node.ListNodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := nodes.Nodes[0].ID
	_, plain := namesOfRooms(t, node, broker.RoomQuery{Page: broker.Page{Size: 1}})
	for name, test := range map[string]struct {
		q      broker.RoomQuery
		reason string
	}{
		"limited":       {broker.RoomQuery{BySockets: true, Within: []room.Area{{Namespace: "/", Rooms: "b*"}}}, broker.ReasonPageExpired},
		"another query": {broker.RoomQuery{BySockets: true, Query: "b"}, broker.ReasonPageExpired},
		"not by size":   {broker.RoomQuery{Query: "a"}, broker.ReasonPageExpired},
		"a plain list":  {broker.RoomQuery{}, broker.ReasonInvalidArgument},
	} {
		test.q.Page.Token = second
		wantSearchError(t, name, node, test.q, test.reason)
	}
	for name, raw := range map[string]string{
		"of a plain list": plain,
		"no number":       token("found rooms", id, "x", "1"),
		"negative":        token("found rooms", id, "1", "-1"),
		"huge":            token("found rooms", id, "1", "99999999999"),
		"too short":       token("found rooms", id, "1"),
	} {
		q.Page.Token = raw
		wantSearchError(t, name, node, q, broker.ReasonInvalidArgument)
	}
	for name, raw := range map[string]string{
		"another node": token("found rooms", "nobody", "1", "1"),
		"never made":   token("found rooms", id, "18446744073709551615", "1"),
	} {
		q.Page.Token = raw
		wantSearchError(t, name, node, q, broker.ReasonPageExpired)
	}
	q.Page.Token = token("found rooms", id, "1", "4294967295")
	if list, err := node.ListRooms(t.Context(), q); err != nil || len(list.Rooms) != 0 || list.Next != "" {
		t.Errorf("beyond the end: %+v, %v", list, err)
	}
	wantSearchError(t, "a huge query", node, broker.RoomQuery{Query: strings.Repeat("x", 256)}, broker.ReasonInvalidArgument)
}

func wantSearchError(t *testing.T, name string, node *brokertest.Node, q broker.RoomQuery, reason string) {
	t.Helper()
	list, err := node.ListRooms(t.Context(), q)
	var e *broker.Error
	if !errors.As(err, &e) || e.Reason != reason {
		t.Errorf("%s: %+v, %v; want %s", name, list, err, reason)
	}
}

// A search shows only rooms in the areas of a key, and finds nothing else.
func TestSearchWithin(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Namespaces: []string{"/", "/chat"}})
	for _, namespace := range []string{"/", "/chat"} {
		c := node.Dial(nil)
		c.Connect(namespace, map[string]string{"token": node.Token("ana", broker.Permissions{Rooms: []string{"room-1", "room-2", "secret-1"}})})
	}
	within := []room.Area{{Namespace: "/chat", Rooms: "room-*"}}
	for _, q := range []broker.RoomQuery{{BySockets: true}, {Query: "1", BySockets: true}, {Query: "1"}} {
		q.Within = within
		got, _ := namesOfRooms(t, node, q)
		if len(got) == 0 || slices.ContainsFunc(got, func(name string) bool { return !strings.HasPrefix(name, "/chat room-") }) {
			t.Errorf("%+v: %v", q, got)
		}
	}
}

func TestSearchSockets(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{})
	var ids, anas []string
	for i, user := range []string{"ana", "anabel", "ben", "Ana", "eva", "ana"} {
		node := nodes[i%2]
		c := node.JoinAs(node.Token(user, broker.Permissions{Rooms: []string{fmt.Sprint("room", i%2)}}))
		ids = append(ids, c.ID)
		if strings.HasPrefix(user, "ana") {
			anas = append(anas, c.ID)
		}
	}
	slices.Sort(ids)
	slices.Sort(anas)
	search := func(node *brokertest.Node, q broker.SocketQuery) (found []string) {
		t.Helper()
		q.Page.Size = 2
		for pages := 0; pages == 0 || q.Page.Token != ""; pages++ {
			list, err := node.ListSockets(t.Context(), q)
			if err != nil || list.Partial || pages > 10 {
				t.Fatalf("page %d: %+v, %v", pages, list, err)
			}
			for _, s := range list.Sockets {
				found = append(found, s.ID)
			}
			q.Page.Token = list.Next
		}
		return found
	}
	for _, node := range nodes {
		for query, want := range map[string][]string{"ana": anas, ids[3]: {ids[3]}, "127.0.0.1:": ids, "nobody": nil, "na": nil} {
			if got := search(node, broker.SocketQuery{Query: query}); !slices.Equal(got, want) {
				t.Errorf("%q: %v, want %v", query, got, want)
			}
		}
		if got := search(node, broker.SocketQuery{Query: "ana", Room: "room1", User: "anabel"}); len(got) != 1 {
			t.Errorf("with a room and a user: %v", got)
		}
	}
	var e *broker.Error
	if _, err := nodes[0].ListSockets(t.Context(), broker.SocketQuery{Query: strings.Repeat("x", 256)}); !errors.As(err, &e) || e.Reason != broker.ReasonInvalidArgument {
		t.Errorf("a huge query: %v", err)
	}
}

func TestUsersWithQuery(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{})
	for i, user := range []string{"ana", "anabel", "ben", "an", "ana", "a\U0010ffff"} {
		nodes[i%2].JoinAs(nodes[i%2].Token(user, broker.Permissions{Rooms: []string{"all"}}))
	}
	for _, room := range []string{"", "all"} {
		for query, want := range map[string][]string{
			"an": {"an", "ana", "anabel"}, "ana": {"ana", "anabel"}, "b": {"ben"}, "": {"an", "ana", "anabel", "a\U0010ffff", "ben"}, "z": nil, "\ue000": nil,
		} {
			var got []string
			q := broker.UserQuery{Room: room, Query: query, Page: broker.Page{Size: 2}}
			for pages := 0; pages == 0 || q.Page.Token != ""; pages++ {
				list, err := nodes[0].Users(t.Context(), q)
				if err != nil || list.Partial || pages > 5 {
					t.Fatalf("page %d: %+v, %v", pages, list, err)
				}
				for _, u := range list.Users {
					got = append(got, u.User)
				}
				q.Page.Token = list.Next
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q in %q: %q, want %q", query, room, got, want)
			}
		}
	}
}
