package faults

import (
	"strings"
	"testing"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

func TestFaultsAreJudged(t *testing.T) {
	good := job.Figures{job.P99: 2, job.P99Stalled: 2.2, job.P99Ratio: 1.1, job.Held: 300}
	slow := job.Figures{job.P99: 2, job.P99Stalled: 2.6, job.P99Ratio: 1.3, job.Held: 300}
	for name, c := range map[string]struct {
		sample     result.Sample
		line, page string
		failed     int
	}{
		"passed":     {result.Sample{Figures: good}, "passed  p99 2.00 ms before", "in proportion to before | 1.10 | 1.20 | passed |", 0},
		"above":      {result.Sample{Figures: slow}, "FAILED  p99 2.00 ms before", "in proportion to before | 1.30 | 1.20 | **failed** |", 1},
		"no figures": {result.Sample{Error: "it\nbroke"}, "FAILED  it\nbroke", "**Failed:** it broke", 1},
	} {
		c.sample.Profile = runner.Stalled
		set := &result.Set{Profiles: runner.FaultPlan().Profiles, Samples: []result.Sample{c.sample}}
		if got := Describe(c.sample); !strings.HasPrefix(got, c.line) {
			t.Errorf("%s: the line is %q, want %q", name, got, c.line)
		}
		if got := page(set); !strings.Contains(got, c.page) {
			t.Errorf("%s: the page lacks %q:\n%s", name, c.page, got)
		}
		if got := Failed(set); len(got) != c.failed {
			t.Errorf("%s: %v failed, want %d", name, got, c.failed)
		}
	}
}

func TestEveryFaultOfThePlansIsJudged(t *testing.T) {
	for name, plan := range map[string]runner.Plan{"full": runner.FaultPlan(), "quick": runner.QuickFaultPlan()} {
		if len(plan.Profiles) != len(faults) {
			t.Errorf("the %s plan has %d faults, but %d are judged", name, len(plan.Profiles), len(faults))
		}
		for _, profile := range plan.Profiles {
			if Describe(result.Sample{Profile: profile.Name}) == "" {
				t.Errorf("%s of the %s plan isn't judged", profile.Name, name)
			}
		}
	}
}

func TestEveryLimitOfKilledBackendsCanFail(t *testing.T) {
	for _, l := range killBackends.limits {
		sample := result.Sample{Profile: runner.KillBackends, Figures: job.Figures{l.figure: l.most + 1}}
		if got := Failed(&result.Set{Samples: []result.Sample{sample}}); len(got) != 1 {
			t.Errorf("%s above its limit does not fail the run", l.figure)
		}
	}
}
