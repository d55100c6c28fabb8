package room

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

func TestParsePattern(t *testing.T) {
	for text, says := range map[string]string{
		"a": "", "room-*": "", "*": "", "**": "", "a:*:b-*:**": "", "a:": "", ":": "", "chat:**": "",
		strings.Repeat("x", 255): "", strings.Repeat("x", 256): "256 bytes", "a\xff": "UTF-8", "a\nb": "control character",
		"": "empty", "**:a": "before its end", "a:**:b": "before its end", "a*b": "within a segment", "*a": "within a segment", "a**": "within a segment", "a:b**": "within a segment", "***": "within a segment",
	} {
		got, err := ParsePattern(text)
		switch {
		case says == "" && (err != nil || string(got) != text):
			t.Errorf("ParsePattern(%q) = %q, %v", text, got, err)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says)):
			t.Errorf("ParsePattern(%q): %v, want %q", text, err, says)
		}
	}
}

func TestMatches(t *testing.T) {
	for pattern, rooms := range map[Pattern][2][]string{
		"room-*":   {{"room-42", "room-", "room-*"}, {"room", "room-42:log", "aroom-4", "Room-42", ""}},
		"chat:*":   {{"chat:42", "chat:"}, {"chat", "chat:42:log", "chats:42"}},
		"chat:**":  {{"chat", "chat:", "chat:42", "chat:42:log"}, {"chats", "cha", "a:chat"}},
		"*:a-*":    {{"x:a-1", ":a-"}, {"a-1", "x:b", "x:a-1:y"}},
		"a:b-*:**": {{"a:b-1", "a:b-1:c", "a:b-:c:d"}, {"a", "a:c", "a:c:b-1"}},
		"a.*":      {{"a.b", "a."}, {"ab", "axb"}},
		"":         {nil, {"a", "a:b"}},
	} {
		for i, names := range rooms {
			for _, room := range names {
				if got := pattern.Matches(room); got != (i == 0) {
					t.Errorf("%q matches %q: %t", pattern, room, got)
				}
			}
		}
	}
}

func TestInAreas(t *testing.T) {
	areas := []Area{{Namespace: "/chat", Rooms: "a:*"}, {Namespace: "/ops"}}
	for _, tt := range []struct {
		namespace, room string
		want            bool
	}{
		{"/chat", "a:1", true},
		{"/chat", "b:1", false},
		{"/ops", "b:1", true},
		{"/", "a:1", false},
		{"", "a:1", false},
	} {
		if got := InAreas(areas, tt.namespace, tt.room); got != tt.want {
			t.Errorf("InAreas(%q, %q) = %t", tt.namespace, tt.room, got)
		}
	}
}

// oracle returns a pattern as a regular expression.
func oracle(pattern string) *regexp.Regexp {
	segments := strings.Split(pattern, ":")
	expr, last := "", len(segments)-1
	for i, segment := range segments {
		switch {
		case segment == "**" && i == last && i == 0:
			return regexp.MustCompile(`(?s)\A.*\z`)
		case segment == "**" && i == last:
			return regexp.MustCompile(`(?s)\A` + expr + `(:.*)?\z`)
		case strings.HasSuffix(segment, "*"):
			segment = regexp.QuoteMeta(segment[:len(segment)-1]) + `[^:]*`
		default:
			segment = regexp.QuoteMeta(segment)
		}
		if i > 0 {
			expr += ":"
		}
		expr += segment
	}
	return regexp.MustCompile(`(?s)\A` + expr + `\z`)
}

func pick(r *rand.Rand, words []string, most int) string {
	segments := make([]string, 1+r.IntN(most))
	for i := range segments {
		segments[i] = words[r.IntN(len(words))]
	}
	return strings.Join(segments, ":")
}

// Compares Matches and Covers with regular expressions, for all short rooms of a few segments. Some
// of the segments are in no pattern.
func TestAgainstOracle(t *testing.T) {
	var (
		r        = rand.New(rand.NewPCG(1, 2))
		segments = []string{"", "a", "ab", "abc", "a*", "*", "**", "other"}
		ours     = []string{"", "a", "ab", "a*", "ab*", "*", "**"}
		rooms    []string
	)
	for _, s := range segments {
		rooms = append(rooms, s)
		for _, u := range segments {
			rooms = append(rooms, s+":"+u)
			for _, v := range segments {
				rooms = append(rooms, s+":"+u+":"+v)
				for _, w := range segments {
					rooms = append(rooms, s+":"+u+":"+v+":"+w)
				}
			}
		}
	}
	covered := 0
	for range 3000 {
		p, err := ParsePattern(pick(r, ours, 3))
		if err != nil {
			continue
		}
		other, err := ParsePattern(pick(r, ours, 3))
		if err != nil {
			continue
		}
		naive, granted := oracle(string(p)), oracle(string(other))
		covers := true
		for _, room := range rooms {
			if got, want := p.Matches(room), naive.MatchString(room); got != want {
				t.Fatalf("%q matches %q: %t, want %t", p, room, got, want)
			}
			covers = covers && (!granted.MatchString(room) || naive.MatchString(room))
		}
		if got := p.Covers(other); got != covers {
			t.Fatalf("%q covers %q: %t, want %t", p, other, got, covers)
		}
		if covers {
			covered++
		}
	}
	if covered < 100 {
		t.Errorf("only %d pairs cover each other: the test tests little", covered)
	}
}

// Every room that is in an area begins with exactly one of the prefixes, and no room with two.
func TestPrefixes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	ours, words := []string{"", "a", "ab", "a*", "*", "**"}, []string{"", "a", "ab", "abc", "b"}
	narrow := 0
	for range 3000 {
		var areas []Area
		for range 1 + r.IntN(3) {
			if p, err := ParsePattern(pick(r, ours, 3)); err == nil {
				areas = append(areas, Area{Namespace: []string{"/", "/chat"}[r.IntN(2)], Rooms: p})
			}
		}
		prefix, room := pick(r, words, 2), pick(r, words, 3)
		starts := Prefixes(areas, "/", prefix)
		fits := 0
		for _, start := range starts {
			if !strings.HasPrefix(start, prefix) {
				t.Fatalf("%q doesn't begin with %q", start, prefix)
			}
			if strings.HasPrefix(room, start) {
				fits++
			}
			if start != prefix {
				narrow++
			}
		}
		if listed := InAreas(areas, "/", room) && strings.HasPrefix(room, prefix); fits > 1 || listed && fits == 0 {
			t.Fatalf("%v with %q: prefixes %q, of which %d fit %q", areas, prefix, starts, fits, room)
		}
	}
	if narrow < 100 {
		t.Errorf("only %d prefixes are longer than what was asked for: the test tests little", narrow)
	}
	if got := Prefixes([]Area{{Namespace: "/", Rooms: "chat:**"}, {Namespace: "/"}}, "/", ""); len(got) != 1 || got[0] != "" {
		t.Errorf("all rooms: %q", got)
	}
}

func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{{"room-*", "room-42"}, {"chat:**", "chat"}, {"a:*:b-*", "a:x:b-1"}, {"**", ""}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, room string) {
		p, err := ParsePattern(text)
		if err != nil {
			return
		}
		if got, want := p.Matches(room), oracle(text).MatchString(room); got != want {
			t.Errorf("%q matches %q: %t, want %t", text, room, got, want)
		}
		if other, err := ParsePattern(room); err == nil && p.Covers(other) && !strings.Contains(room, "*") && !p.Matches(room) {
			t.Errorf("%q covers %q and doesn't match it", text, room)
		}
	})
}
