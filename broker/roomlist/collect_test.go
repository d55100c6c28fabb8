package roomlist_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/salabroker/sala/broker/roomlist"
)

// reads returns a source of rooms in slices, and counts the slices.
func reads(rooms map[roomlist.Place]int, size int, slicesRead *atomic.Int32) roomlist.Source {
	places := slices.SortedFunc(maps.Keys(rooms), roomlist.Place.Compare)
	return func(_ context.Context, after roomlist.Place) (roomlist.Slice, error) {
		slicesRead.Add(1)
		var s roomlist.Slice
		for _, p := range places {
			if p.Compare(after) <= 0 {
				continue
			}
			if s.More = len(s.Rooms) == size; s.More {
				break
			}
			s.Rooms, s.At = append(s.Rooms, roomlist.Room{Place: p, Sockets: rooms[p]}), p
		}
		return s, nil
	}
}

// Compares lists of random rooms at several nodes with those of a model.
func TestCollect(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		all, nodes := map[roomlist.Place]int{}, map[string]roomlist.Source{}
		var read atomic.Int32
		for i := range 1 + r.IntN(3) {
			rooms := map[roomlist.Place]int{}
			for range r.IntN(60) {
				p := roomlist.Place{Namespace: fmt.Sprint("/", r.IntN(2)), Name: fmt.Sprint("room", r.IntN(40))}
				rooms[p] = 1 + r.IntN(5)
			}
			for p, n := range rooms {
				all[p] += n
			}
			nodes[fmt.Sprint("node", i)] = reads(rooms, 1+r.IntN(9), &read)
		}
		var want []roomlist.Room
		for p, n := range all {
			want = append(want, roomlist.Room{Place: p, Sockets: n})
		}
		o := roomlist.Options{BySockets: r.IntN(2) == 0, Max: r.IntN(60)}
		slices.SortFunc(want, func(a, b roomlist.Room) int {
			if o.BySockets && a.Sockets != b.Sockets {
				return b.Sockets - a.Sockets
			}
			return a.Compare(b.Place)
		})
		got := roomlist.Collect(t.Context(), nodes, o)
		if !slices.Equal(got.Rooms, want[:min(o.Max, len(want))]) || got.Truncated != (len(want) > o.Max) || got.Missing != nil {
			t.Errorf("seed %d, %+v: got %+v, want %v", seed, o, got, want)
		}
	}
}

// A list by name doesn't read on once it is full.
func TestCollectStops(t *testing.T) {
	rooms := map[roomlist.Place]int{}
	var read atomic.Int32
	for i := range 1000 {
		rooms[roomlist.Place{Namespace: "/", Name: fmt.Sprintf("room%04d", i)}] = 1
	}
	list := roomlist.Collect(t.Context(), map[string]roomlist.Source{"a": reads(rooms, 10, &read)}, roomlist.Options{Max: 25})
	if len(list.Rooms) != 25 || !list.Truncated || read.Load() != 3 {
		t.Errorf("%d rooms, truncated: %t, from %d slices", len(list.Rooms), list.Truncated, read.Load())
	}
}

// A node that fails, or doesn't get on, is missing; what it has named before stays.
func TestCollectWithoutNodes(t *testing.T) {
	var read atomic.Int32
	whole := reads(map[roomlist.Place]int{{"/", "a"}: 1, {"/", "c"}: 1}, 1, &read)
	failing := func(_ context.Context, after roomlist.Place) (roomlist.Slice, error) {
		if after != (roomlist.Place{}) {
			return roomlist.Slice{}, errors.New("gone")
		}
		p := roomlist.Place{Namespace: "/", Name: "a"}
		return roomlist.Slice{Rooms: []roomlist.Room{{p, 2}}, More: true, At: p}, nil
	}
	stuck := func(context.Context, roomlist.Place) (roomlist.Slice, error) { return roomlist.Slice{More: true}, nil }
	list := roomlist.Collect(t.Context(), map[string]roomlist.Source{"z": stuck, "w": whole, "f": failing}, roomlist.Options{Max: 10})
	want := []roomlist.Room{{roomlist.Place{Namespace: "/", Name: "a"}, 3}, {roomlist.Place{Namespace: "/", Name: "c"}, 1}}
	if !slices.Equal(list.Rooms, want) || !slices.Equal(list.Missing, []string{"f", "z"}) {
		t.Errorf("got %+v", list)
	}
}
