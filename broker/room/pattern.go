// Package room also says which rooms a client or an API key may reach.
//
// There is one grammar of patterns, in tokens, permissions and scopes.
// Patterns and rooms are split into segments at ":". In a pattern "*" stands
// for any one segment, a "*" at the end of a segment for any end of that
// segment, and a last "**" for any rest, also an empty one: "chat:*" names
// "chat:42", "room-*" names "room-42", "chat:**" names "chat", "chat:42" and
// "chat:42:log". Neither of the first two names "chat:42:log". Nothing else is
// special.
package room

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
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

// maxBytes is how long a room's name can be, and so a pattern of any use.
const maxBytes = 255

// Parse checks a pattern. Its error says what is wrong with one that names no
// room that can exist, or that isn't of the grammar.
func Parse(text string) (Pattern, error) {
	switch {
	case text == "":
		return "", errors.New("the pattern of rooms is empty")
	case len(text) > maxBytes:
		return "", fmt.Errorf("the pattern of rooms has %d bytes, and no room's name more than %d", len(text), maxBytes)
	case !utf8.ValidString(text):
		return "", errors.New("the pattern of rooms isn't UTF-8, as every room's name is")
	case strings.ContainsFunc(text, unicode.IsControl):
		return "", fmt.Errorf("%q has a control character, and no room's name has one", text)
	}
	segments := strings.Split(text, ":")
	for i, segment := range segments {
		switch star := strings.IndexByte(segment, '*'); {
		case segment == "**" && i == len(segments)-1:
		case segment == "**":
			return "", fmt.Errorf(`%q has "**" before its end; it stands for any rest, and only as the last segment`, text)
		case star >= 0 && star < len(segment)-1:
			return "", fmt.Errorf(`%q has "*" within a segment; it stands at the end of one, as in room-*, or alone`, text)
		}
	}
	if text == "*:**" { // every room has a first segment
		return "**", nil
	}
	return Pattern(text), nil
}

// AnyMatches reports whether one of the patterns names the room. They have
// passed [Parse].
func AnyMatches(patterns []string, room string) bool {
	for _, p := range patterns {
		if Pattern(p).Matches(room) {
			return true
		}
	}
	return false
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

// Covers reports whether p names every room that other does.
func (p Pattern) Covers(other Pattern) bool {
	return match(string(p), string(other), func(want, have string, last bool) bool {
		return opens(want, have) && (have != "**" || !last)
	})
}

// match compares a pattern with a room, or with another pattern, segment by
// segment. names says whether one stands for the other; last that nothing comes
// after the other.
func match(pattern, room string, names func(want, have string, last bool) bool) bool {
	for {
		want, wantRest, wantMore := strings.Cut(pattern, ":")
		if want == "**" && !wantMore {
			return true
		}
		have, haveRest, haveMore := strings.Cut(room, ":")
		switch {
		case !names(want, have, !haveMore):
			return false
		case !wantMore:
			return !haveMore
		case !haveMore:
			return wantRest == "**"
		}
		pattern, room = wantRest, haveRest
	}
}

// opens reports whether a segment of a pattern stands for another, of a room or
// of a pattern: "ro*" stands for all that "room-*" does.
func opens(want, have string) bool {
	if start, open := strings.CutSuffix(want, "*"); open {
		return strings.HasPrefix(have, start)
	}
	return want == have
}
