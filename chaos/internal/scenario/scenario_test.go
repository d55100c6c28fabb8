package scenario

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/salabroker/sala/bench/results"
)

// fake is a scenario.
type fake struct{ Clients int }

func newFake(quick bool) Scenario {
	if quick {
		return &fake{1}
	}
	return &fake{10}
}

func (f *fake) Info() Info {
	return Info{
		Name: "fake", Title: "A fake", Description: strings.Repeat("word ", f.Clients),
		Limits:  []Limit{{Figure: P99Ratio, Max: 1.2, What: "ratio"}, Zero(Missing, "messages")},
		Summary: func(results.Figures) string { return "a summary" },
	}
}

func (*fake) Run(context.Context, *Env) (results.Figures, error) { return nil, nil }

func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		sample     results.Sample
		line, page string
		failed     int
	}{
		"passed":     {results.Sample{Figures: results.Figures{P99Ratio: 1.1}}, "passed  a summary; ratio: 1.10; messages: 0", "| ratio | 1.10 | 1.20 | passed |", 0},
		"exceeded":   {results.Sample{Figures: results.Figures{P99Ratio: 1.3}}, "FAILED  a summary; ratio: 1.30 (limit 1.20)", "| ratio | 1.30 | 1.20 | **failed** |", 1},
		"not zero":   {results.Sample{Figures: results.Figures{Missing: 1}}, "FAILED  a summary; ratio: 0; messages: 1 (limit 0)", "| messages | 1 | 0 | **failed** |", 1},
		"no figures": {results.Sample{Error: "it\nbroke"}, "FAILED  it\nbroke", "**Failed:** it broke", 1},
	} {
		c.sample.Profile = "fake"
		config, err := json.Marshal(&fake{3})
		if err != nil {
			t.Fatal(err)
		}
		set := &results.Set{Profiles: []results.Profile{{Name: "fake", Config: config}}, Samples: []results.Sample{c.sample}}
		if got := newFake(false).Info().verdict(c.sample); !strings.HasPrefix(got, c.line) {
			t.Errorf("%s: the line is %q, want %q", name, got, c.line)
		}
		got, err := page(set, []New{newFake})
		if err != nil || !strings.Contains(got, c.page) {
			t.Errorf("%s: the page lacks %q, error %v:\n%s", name, c.page, err, got)
		}
		if want := "## A fake\n\nword word word\n"; !strings.Contains(got, want) {
			t.Errorf("%s: the page does not describe the configuration of the results:\n%s", name, got)
		}
		if got := Failed(set, []New{newFake}); len(got) != c.failed {
			t.Errorf("%s: %v failed, want %d", name, got, c.failed)
		}
	}
}

func TestUnknownScenariosAreRefused(t *testing.T) {
	if _, err := Run(t.Context(), Config{Only: []string{"nothing"}}, []New{newFake}); err == nil {
		t.Error("there is no scenario of that name, but no error")
	}
}
