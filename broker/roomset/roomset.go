// Package roomset says which rooms a client or an API key may reach.
//
// Patterns and rooms are split into segments at ":". In a pattern "*" stands for
// any one segment and a last "**" for any rest, also an empty one: "chat:*" is
// "chat:42", not "chat:42:log", not "chat". In tokens, where a pattern is
// [Granted], nothing else is special. In that of an API key, a [Pattern], a
// segment may also end with "*", which stands for any end of that segment:
// "room-*" is "room-42", not "room-42:log".
package roomset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Area is a namespace, or some of its rooms. Areas don't change.
type Area struct {
	// Namespace is the name of the namespace.
	Namespace string
	// Rooms are the rooms; empty means all of the namespace: its rooms, its
	// users and its sockets.
	Rooms Pattern
}

// String returns the area as a scope has it: "/chat" or "/chat:room-*".
func (a Area) String() string {
	if a.Rooms == "" {
		return a.Namespace
	}
	return a.Namespace + ":" + string(a.Rooms)
}

// Holds reports whether a room is in one of the areas.
func Holds(areas []Area, namespace, room string) bool {
	for _, a := range areas {
		if a.Namespace == namespace && (a.Rooms == "" || a.Rooms.Matches(room)) {
			return true
		}
	}
	return false
}

// Prefixes returns with what the rooms of a namespace begin that are in one of the
// areas and begin with prefix: sorted, and none with another's beginning. A room
// that begins so need not be in any.
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

// Pattern names rooms. The zero Pattern names none.
type Pattern string

// Parse checks a pattern.
func Parse(text string) (Pattern, error) {
	if text == "" {
		return "", errors.New("the pattern of rooms is empty")
	}
	segments := strings.Split(text, ":")
	for i, segment := range segments {
		switch star := strings.IndexByte(segment, '*'); {
		case segment == "**" && i == len(segments)-1:
		case segment == "**":
			return "", fmt.Errorf(`%q has "**" before its end, where it can't stand for a rest`, text)
		case star >= 0 && star < len(segment)-1:
			return "", fmt.Errorf(`%q has "*" within a segment; it stands at the end of one, as in room-*, or alone`, text)
		}
	}
	if text == "*:**" { // every room has a first segment
		return "**", nil
	}
	return Pattern(text), nil
}

// Matches reports whether p names room.
func (p Pattern) Matches(room string) bool {
	return match(string(p), room, func(want, have string, _ bool) bool { return opens(want, have) })
}

// prefix returns with what all rooms begin that p names.
func (p Pattern) prefix() string {
	start, _, open := strings.Cut(string(p), "*")
	if open && strings.HasSuffix(string(p), ":**") && len(start)+2 == len(p) {
		start = strings.TrimSuffix(start, ":") // chat:** is also chat
	}
	return start
}

// Covers reports whether p names every room that granted does.
func (p Pattern) Covers(granted Granted) bool {
	return match(string(p), string(granted), func(want, have string, last bool) bool {
		switch {
		case have == "**" && last:
			return false
		case have == "*":
			return want == "*"
		default:
			return opens(want, have)
		}
	})
}

// opens reports whether a segment of a [Pattern] stands for another.
func opens(want, have string) bool {
	if start, open := strings.CutSuffix(want, "*"); open {
		return strings.HasPrefix(have, start)
	}
	return want == have
}
