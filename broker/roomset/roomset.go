// Package roomset says which rooms of which namespaces an API key may reach.
//
// A [Pattern] is written like those in tokens: segments split at ":", "*" for
// any one segment, a last "**" for any rest, also an empty one. Beyond that, a
// segment may end with "*", which stands for any end of that segment: "room-*"
// is "room-42", not "room-42:log".
package roomset

import (
	"errors"
	"fmt"
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
	want, have := string(p), room
	for {
		wantSegment, wantRest, wantMore := strings.Cut(want, ":")
		if wantSegment == "**" && !wantMore {
			return true
		}
		haveSegment, haveRest, haveMore := strings.Cut(have, ":")
		if !matchSegment(wantSegment, haveSegment) {
			return false
		}
		switch {
		case !wantMore:
			return !haveMore
		case !haveMore:
			return wantRest == "**"
		}
		want, have = wantRest, haveRest
	}
}

func matchSegment(want, have string) bool {
	if start, open := strings.CutSuffix(want, "*"); open {
		return strings.HasPrefix(have, start)
	}
	return want == have
}

// Covers reports whether p names every room that granted does, which is a
// pattern as tokens have them: in it nothing but a segment "*" and a last "**"
// is special.
func (p Pattern) Covers(granted string) bool {
	want, have := string(p), granted
	for {
		wantSegment, wantRest, wantMore := strings.Cut(want, ":")
		if wantSegment == "**" && !wantMore {
			return true
		}
		haveSegment, haveRest, haveMore := strings.Cut(have, ":")
		switch {
		case haveSegment == "**" && !haveMore:
			return false
		case haveSegment == "*" && wantSegment != "*":
			return false
		case !matchSegment(wantSegment, haveSegment):
			return false
		case !wantMore:
			return !haveMore
		case !haveMore:
			return wantRest == "**"
		}
		want, have = wantRest, haveRest
	}
}
