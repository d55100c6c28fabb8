package soak

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

func TestTrendOfALine(t *testing.T) {
	var seconds, values []float64
	for i := range 100 {
		seconds, values = append(seconds, float64(i)), append(values, 5+2*float64(i))
	}
	if got := trendOf(seconds, values); math.Abs(got.Slope-2*3600) > 1e-6 || got.Margin > 1e-6 || math.Abs(got.Mean-104) > 1e-9 {
		t.Errorf("got %+v, want a slope of 7200 an hour, no margin and a mean of 104", got)
	}
	if got := trendOf(seconds[:2], values[:2]); got != (Trend{}) {
		t.Errorf("two values have the trend %+v", got)
	}
}

// The margin holds the true slope nineteen times out of twenty.
func TestMarginOfNoise(t *testing.T) {
	r, within := rand.New(rand.NewPCG(1, 2)), 0
	const times = 2000
	for range times {
		var seconds, values []float64
		for i := range 180 {
			seconds, values = append(seconds, float64(5*i)), append(values, float64(i)+20*r.NormFloat64())
		}
		if got := trendOf(seconds, values); math.Abs(got.Slope-720) <= got.Margin {
			within++
		}
	}
	if share := float64(within) / times; share < 0.93 || share > 0.97 {
		t.Errorf("the true slope is within the margin %.1f %% of the time", 100*share)
	}
}

// soakOf returns a soak of 20 minutes in which 36,000 clients came and went, with so much growth in
// an hour.
func soakOf(t *testing.T, growth Moment, figures results.Figures) *Result {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	var moments []Moment
	for s := 0.0; s <= 1200; s += 5 {
		noise := func() float64 { return r.NormFloat64() }
		moments = append(moments, Moment{
			Seconds: s, RSS: 60<<20 + noise()*(1<<19) + growth.RSS*s/3600, Heap: 8<<20 + noise()*(1<<18) + growth.Heap*s/3600,
			Goroutines: 300 + noise()*5 + growth.Goroutines*s/3600, Files: 280 + noise()*5 + growth.Files*s/3600,
		})
	}
	figures[figureVisits] = 36_000
	result, err := New(&results.Set{}, NewConfig(20*time.Minute), figures, moments, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestWhatGrowsOrIsLostFails(t *testing.T) {
	for name, c := range map[string]struct {
		growth  Moment
		figures results.Figures
		want    string
	}{
		"flat":       {Moment{}, results.Figures{}, ""},
		"rss":        {Moment{RSS: 30 << 20}, results.Figures{}, "Resident memory grows"},
		"heap":       {Moment{Heap: 12 << 20}, results.Figures{}, "Live heap grows"},
		"goroutines": {Moment{Goroutines: 30}, results.Figures{}, "Goroutines grows"},
		"files":      {Moment{Files: 30}, results.Figures{}, "Open files grows"},
		"shrinks":    {Moment{RSS: -30 << 20, Files: -100}, results.Figures{}, ""},
		"a loss":     {Moment{}, results.Figures{scenario.Missing: 1}, "messages that clients missed: 1"},
	} {
		r := soakOf(t, c.growth, c.figures)
		if got := strings.Join(r.Failures(), "; "); got != c.want {
			t.Errorf("%s: failed with %q, want %q (%+v)", name, got, c.want, r.Trends)
		}
		if page := r.page(); strings.Contains(page, "**") != (c.want != "") {
			t.Errorf("%s: the page says otherwise:\n%s", name, page)
		}
	}
	short := soakOf(t, Moment{Heap: 12 << 20}, results.Figures{})
	short.Quick = true
	if got := short.Failures(); len(got) > 0 || !strings.Contains(short.page(), "| too short |") {
		t.Errorf("a smoke test failed with %q:\n%s", got, short.page())
	}
	failed := soakOf(t, Moment{}, results.Figures{})
	failed.Samples[0].Error = "it\nbroke"
	if got := failed.Failures(); len(got) != 1 || !strings.Contains(failed.page(), "**Failed:** it broke") {
		t.Errorf("a soak without a result failed with %q:\n%s", got, failed.page())
	}
}
