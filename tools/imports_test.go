// Package tools_test checks what depguard can't: generated code and indirect imports.
package tools_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/salabroker/sala"

// rules lists what the packages under a folder must not depend on, directly or indirectly:
// "cmd → {api, broker}, api → {broker, gen}".
var rules = []struct {
	under     string
	forbidden []string
}{
	{under: "broker", forbidden: []string{module + "/gen", module + "/api", module + "/cmd", "google.golang.org/grpc", "github.com/grpc-ecosystem"}},
	{under: "gen", forbidden: []string{module + "/broker", module + "/api", module + "/cmd", "github.com/zishang520"}},
	{under: "api", forbidden: []string{module + "/cmd"}},
}

func TestImportsGoOneWay(t *testing.T) {
	packages := listPackages(t)
	for _, rule := range rules {
		seen := false
		for _, pkg := range packages {
			if !within(pkg.ImportPath, module+"/"+rule.under) {
				continue
			}
			seen = true
			for _, dep := range pkg.Deps {
				for _, forbidden := range rule.forbidden {
					if within(dep, forbidden) {
						t.Errorf("%s depends on %s: %s must not", pkg.ImportPath, dep, rule.under)
					}
				}
			}
		}
		if !seen {
			t.Errorf("no package under %s: this rule checks nothing", rule.under)
		}
	}
}

// TestSocketIOStaysInBroker keeps the Socket.IO library replaceable.
func TestSocketIOStaysInBroker(t *testing.T) {
	for _, pkg := range listPackages(t) {
		if within(pkg.ImportPath, module+"/broker") {
			continue
		}
		for _, imported := range pkg.Imports {
			if within(imported, "github.com/zishang520") {
				t.Errorf("%s imports %s: only broker may", pkg.ImportPath, imported)
			}
		}
	}
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg listed
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, pkg)
	}
}

func within(path, tree string) bool {
	return path == tree || strings.HasPrefix(path, tree+"/")
}
