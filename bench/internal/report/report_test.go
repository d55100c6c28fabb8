package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/bench/internal/bench"
	"github.com/salabroker/sala/bench/results"
)

// profiles returns the profiles of a full plan as they are kept with results.
func profiles(t *testing.T) (all []results.Profile) {
	t.Helper()
	for _, p := range bench.NewPlan(false, 2).Profiles {
		config, err := json.Marshal(p.Benchmark)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, results.Profile{Name: p.Name, Runs: p.Runs, Config: config})
	}
	return all
}

func mustPage(t *testing.T, set *results.Set) string {
	t.Helper()
	text, err := page(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// newSet returns a set in which Sala's CPU time in a burst is a share of centrifuge's.
func newSet(t *testing.T, share float64) *results.Set {
	t.Helper()
	set := &results.Set{Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Profiles: profiles(t)}
	for run := 1; run <= 2; run++ {
		set.Samples = append(set.Samples,
			results.Sample{Profile: bench.ProfileBurst, Peer: bench.PeerSala, Run: run, Figures: results.Figures{bench.CPU: share * float64(run), bench.Missing: float64(run - 1)}},
			results.Sample{Profile: bench.ProfileBurst, Peer: bench.PeerCentrifuge, Run: run, Figures: results.Figures{bench.CPU: float64(run)}},
		)
	}
	return set
}

func TestAimsAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		share float64
		want  string
	}{
		"reached":     {0.15, "| CPU per delivery in a burst, relative to centrifuge | ≤ 0.18 | 0.15 (0.15–0.15) | reached |"},
		"not reached": {0.5, "| CPU per delivery in a burst, relative to centrifuge | ≤ 0.18 | 0.50 (0.50–0.50) | **not reached** |"},
	} {
		if text := mustPage(t, newSet(t, c.share)); !strings.Contains(text, c.want) {
			t.Errorf("%s: the page lacks %q", name, c.want)
		}
	}
}

func TestRows(t *testing.T) {
	text := mustPage(t, newSet(t, 0.25))
	// The median of 0.25 and 0.5, its ratio to centrifuge, no latencies, and the larger number of
	// missing messages.
	if want := "| **Sala** | 0.38 (0.25–0.50) | 0.25 (0.25–0.25) | – | – | 1 | – | – |"; !strings.Contains(text, want) {
		t.Errorf("the page lacks %q:\n%s", want, text)
	}
	if strings.Contains(text, "× Node") {
		t.Error("Node was not measured, but there is a ratio to it")
	}
}

func TestFailuresAreShown(t *testing.T) {
	set := newSet(t, 0.25)
	set.Samples = append(set.Samples, results.Sample{Profile: bench.ProfileWide, Peer: bench.PeerNode, Run: 1, Error: "it\nbroke"})
	if want := "- wide of node, run 1: it broke"; !strings.Contains(mustPage(t, set), want) {
		t.Errorf("the page lacks %q", want)
	}
}

func TestABusyMachineIsSaid(t *testing.T) {
	const warning = "The machine was not quiet"
	for name, c := range map[string]struct {
		busy, stolen float64
		want         bool
	}{
		"quiet":  {0.02, 0.01, false},
		"busy":   {0.3, 0.01, true},
		"stolen": {0.02, 0.2, true},
	} {
		set := newSet(t, 0.25)
		set.Samples[1].Busy, set.Samples[1].Stolen = c.busy, c.stolen
		if got := strings.Contains(mustPage(t, set), warning); got != c.want {
			t.Errorf("%s: the page warns: %v, want %v", name, got, c.want)
		}
	}
}

func TestThePlotIsXML(t *testing.T) {
	for name, set := range map[string]*results.Set{"two servers": newSet(t, 0.25), "nothing": {}} {
		decoder := xml.NewDecoder(bytes.NewReader(plot(set)))
		for {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
	}
}

func TestWrite(t *testing.T) {
	docs := t.TempDir()
	if err := Write(newSet(t, 0.25), docs); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(docs, Page))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("]("+Plot+")")) {
		t.Error("the page does not show the plot")
	}
	if _, err := os.Stat(filepath.Join(docs, Plot)); err != nil {
		t.Error(err)
	}
}
