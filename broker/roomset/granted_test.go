package roomset

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestGranted(t *testing.T) {
	tests := []struct {
		pattern string
		matches []string
		not     []string
	}{
		{"chat", []string{"chat"}, []string{"", "chat:", "chat:1", "Chat", "chats"}},
		{"*", []string{"chat", "", "a b"}, []string{"chat:1", ":"}},
		{"**", []string{"chat", "", "a:b:c", ":"}, nil},
		{"chat:*", []string{"chat:1", "chat:"}, []string{"chat", "chat:1:2", "other:1"}},
		{"chat:**", []string{"chat:1", "chat:1:2", "chat", "chat:"}, []string{"chats", "other"}},
		{"*:log", []string{"chat:log", ":log"}, []string{"log", "a:b:log"}},
		{"a:*:c", []string{"a:b:c", "a::c"}, []string{"a:c", "a:b:c:d"}},
		{"a.*", []string{"a.*"}, []string{"a.b", "a"}},
		{"a*", []string{"a*"}, []string{"ab", "a"}},
		{"**:b", []string{"**:b"}, []string{"a:b", "b"}},
		{"?[a-z]", []string{"?[a-z]"}, []string{"ab"}},
	}
	for _, test := range tests {
		for _, room := range test.matches {
			if !Granted(test.pattern).Matches(room) {
				t.Errorf("%q does not match %q", test.pattern, room)
			}
		}
		for _, room := range test.not {
			if Granted(test.pattern).Matches(room) {
				t.Errorf("%q matches %q", test.pattern, room)
			}
		}
	}
}

// naiveMatches says it as the documentation does, part by part.
func naiveMatches(want, have string) bool {
	return naiveParts(strings.Split(want, ":"), strings.Split(have, ":"))
}

func naiveParts(want, have []string) bool {
	switch {
	case len(want) == 1 && want[0] == "**":
		return true
	case len(want) == 0 || len(have) == 0:
		return len(want) == len(have)
	default:
		return (want[0] == "*" || want[0] == have[0]) && naiveParts(want[1:], have[1:])
	}
}

// TestGrantedAgainstModel compares a million pairs, made of few parts so that many
// of them match.
func TestGrantedAgainstModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	parts := []string{"*", "**", "", "a", "b", "ab", "a*", "***", ".", "\u00e4", "A", " ", "\\", "[a]", "a|b"}
	text := func(from []string) string {
		words := make([]string, 1+rnd.IntN(4))
		for i := range words {
			words[i] = from[rnd.IntN(len(from))]
		}
		return strings.Join(words, ":")
	}
	matches := 0
	for range 1_000_000 {
		want, have := text(parts[:3+rnd.IntN(len(parts)-2)]), text(parts[2:4+rnd.IntN(len(parts)-3)])
		got := Granted(want).Matches(have)
		if got != naiveMatches(want, have) {
			t.Fatalf("%q matches %q: %t", want, have, got)
		}
		if got {
			matches++
		}
	}
	if matches < 50_000 || matches > 950_000 {
		t.Errorf("%d of a million match: this compares little", matches)
	}
}

func FuzzGranted(f *testing.F) {
	for _, pair := range [][2]string{{"chat:*", "chat:1"}, {"**", ""}, {"a:**", "a"}, {"*:*", ":"}, {"**:b", "a:b"}, {"a:*:**", "a:b"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, want, have string) {
		if got := Granted(want).Matches(have); got != naiveMatches(want, have) {
			t.Errorf("%q matches %q: %t", want, have, got)
		}
		// A pattern lets in only rooms that have all its parts but the last "**", in their places.
		if Granted(want).Matches(have) && strings.Count(have, ":") < strings.Count(strings.TrimSuffix(want, ":**"), ":") {
			t.Errorf("%q matches %q, which has fewer parts", want, have)
		}
	})
}
