package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

// newSet returns a set in which Sala's CPU in a burst is the given part of centrifuge's.
func newSet(share float64) *result.Set {
	set := &result.Set{Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Profiles: runner.FullPlan(2).Profiles}
	for run := 1; run <= 2; run++ {
		set.Samples = append(set.Samples,
			result.Sample{Profile: runner.Burst, Peer: runner.Sala, Run: run, Figures: job.Figures{job.CPU: share * float64(run), job.Missing: float64(run - 1)}},
			result.Sample{Profile: runner.Burst, Peer: runner.Centrifuge, Run: run, Figures: job.Figures{job.CPU: float64(run)}},
		)
	}
	return set
}

func TestAimsAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		share float64
		want  string
	}{
		"reached":     {0.25, "| CPU per delivery in a burst, of centrifuge's | ≤ 0.33 | 0.25 (0.25–0.25) | reached |"},
		"not reached": {0.5, "| CPU per delivery in a burst, of centrifuge's | ≤ 0.33 | 0.50 (0.50–0.50) | **not reached** |"},
	} {
		if text := page(newSet(c.share)); !strings.Contains(text, c.want) {
			t.Errorf("%s: the page lacks %q", name, c.want)
		}
	}
}

func TestRows(t *testing.T) {
	text := page(newSet(0.25))
	// The median of 0.25 and 0.5, its ratio to centrifuge, no latencies, and the larger number of missing messages.
	if want := "| **Sala** | 0.38 (0.25–0.50) | 0.25 | – | – | 1 | – | – |"; !strings.Contains(text, want) {
		t.Errorf("the page lacks %q:\n%s", want, text)
	}
	if strings.Contains(text, "× Node") {
		t.Error("Node wasn't measured, but there is a ratio to it")
	}
}

func TestFailuresAreShown(t *testing.T) {
	set := newSet(0.25)
	set.Samples = append(set.Samples, result.Sample{Profile: runner.Wide, Peer: runner.Node, Run: 1, Error: "it\nbroke"})
	if want := "- wide of node, run 1: it broke"; !strings.Contains(page(set), want) {
		t.Errorf("the page lacks %q", want)
	}
}

func TestThePlotIsXML(t *testing.T) {
	for name, set := range map[string]*result.Set{"two servers": newSet(0.25), "nothing": {}} {
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
	if err := Write(newSet(0.25), docs); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(docs, Page))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("]("+Plot+")")) {
		t.Error("the page doesn't show the plot")
	}
	if _, err := os.Stat(filepath.Join(docs, Plot)); err != nil {
		t.Error(err)
	}
}
