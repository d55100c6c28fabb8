package ratelimit

import "testing"

func TestShares(t *testing.T) {
	s := NewShares(10)
	for i, step := range []struct {
		owner string
		n     int64
		want  bool
	}{
		{"a", 5, true},
		{"a", 1, false}, // more than its half
		{"b", 4, true},
		{"c", 2, false}, // more than there is
		{"c", 1, true},
		{"c", 0, true},
	} {
		if got := s.Take(step.owner, step.n); got != step.want {
			t.Errorf("step %d: %t, want %t", i, got, step.want)
		}
	}
	s.Give("a", 5)
	s.Give("b", 4)
	s.Give("c", 1)
	if s.Used() != 0 || len(s.of) != 0 {
		t.Errorf("%d are held by %d owners", s.Used(), len(s.of))
	}
}
