package main

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

func TestScenariosDescribeThemselves(t *testing.T) {
	for _, quick := range []bool{false, true} {
		seen := make(map[string]bool)
		for _, newScenario := range scenarios() {
			s := newScenario(quick)
			i := s.Info()
			if i.Name == "" || seen[i.Name] || i.Title == "" || len(i.Limits) == 0 {
				t.Errorf("%T: the name %q is not unique, or there is no title or no limit", s, i.Name)
			}
			seen[i.Name] = true
			text := i.Description + i.Summary(results.Figures{})
			if i.Details != nil {
				text += i.Details(results.Figures{})
			}
			if i.Description == "" || strings.Contains(text, "%!") {
				t.Errorf("%s: %s", i.Name, text)
			}
		}
	}
}

func TestEachLimitCanFail(t *testing.T) {
	for _, newScenario := range scenarios() {
		i := newScenario(false).Info()
		for _, l := range i.Limits {
			sample := results.Sample{Profile: i.Name, Figures: results.Figures{l.Figure: l.Max + 1}}
			got := scenario.Failed(&results.Set{Samples: []results.Sample{sample}}, scenarios())
			if len(got) != 1 || got[0] != i.Name {
				t.Errorf("%s: %q above its limit does not fail the run", i.Name, l.What)
			}
		}
	}
}

func TestConfigurationsSurviveJSON(t *testing.T) {
	for _, newScenario := range scenarios() {
		s := newScenario(false)
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(s).Elem()).Interface()
		if err := json.Unmarshal(text, got); err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%+v became %+v, error %v", s, got, err)
		}
	}
}

func TestPublishedResultsCanBeRendered(t *testing.T) {
	set, err := results.Load(filepath.Join("..", "..", "faults.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := scenario.WritePage(filepath.Join(t.TempDir(), "faults.md"), set, scenarios()); err != nil {
		t.Error(err)
	}
	known := make(map[string]bool)
	for _, newScenario := range scenarios() {
		known[newScenario(false).Info().Name] = true
	}
	for _, p := range set.Profiles {
		if !known[p.Name] {
			t.Errorf("the results have the unknown scenario %q", p.Name)
		}
	}
}
