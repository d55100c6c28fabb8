package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

func TestPlainTextBecomesMarkdown(t *testing.T) {
	for text, want := range map[string]string{
		"Names it with args_json,\n or --path.":         "Names it with `args_json`, or `--path`.",
		`{"a": true, "num": <index>} fits`:              "`{\"a\": true, \"num\": <index>}` fits",
		"<b> | room-* at https://*.example.com, /livez": `&lt;b> \| room-\* at ` + "`https://*.example.com`, `/livez`",
		"docs/events.md is the guide":                   "[docs/events.md](../events.md) is the guide",
		"DRAINING and TOO_MANY_ROOMS over REST":         "`DRAINING` and `TOO_MANY_ROOMS` over REST",
	} {
		if got := plain(text); got != want {
			t.Errorf("plain(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestParagraphsWrap(t *testing.T) {
	for line := range strings.SplitSeq(paragraphs(strings.Repeat("word ", 60)+"\n\nnext"), "\n") {
		if len(line) > 100 || strings.HasSuffix(line, " ") {
			t.Errorf("%q", line)
		}
	}
}

func parse(t *testing.T, source string) []*ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "a.go", "package a\n"+source, 0)
	if err != nil {
		t.Fatal(err)
	}
	return []*ast.File{file}
}

func TestMetricsOfTheSource(t *testing.T) {
	page, err := metricsPage(parse(t, `
		var a = counters("sala_a_total", "Things.", "kind", "result")
		var b = vec(prometheus.GaugeOpts{Name: "sala_bees", Help: "More, by x."}, []string{"namespace"})
		var c = &m{one: counter("sala_c_total", "One."), two: counter("sala_d_duration_seconds", "Two.")}
	`), notes{})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		"| `sala_a_total` | counter | `kind`, `result` | Things. |",
		"| `sala_bees` | gauge | `namespace` | More, by x. |",
		"| `sala_c_total` | counter |  | One. |",
		"| `sala_d_duration_seconds` | histogram |  | Two. |",
	} {
		if !slices.Contains(strings.Split(page, "\n"), row) {
			t.Errorf("the page lacks %s:\n%s", row, page)
		}
	}
}

func TestStatusOfAReason(t *testing.T) {
	_, coded := reasonsOf(parse(t, `
		const ReasonGone = "GONE"
		var e = &Error{Code: CodeNotFound, Reason: ReasonGone}
	`))
	if grpc, rest, err := statusOf("GONE", "", "", coded["GONE"]); grpc != "`NOT_FOUND`" || rest != "404" || err != nil {
		t.Errorf("got %s, %s, %v", grpc, rest, err)
	}
	if _, _, err := statusOf("GONE", "Unavailable", "", coded["GONE"]); err == nil {
		t.Error("a code that the source doesn't use was accepted")
	}
}
