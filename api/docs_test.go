package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Reasons are part of the public contract, so each has a constant, and the docs
// say what to do about it.
func TestReasonsAreDocumented(t *testing.T) {
	var docs strings.Builder
	for _, page := range []string{"api", "clients", "events", "reference/errors", "reference/metrics"} {
		text, err := os.ReadFile("../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		docs.Write(text)
	}
	isReason := regexp.MustCompile(`^[A-Z]+(_[A-Z]+)*$`)
	reasons := 0
	constant := func(file string, spec *ast.ValueSpec) {
		for i, name := range spec.Names {
			if !strings.HasPrefix(strings.ToLower(name.Name), "reason") || i >= len(spec.Values) {
				continue
			}
			literal, ok := spec.Values[i].(*ast.BasicLit)
			if !ok {
				continue
			}
			reason, err := strconv.Unquote(literal.Value)
			if err != nil || !isReason.MatchString(reason) {
				continue // why an Engine.IO connection ended, which is a label
			}
			reasons++
			if name.Name != "ReasonMetrics" && !strings.Contains(docs.String(), "`"+reason+"`") { // a broker with that one doesn't start
				t.Errorf("%s: no page explains %s", file, reason)
			}
		}
	}
	for _, root := range []string{".", "../broker"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.ValueSpec:
					constant(path, n)
				case *ast.KeyValueExpr:
					key, named := n.Key.(*ast.Ident)
					value, literal := n.Value.(*ast.BasicLit)
					if named && literal && key.Name == "Reason" {
						t.Errorf("%s: the reason %s has no constant", path, value.Value)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if reasons < 40 {
		t.Errorf("found only %d reasons", reasons)
	}
}
