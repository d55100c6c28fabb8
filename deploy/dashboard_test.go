package deploy

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what the tests look at in a dashboard of Grafana.
type dashboard struct {
	Title         string
	UID           string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type string }
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type        string
	Title       string
	GridPos     struct{ X, Y, W, H int }
	Datasource  *datasource
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct {
		RefID        string
		Expr         string
		LegendFormat string
		Datasource   *datasource
	}
}

type datasource struct{ Type, UID string }

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("grafana/sala.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// overlaps reports whether two panels share a cell of the grid.
func (p *panel) overlaps(o *panel) bool {
	a, b := p.GridPos, o.GridPos
	return a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H
}

// The dashboard has the shape that Grafana loads, and works with any data source.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 36 {
		t.Errorf("the title is %q, the uid %q, and the version of the schema %d", d.Title, d.UID, d.SchemaVersion)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name+" "+v.Type)
	}
	if want := []string{"datasource datasource", "job query", "instance query"}; !slices.Equal(variables, want) {
		t.Errorf("the variables are %v, want %v", variables, want)
	}
	chosen := datasource{"prometheus", "${datasource}"}
	ids := map[int]bool{}
	for i := range d.Panels {
		p := &d.Panels[i]
		if p.ID == 0 || ids[p.ID] || p.Title == "" {
			t.Errorf("the panel %d, %q, has no title, or no id of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
			t.Errorf("%s is outside the grid: %+v", p.Title, g)
		}
		for j := range d.Panels[:i] {
			if p.overlaps(&d.Panels[j]) {
				t.Errorf("%s overlaps %s", p.Title, d.Panels[j].Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource == nil || *p.Datasource != chosen || len(p.Targets) == 0 {
			t.Errorf("%s doesn't ask the chosen data source", p.Title)
		}
	}
}

var (
	selector  = regexp.MustCompile(`\b(?:sala|go|process)_\w+(\{[^}]*\})?`)
	grouped   = regexp.MustCompile(`by \(([^)]*)\)`)
	inLegend  = regexp.MustCompile(`\{\{(\w+)\}\}`)
	metricRow = regexp.MustCompile("(?m)^\\| `sala_[^|]*\\|[^|]*\\|([^|]*)\\|")
	quoted    = regexp.MustCompile("`(\\w+)`")
)

// Each query is for the chosen nodes, groups by labels that metrics have, and its legend names labels
// that it groups by.
func TestDashboardQueries(t *testing.T) {
	docs, err := os.ReadFile("../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	labels := []string{"instance", "le"}
	for _, row := range metricRow.FindAllStringSubmatch(string(docs), -1) {
		for _, label := range quoted.FindAllStringSubmatch(row[1], -1) {
			labels = append(labels, label[1])
		}
	}
	for _, p := range readDashboard(t).Panels {
		for i, target := range p.Targets {
			if target.RefID != string(rune('A'+i)) || target.Datasource == nil || *target.Datasource != *p.Datasource {
				t.Errorf("%s: the query %d is called %s, or asks another data source", p.Title, i, target.RefID)
			}
			for _, found := range selector.FindAllStringSubmatch(target.Expr, -1) {
				if !strings.HasPrefix(found[1], `{job=~"$job",instance=~"$instance"`) {
					t.Errorf("%s: %s isn't limited to the chosen nodes", p.Title, found[0])
				}
			}
			var by []string
			for _, found := range grouped.FindAllStringSubmatch(target.Expr, -1) {
				by = append(by, strings.Split(found[1], ", ")...)
			}
			for _, label := range by {
				if !slices.Contains(labels, label) {
					t.Errorf("%s groups by %q, which no metric has: %v", p.Title, label, labels)
				}
			}
			for _, label := range inLegend.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.Contains(by, label[1]) {
					t.Errorf("%s: the legend %q names what the query doesn't group by: %v", p.Title, target.LegendFormat, by)
				}
			}
		}
	}
}

// Each axis has a unit, and the lines of a panel can be told apart.
func TestDashboardUnitsAndLegends(t *testing.T) {
	for _, p := range readDashboard(t).Panels {
		switch p.Type {
		case "row", "table", "heatmap": // the unit of a heatmap is that of its options
			continue
		}
		if p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("%s has no unit", p.Title)
		}
		var legends []string
		for _, target := range p.Targets {
			if len(p.Targets) > 1 && (target.LegendFormat == "" || slices.Contains(legends, target.LegendFormat)) {
				t.Errorf("%s: the query %s has the legend %q, as another one or none", p.Title, target.RefID, target.LegendFormat)
			}
			legends = append(legends, target.LegendFormat)
		}
	}
}
