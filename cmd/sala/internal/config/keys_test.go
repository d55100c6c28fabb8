package config

import (
	"strings"
	"testing"
)

// A key that was left out, as by an unset variable of the shell, isn't its name.
func TestForgottenKey(t *testing.T) {
	flags, _ := mustParse(t, nil, "--jwt-secret", testSecret, "--api-key", "backend=")
	if _, err := flags.Build(); err == nil || !strings.Contains(err.Error(), "api_key[0]: the key is empty") {
		t.Errorf("Build: %v", err)
	}
	if secret := KeySecret("backend="); secret != "" {
		t.Errorf("KeySecret = %q", secret)
	}
}

func TestShortKeysWarnings(t *testing.T) {
	for key, want := range map[string]bool{
		"hunter2": true, "ci=hunter2:emit": true, "a-long-name-of-a-key=hunter2": true,
		"0123456789abcdef": false, "ci=0123456789abcdef": false,
	} {
		c := mustBuild(t, "--api-key", key)
		warnings := strings.Join(c.Warnings, "\n")
		if strings.Contains(warnings, "can be guessed") != want || strings.Contains(warnings, "hunter2") {
			t.Errorf("%s: warnings %q", key, warnings)
		}
		flags, _ := mustParse(t, nil, "--dev", "--api-key", key)
		if c, err := flags.Build(); err != nil || strings.Contains(strings.Join(c.Warnings, ""), "guessed") {
			t.Errorf("%s with --dev: %v", key, err)
		}
	}
}
