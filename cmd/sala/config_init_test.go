package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func TestConfigInit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sala.yaml")
	code, out, stderr := sala(t, "config", "init", file)
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v", info.Mode())
	}
	key := regexp.MustCompile(`SALA_API_KEY=(\S+)`).FindStringSubmatch(out)
	if key == nil {
		t.Fatalf("printed %s", out)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), key[1]) {
		t.Errorf("the file contains the key itself (%v)", err)
	}

	secret := regexp.MustCompile(`(?m)^jwt_secret: \[(\S+)\]$`).FindStringSubmatch(string(text))
	if secret == nil || strings.Count(string(text), secret[1]) != 1 {
		t.Errorf("the secret isn't at its one place in %s", text)
	}

	// The flags only move the listeners to free ports.
	n := serve(t, "--config", file)
	if code, out, stderr := sala(t, "rooms", "--server", n.grpc, "--api-key", key[1]); code != exitOK {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}

	code, _, stderr = sala(t, "config", "init", file)
	if again, err := os.ReadFile(file); code != exitUsage || !strings.Contains(stderr, "exists already") || err != nil || string(again) != string(text) {
		t.Errorf("the second time: exit code %d, %s", code, stderr)
	}
	other := filepath.Join(t.TempDir(), "other.yaml")
	if code, _, stderr := sala(t, "config", "init", other); code != exitOK {
		t.Fatal(stderr)
	}
	if second, err := os.ReadFile(other); err != nil || string(second) == string(text) {
		t.Errorf("two files have the same secrets (%v)", err)
	}
	if code, _, stderr := sala(t, "config", "init", filepath.Join(file, "none")); code != exitFailure || !strings.Contains(stderr, "can't write") {
		t.Errorf("in no folder: exit code %d, %s", code, stderr)
	}
}

// The settings that are turned off are right, too.
func TestConfigInitComments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sala.yaml")
	if code, _, stderr := sala(t, "config", "init", file); code != exitOK {
		t.Fatal(stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^#([^ \n].*|  .*)$`).ReplaceAllString(string(text), "$1")
	if code, out, stderr := sala(t, "config", "check", "--config", writeFile(t, "all.yaml", all)); code != exitOK || !strings.Contains(out, "cluster_key") {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
}
