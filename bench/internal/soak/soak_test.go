package soak

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
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

// soakOf returns a soak of 20 minutes in which 36,000 clients came and went, with so much growth in an hour.
func soakOf(growth job.Moment, figures job.Figures) *Result {
	r := rand.New(rand.NewPCG(3, 4))
	var moments []job.Moment
	for s := 0.0; s <= 1200; s += 5 {
		noise := func() float64 { return r.NormFloat64() }
		moments = append(moments, job.Moment{
			Seconds: s, RSS: 60<<20 + noise()*(1<<19) + growth.RSS*s/3600, Heap: 8<<20 + noise()*(1<<18) + growth.Heap*s/3600,
			Goroutines: 300 + noise()*5 + growth.Goroutines*s/3600, Files: 280 + noise()*5 + growth.Files*s/3600,
		})
	}
	figures[job.Visits] = 36_000
	profile := result.Profile{Name: runner.Soak, Job: job.Job{Duration: 20 * time.Minute}}
	return New(&result.Set{Profiles: []result.Profile{profile}, Samples: []result.Sample{{Profile: runner.Soak, Figures: figures}}}, moments)
}

func TestWhatGrowsOrIsLostFails(t *testing.T) {
	for name, c := range map[string]struct {
		growth  job.Moment
		figures job.Figures
		want    string
	}{
		"flat":       {job.Moment{}, job.Figures{}, ""},
		"rss":        {job.Moment{RSS: 30 << 20}, job.Figures{}, "Resident memory grows"},
		"heap":       {job.Moment{Heap: 12 << 20}, job.Figures{}, "Live heap grows"},
		"goroutines": {job.Moment{Goroutines: 30}, job.Figures{}, "Goroutines grows"},
		"files":      {job.Moment{Files: 30}, job.Figures{}, "Open files grows"},
		"shrinks":    {job.Moment{RSS: -30 << 20, Files: -100}, job.Figures{}, ""},
		"a loss":     {job.Moment{}, job.Figures{job.Missing: 1}, "messages that clients missed: 1"},
	} {
		r := soakOf(c.growth, c.figures)
		if got := strings.Join(r.Failures(), "; "); got != c.want {
			t.Errorf("%s: failed with %q, want %q (%+v)", name, got, c.want, r.Trends)
		}
		if page := r.page(); strings.Contains(page, "**") != (c.want != "") {
			t.Errorf("%s: the page says otherwise:\n%s", name, page)
		}
	}
	short := soakOf(job.Moment{Heap: 12 << 20}, job.Figures{})
	short.Quick = true
	if got := short.Failures(); len(got) > 0 || !strings.Contains(short.page(), "| too short |") {
		t.Errorf("a smoke test failed with %q:\n%s", got, short.page())
	}
	failed := soakOf(job.Moment{}, job.Figures{})
	failed.Samples[0].Error = "it\nbroke"
	if got := failed.Failures(); len(got) != 1 || !strings.Contains(failed.page(), "**Failed:** it broke") {
		t.Errorf("a soak without a result failed with %q:\n%s", got, failed.page())
	}
}
