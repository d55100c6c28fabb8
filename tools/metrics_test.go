package tools_test

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	metricInCode = regexp.MustCompile(`"(sala_[a-z_]+[a-z])"`)
	metricRow    = regexp.MustCompile("(?m)^\\| `sala_[^|]*\\|")
	metricInRow  = regexp.MustCompile("`(sala_[a-z_]+)`")
)

// TestMetricsAreDocumented compares the names of metrics in the code with the table in
// docs/operations.md. Both have the same.
func TestMetricsAreDocumented(t *testing.T) {
	var coded, documented []string
	for _, name := range trackedFiles(t) {
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || !regexp.MustCompile(`^(api|broker|cmd)/`).MatchString(name) {
			continue
		}
		text, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range metricInCode.FindAllStringSubmatch(string(text), -1) {
			coded = append(coded, found[1])
		}
	}
	docs, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range metricRow.FindAllString(string(docs), -1) {
		for _, found := range metricInRow.FindAllStringSubmatch(row, -1) {
			documented = append(documented, found[1])
		}
	}
	if len(coded) == 0 {
		t.Error("the code has no metrics")
	}
	for _, name := range coded {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/operations.md lacks %s", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(coded, name) {
			t.Errorf("docs/operations.md has %s, which doesn't exist", name)
		}
	}
}
