package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckout(t *testing.T) {
	root := t.TempDir()
	source := filepath.Join(root, "cmd", "sala", "internal", "cli", "connectprogram.go")
	if got := checkoutOf(source); got != "" {
		t.Errorf("%s is a checkout without the client", got)
	}
	if err := os.MkdirAll(filepath.Join(root, "cmd", connectProgram), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "cmd", connectProgram, "go.mod"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := checkoutOf(source); got != root {
		t.Errorf("got %q, want %s", got, root)
	}
	if got := checkoutOf("github.com/salabroker/sala/cmd/sala/internal/cli/connectprogram.go"); got != "" {
		t.Errorf("a released program has the checkout %s", got)
	}
}

func TestConnectProgramOutsideACheckout(t *testing.T) {
	_, err := buildConnectProgram(t.Context(), io.Discard, "")
	if err == nil || !strings.HasSuffix(err.Error(), ": go install github.com/salabroker/sala/cmd/sala-connect@latest") {
		t.Error(err)
	}
}
