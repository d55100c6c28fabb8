package broker

import "testing"

func TestPattern(t *testing.T) {
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
			if !pattern(test.pattern).matches(room) {
				t.Errorf("%q does not match %q", test.pattern, room)
			}
		}
		for _, room := range test.not {
			if pattern(test.pattern).matches(room) {
				t.Errorf("%q matches %q", test.pattern, room)
			}
		}
	}
}
