package roomset

import "strings"

// Granted names rooms as tokens do. Any text is one.
type Granted string

// Matches reports whether g names room.
func (g Granted) Matches(room string) bool {
	return match(string(g), room, func(want, have string, _ bool) bool { return want == "*" || want == have })
}

// AnyMatches reports whether one of the patterns, which are [Granted], names
// room.
func AnyMatches(patterns []string, room string) bool {
	for _, p := range patterns {
		if Granted(p).Matches(room) {
			return true
		}
	}
	return false
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
