package room

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A walk stops after so many visits and goes on from there, and finds each room once.
func TestWalkRooms(t *testing.T) {
	x, _ := population(t, 3*chunk)
	var found []Size
	visits, after := 0, ""
	for calls := 0; ; calls++ {
		page, stopped := x.WalkRooms("room:", after, 1000, 2*chunk-1, func(name string) bool {
			visits++
			return strings.HasSuffix(name, "77")
		})
		found = append(found, page...)
		if stopped == "" {
			break
		}
		if calls > 2 || stopped <= after {
			t.Fatalf("call %d goes on from %q to %q", calls, after, stopped)
		}
		after = stopped
	}
	if visits != 3*chunk {
		t.Errorf("%d visits, want one for each of %d rooms", visits, 3*chunk)
	}
	want := x.Rooms("room:", "", 1000, func(name string) bool { return strings.HasSuffix(name, "77") })
	if len(found) != 15 || !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	if page, stopped := x.WalkRooms("", "", 3, 3, nil); len(page) != 3 || stopped != "" {
		t.Errorf("a full page: %v, stopped at %q", page, stopped)
	}
}

func TestWalkMembers(t *testing.T) {
	x, members := population(t, 3*chunk)
	want := slices.Clone(members)
	want = slices.DeleteFunc(want, func(m *member) bool { return !strings.HasSuffix(m.user, "77") })
	slices.SortFunc(want, func(a, b *member) int { return strings.Compare(a.id, b.id) })
	var found []*member
	visits := 0
	for after, more := "", true; more; {
		page, stopped := x.WalkMembers(Filter{Room: "all"}, after, 4, chunk, func(m *member) bool {
			visits++
			return strings.HasSuffix(m.user, "77")
		})
		found = append(found, page...)
		switch {
		case stopped != "":
			after = stopped
		case len(page) == 4:
			after = page[3].id
		default:
			more = false
		}
	}
	if !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", ids(found), ids(want))
	}
	if visits > 2*len(members) {
		t.Errorf("%d visits of %d members", visits, len(members))
	}
}

// The order of the users survives changes, and is forgotten once nobody lists users.
func TestUsersInOrder(t *testing.T) {
	const n = 3 * chunk
	x, members := population(t, n)
	first := x.Users("", "", "", 2)
	if len(first) != 2 || first[0].User != "user0" || first[1].User != "user1" {
		t.Fatalf("the first users are %v", first)
	}
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := range 2000 {
			m := members[2*(i*7%(n/2))] // the even ones
			x.Remove(m)
			_ = x.Add(m, []string{"all"}, func() {}) // within all limits
		}
	})
	for _, room := range []string{"", "all"} {
		odd := 0
		for after := ""; ; {
			page := x.Users(room, "user", after, 100)
			for _, u := range page {
				if u.User <= after {
					t.Fatalf("%q comes after %q", u.User, after)
				}
				after = u.User
				var i int
				if _, err := fmt.Sscanf(u.User, "user%d", &i); err != nil {
					t.Fatal(err)
				}
				odd += i % 2
			}
			if len(page) < 100 {
				break
			}
		}
		if odd != n/2 {
			t.Errorf("%d users of %q stayed, listed are %d", n/2, room, odd)
		}
	}
	changing.Wait()

	x.forgetOrder()
	if x.order.byName == nil {
		t.Error("the order is forgotten although users were just listed")
	}
	x.order.read = time.Now().Add(-orderKept)
	x.forgetOrder()
	x.order.idle.Stop()
	if x.order.byName != nil {
		t.Error("the order is kept although nobody lists users")
	}
	if got := x.Users("", "user1", "user1", 1); len(got) != 1 || got[0].User != "user10" {
		t.Errorf("after user1: %v", got)
	}
}
