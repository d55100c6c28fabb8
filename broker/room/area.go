package room

import (
	"slices"
	"strings"
)

// Area is a namespace, or some of its rooms. Areas are immutable.
type Area struct {
	// Namespace is the name of the namespace.
	Namespace string
	// Rooms matches the rooms. Empty means all of the namespace: its rooms, users and sockets.
	Rooms Pattern
}

// String returns the area as it is written in the scopes of an API key: "/chat" or "/chat:room-*".
func (a Area) String() string {
	if a.Rooms == "" {
		return a.Namespace
	}
	return a.Namespace + ":" + string(a.Rooms)
}

// InAreas reports whether a room is in one of the areas.
func InAreas(areas []Area, namespace, room string) bool {
	for _, a := range areas {
		if a.Namespace == namespace && (a.Rooms == "" || a.Rooms.Matches(room)) {
			return true
		}
	}
	return false
}

// Prefixes returns prefixes that cover the rooms of a namespace that are in one of the areas and
// begin with prefix: each such room begins with exactly one of them. They are sorted. A room that
// begins with one of them need not be in an area.
func Prefixes(areas []Area, namespace, prefix string) []string {
	var all []string
	for _, a := range areas {
		switch start := a.Rooms.prefix(); {
		case a.Namespace != namespace:
		case strings.HasPrefix(prefix, start):
			all = append(all, prefix)
		case strings.HasPrefix(start, prefix):
			all = append(all, start)
		}
	}
	slices.Sort(all)
	var shortest []string
	for _, start := range all {
		if n := len(shortest); n == 0 || !strings.HasPrefix(start, shortest[n-1]) {
			shortest = append(shortest, start)
		}
	}
	return shortest
}
