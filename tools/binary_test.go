package tools_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// largestBinary is the size in bytes up to which the stripped binary may grow.
const largestBinary = 30_000_000

// TestLinkerDropsUnusedMethods builds the binary as `make build` does. The linker drops methods that
// nothing calls, unless something that is reachable looks a method up by a name that isn't a constant:
// then it keeps every exported method of all types. docs/design.md says what that costs.
func TestLinkerDropsUnusedMethods(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "sala")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "grpcnotrace", "-trimpath", "-ldflags", "-s -w -dumpdep", "-o", binary, "../cmd/sala")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	graph, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, last(graph, 2000))
	}
	var lookups []string
	for _, edge := range regexp.MustCompile(`(?m)^(\S+) <ReflectMethod> -> `).FindAllSubmatch(graph, -1) {
		if name := string(edge[1]); !strings.HasPrefix(name, "reflect.") {
			lookups = append(lookups, name)
		}
	}
	slices.Sort(lookups)
	if lookups = slices.Compact(lookups); len(lookups) > 0 {
		t.Errorf("these functions look methods up by name, so that the linker keeps all:\n%s", strings.Join(lookups, "\n"))
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > largestBinary {
		t.Errorf("the binary has %d bytes, want at most %d", info.Size(), largestBinary)
	}
	t.Logf("the binary has %d bytes", info.Size())
}

func last(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
