package room

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Pattern matches room names. Tokens, permissions and API keys share its grammar:
//
// Patterns and room names are split into segments at ":". In a pattern, a "*" alone matches any one
// segment, a "*" at the end of a segment matches any rest of that segment, and a last "**" matches
// any remaining segments, including none. Nothing else is special. "chat:*" matches "chat:42",
// "room-*" matches "room-42", and "chat:**" matches "chat", "chat:42" and "chat:42:log". Neither of
// the first two matches "chat:42:log".
//
// The zero Pattern matches no room.
type Pattern string

// maxBytes is the longest room name, and so the longest useful pattern.
const maxBytes = 255

// ParsePattern checks a pattern. Its error says what is wrong with a pattern that is malformed, or
// that matches no name that a room can have.
func ParsePattern(text string) (Pattern, error) {
	switch {
	case text == "":
		return "", errors.New("the room pattern is empty")
	case len(text) > maxBytes:
		return "", fmt.Errorf("the room pattern has %d bytes, but room names have at most %d", len(text), maxBytes)
	case !utf8.ValidString(text):
		return "", errors.New("the room pattern isn't valid UTF-8")
	case strings.ContainsFunc(text, unicode.IsControl):
		return "", fmt.Errorf("%q has a control character, which room names can't have", text)
	}
	segments := strings.Split(text, ":")
	for i, segment := range segments {
		switch star := strings.IndexByte(segment, '*'); {
		case segment == "**" && i == len(segments)-1:
		case segment == "**":
			return "", fmt.Errorf(`%q has "**" before its end; it is allowed only as the last segment`, text)
		case star >= 0 && star < len(segment)-1:
			return "", fmt.Errorf(`%q has "*" within a segment; it is allowed only at the end of one, as in room-*, or alone`, text)
		}
	}
	if text == "*:**" { // every room name has a first segment
		return "**", nil
	}
	return Pattern(text), nil
}

// AnyMatches reports whether one of the patterns matches the room. They must have passed
// [ParsePattern].
func AnyMatches(patterns []string, room string) bool {
	for _, p := range patterns {
		if Pattern(p).Matches(room) {
			return true
		}
	}
	return false
}

// Matches reports whether p matches a room name.
func (p Pattern) Matches(room string) bool {
	return match(string(p), room, func(want, have string, _ bool) bool { return matchSegment(want, have) })
}

// prefix returns the longest prefix that all rooms that p matches are known to have.
func (p Pattern) prefix() string {
	start, _, wild := strings.Cut(string(p), "*")
	if wild && strings.HasSuffix(string(p), ":**") && len(start)+2 == len(p) {
		start = strings.TrimSuffix(start, ":") // chat:** matches chat, too
	}
	return start
}

// Covers reports whether p matches every room that other matches.
func (p Pattern) Covers(other Pattern) bool {
	return match(string(p), string(other), func(want, have string, last bool) bool {
		return matchSegment(want, have) && (have != "**" || !last)
	})
}

// match compares a pattern with a room name or with another pattern, segment by segment. segment
// reports whether a segment of the pattern matches one of the other; last is true for the other's
// last segment.
func match(pattern, room string, segment func(want, have string, last bool) bool) bool {
	for {
		want, wantRest, wantMore := strings.Cut(pattern, ":")
		if want == "**" && !wantMore {
			return true
		}
		have, haveRest, haveMore := strings.Cut(room, ":")
		switch {
		case !segment(want, have, !haveMore):
			return false
		case !wantMore:
			return !haveMore
		case !haveMore:
			return wantRest == "**"
		}
		pattern, room = wantRest, haveRest
	}
}

// matchSegment reports whether a segment of a pattern matches one of a room name, or all that a
// segment of another pattern matches: "ro*" matches all that "room-*" does.
func matchSegment(want, have string) bool {
	if start, wild := strings.CutSuffix(want, "*"); wild {
		return strings.HasPrefix(have, start)
	}
	return want == have
}
