package broker

import "strings"

// pattern names rooms. Both sides are split into segments at ":"; "*" stands
// for any one segment and a last "**" for any rest, also an empty one. Nothing
// else is special: "chat:*" matches "chat:42", not "chat:42:log", not "chat".
type pattern string

// matches reports whether room is one of those that p names.
func (p pattern) matches(room string) bool {
	want, have := string(p), room
	for {
		wantSegment, wantRest, wantMore := strings.Cut(want, ":")
		if wantSegment == "**" && !wantMore {
			return true
		}
		haveSegment, haveRest, haveMore := strings.Cut(have, ":")
		if wantSegment != "*" && wantSegment != haveSegment {
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

// anyMatches reports whether one of the patterns matches room.
func anyMatches(patterns []string, room string) bool {
	for _, p := range patterns {
		if pattern(p).matches(room) {
			return true
		}
	}
	return false
}
