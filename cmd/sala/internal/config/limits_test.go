package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8":        "[10.0.0.0/8]",
		"10.1.2.3/8":        "[10.0.0.0/8]",
		"192.0.2.1":         "[192.0.2.1/32]",
		"2001:db8::1":       "[2001:db8::1/128]",
		"::ffff:192.0.2.1":  "[192.0.2.1/32]",
		"loopback":          "[127.0.0.0/8 ::1/128]",
		"loopback,fd00::/8": "[127.0.0.0/8 ::1/128 fd00::/8]",
		"":                  "[]",
	} {
		if got := fmt.Sprint(mustBuild(t, "--trusted-proxies", text).Broker.TrustedProxies); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	if n := len(mustBuild(t).Broker.Limits.Exempt); n != 8 {
		t.Errorf("%d networks are exempt by default, want 8", n)
	}
	if got := mustBuild(t, "--limit-exempt=").Broker.Limits.Exempt; len(got) != 0 {
		t.Errorf("%v is exempt, want none", got)
	}
	for _, wrong := range []string{"example.com", "10.0.0.0/33", "10.0.0", "fe80::1%eth0", "::ffff:10.0.0.0/104", "Private"} {
		for _, flag := range []string{"--trusted-proxies", "--limit-exempt"} {
			flags, _ := mustParse(t, nil, flag, wrong, "--jwt-secret", testSecret, "--api-key", testKey)
			if _, err := flags.Build(); err == nil || !strings.Contains(err.Error(), flag+` "`+wrong) {
				t.Errorf("%s %q: %v", flag, wrong, err)
			}
		}
	}
}

func TestLimitsOutOfBounds(t *testing.T) {
	for _, args := range [][]string{{"--max-rooms-per-socket", "0"}, {"--max-attachments=-1"}} {
		flags, _ := mustParse(t, nil, append(args, "--jwt-secret", testSecret, "--api-key", testKey)...)
		if _, err := flags.Build(); err == nil || !strings.Contains(err.Error(), "at least 1") {
			t.Errorf("%v: %v", args, err)
		}
	}
}
