package results

import (
	"testing"
)

func TestSpread(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		want   Spread
	}{
		"none": {nil, Spread{}},
		"one":  {[]float64{3}, Spread{3, 3, 3, 1}},
		"odd":  {[]float64{9, 1, 2}, Spread{2, 1, 9, 3}},
		"even": {[]float64{4, 1, 2, 9}, Spread{3, 1, 9, 4}},
	} {
		if got := newSpread(c.values); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestRatioIsOfTheSameRun(t *testing.T) {
	set := Set{Samples: []Sample{
		{Profile: "p", Peer: "a", Run: 1, Figures: Figures{"f": 10}},
		{Profile: "p", Peer: "a", Run: 2, Figures: Figures{"f": 40}},
		{Profile: "p", Peer: "b", Run: 2, Figures: Figures{"f": 80}},
		{Profile: "p", Peer: "b", Run: 1, Figures: Figures{"f": 30}},
		{Profile: "p", Peer: "b", Run: 3, Figures: Figures{"f": 1}},
		{Profile: "p", Peer: "a", Run: 4, Error: "it failed"},
		{Profile: "p", Peer: "b", Run: 4, Figures: Figures{"f": 1}},
	}}
	a, b := Source{"p", "a", "f"}, Source{"p", "b", "f"}
	if got, want := set.Ratio(b, a), (Spread{2.5, 2, 3, 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := set.Spread(b); got.N != 4 || got.Max != 80 {
		t.Errorf("the spread is %+v", got)
	}
	if got := len(set.Failed()); got != 1 {
		t.Errorf("%d samples failed, want 1", got)
	}
}
