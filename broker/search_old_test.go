package broker

import (
	"testing"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/roomlist"
)

// A node of an earlier release answers a search with all rooms, and full pages don't say where they
// end.
func TestRoomsOfEarlierReleases(t *testing.T) {
	q := roomSliceQuery(&wire.ListRooms{Namespaces: []string{"/"}, Query: "chat"}, roomlist.Place{})
	reply := &wire.Rooms{}
	for range roomSlice - 1 {
		reply.Rooms = append(reply.Rooms, &wire.Room{Namespace: "/", Name: "other", Sockets: 1})
	}
	if s := roomSliceFrom(q, reply); len(s.Rooms) != 0 || s.More {
		t.Errorf("a page that isn't full: %+v", s)
	}
	reply.Rooms = append(reply.Rooms, &wire.Room{Namespace: "/", Name: "the Chat", Sockets: 2})
	want := roomlist.Place{Namespace: "/", Name: "the Chat"}
	if s := roomSliceFrom(q, reply); len(s.Rooms) != 1 || s.Rooms[0] != (roomlist.Room{Place: want, Sockets: 2}) || !s.More || s.At != want {
		t.Errorf("a full page: %+v", s)
	}
}

func TestBeforePrefix(t *testing.T) {
	for prefix, passes := range map[string]string{"ana": "amz", "é": "e", "a\x00": "", "\ue000": "z", "": ""} {
		before := beforePrefix(prefix)
		if prefix != "" && before >= prefix || passes > before {
			t.Errorf("before %q: %q, want it after %q", prefix, before, passes)
		}
	}
}
