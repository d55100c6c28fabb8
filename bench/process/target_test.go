package process

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLoggedFailures(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	text := "level=INFO msg=fine\nlevel=ERROR msg=panic\npanic: no\nlevel=WARN msg=odd\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := (&Target{Log: log}).LoggedFailures(); n != 2 || err != nil {
		t.Errorf("%v lines report a failure (%v), want 2", n, err)
	}
	if _, err := (&Target{}).LoggedFailures(); err == nil {
		t.Errorf("a missing log is no error")
	}
}
