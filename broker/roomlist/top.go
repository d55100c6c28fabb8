package roomlist

import (
	"cmp"
	"container/heap"
	"slices"
)

// top collects the rooms of a list, as they come in the order of their places.
type top struct {
	options   Options
	rooms     lastFirst // a heap once there are as many as may be
	truncated bool
}

// add adds a room, and reports whether no later one can be on the list.
func (t *top) add(r Room) (full bool) {
	if len(t.rooms) < t.options.Max {
		t.rooms = append(t.rooms, r)
		if t.options.BySockets && len(t.rooms) == t.options.Max {
			heap.Init(&t.rooms)
		}
		return false
	}
	t.truncated = true
	if !t.options.BySockets || t.options.Max == 0 {
		return true
	}
	if compareSize(r, t.rooms[0]) < 0 {
		t.rooms[0] = r
		heap.Fix(&t.rooms, 0)
	}
	return false
}

// sorted returns the rooms in the order of the list.
func (t *top) sorted() []Room {
	if t.options.BySockets {
		slices.SortFunc(t.rooms, compareSize)
	}
	return t.rooms
}

// compareSize compares rooms by their sockets, more of them first, then by their places.
func compareSize(a, b Room) int {
	return cmp.Or(cmp.Compare(b.Sockets, a.Sockets), a.Compare(b.Place))
}

// lastFirst is a heap with the room at its top that comes last in the list.
type lastFirst []Room

// Len implements [heap.Interface].
func (l lastFirst) Len() int { return len(l) }

// Less implements [heap.Interface].
func (l lastFirst) Less(i, j int) bool { return compareSize(l[i], l[j]) > 0 }

// Swap implements [heap.Interface].
func (l lastFirst) Swap(i, j int) { l[i], l[j] = l[j], l[i] }

// Push implements [heap.Interface].
func (l *lastFirst) Push(r any) { *l = append(*l, r.(Room)) } //nolint:forcetypeassert // it has only rooms

// Pop implements [heap.Interface].
func (l *lastFirst) Pop() any {
	last := len(*l) - 1
	r := (*l)[last]
	*l = (*l)[:last]
	return r
}
