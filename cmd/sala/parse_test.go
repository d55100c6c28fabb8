package main

import (
	"io"
	"testing"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
)

// TestEveryCommandRuns finds commands whose Run has a signature that isn't called.
func TestEveryCommandRuns(t *testing.T) {
	parser, err := newParser(&commands{}, cli.Streams{Out: io.Discard, Err: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(false) {
		switch target(leaf).(type) {
		case command, parsedCommand:
		default:
			t.Errorf("%s has no Run method that runCommand calls", leaf.FullPath())
		}
	}
}

func TestSettingsOfOtherCommandsAreIgnored(t *testing.T) {
	t.Setenv("SALA_LOG_FORMAT", "nonsense")
	t.Setenv("SALA_DRAIN_TIMEOUT", "soon")
	if code, _, stderr := sala(t, "version"); code != exitOK {
		t.Errorf("sala version: exit code %d: %s", code, stderr)
	}
	if code, _, _ := sala(t, "config", "check"); code != exitUsage {
		t.Errorf("sala config check: exit code %d, want %d", code, exitUsage)
	}
}
