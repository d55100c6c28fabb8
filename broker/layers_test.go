package broker

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// layers lists the files of the package from the top layer down, as doc.go does. A
// file may refer to its own layer and to those below.
var layers = []struct{ name, files string }{
	{"node", "broker options http forwarding cluster drain"},
	{"calls", "list list_rooms list_sockets list_nodes search history presence tokens subscribe tail explain overview emitters cluster_events admin_node"},
	{"clients", "receive admin handshake recovery session_search takeover handover event join_history users relay"},
	{"messages", "emit emit_once emit_recorded ops ack ack_cluster"},
	{"cluster", "cluster_call"},
	{"sockets", "client socket session session_away catchup tombstones moved ack_request claims expiry namespace tracking publish outcomes admission"},
	{"base", "message results spans errors auth limits metrics"},
}

// TestLayers type-checks the package and looks where each identifier is declared.
// Broker itself, the state that all layers share, is exempt, and so are the fields
// of structs, whose types count.
func TestLayers(t *testing.T) {
	level := make(map[string]int)
	for i, layer := range layers {
		for name := range strings.FieldsSeq(layer.files) {
			level[name+".go"] = i
		}
	}
	fset, files, info := typeCheck(t)
	file := func(pos token.Pos) string { return filepath.Base(fset.Position(pos).Filename) }
	found := 0
	for _, f := range files {
		name := file(f.Pos())
		if _, ok := level[name]; !ok && name != "doc.go" {
			t.Errorf("%s is in no layer: add it to layers and to doc.go", name)
		}
		receivers := receiversOf(f)
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok || receivers[id] {
				return true
			}
			used := info.Uses[id]
			if used == nil || used.Pkg() == nil || used.Pkg().Path() != "github.com/salabroker/sala/broker" || used.Name() == "Broker" {
				return true
			}
			if v, ok := used.(*types.Var); ok && v.IsField() {
				return true
			}
			found++
			if to := file(used.Pos()); level[to] < level[name] {
				t.Errorf("%s: %s (%s) uses %s of %s, a higher layer (%s)",
					fset.Position(id.Pos()), name, layers[level[name]].name, used.Name(), to, layers[level[to]].name)
			}
			return true
		})
	}
	if found < 1000 {
		t.Errorf("only %d references were resolved; the test doesn't see the code any more", found)
	}
}

// receiversOf returns the identifiers in the receivers of a file's methods: a
// method may be in a lower layer than the declaration of its type.
func receiversOf(f *ast.File) map[*ast.Ident]bool {
	ids := make(map[*ast.Ident]bool)
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
			ast.Inspect(fn.Recv, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					ids[id] = true
				}
				return true
			})
		}
	}
	return ids
}

// typeCheck type-checks the package without its tests.
func typeCheck(t *testing.T) (*token.FileSet, []*ast.File, *types.Info) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{if .Export}}{{.ImportPath}} {{.Export}}{{end}}", ".")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	exports := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, export, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = export
	}
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup)}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	if _, err := config.Check("github.com/salabroker/sala/broker", fset, files, info); err != nil {
		t.Fatal(err)
	}
	return fset, files, info
}
