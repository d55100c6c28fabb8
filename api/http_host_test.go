package api

import (
	"net/http"
	"os"
	"testing"
)

// TestHosts: a page whose name points at this machine reads no metrics.
func TestHosts(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	h := start(t, &fakeBroker{}, func(c *Config) { c.Console = http.NotFoundHandler() })
	for host, ok := range map[string]bool{
		"": true, "localhost": true, "LOCALHOST:9091": true, "a.localhost": true, "127.0.0.1": true, "127.0.0.1:1": true, "[::1]:9091": true, "[::1]": true, "192.0.2.1": true, own: true, own + ":9091": true,
		"evil.example": false, "evil.example:9091": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false, "xlocalhost": false, "xinternal": false, "internal.evil.example": false, "host.docker.internal:9091": true,
	} {
		set := func(r *http.Request) { r.Host = host }
		if host == "" {
			set = func(*http.Request) {}
		}
		for path, open := range map[string]bool{"/metrics": false, "/": false, "/livez": true, "/readyz": true} {
			status, _, text := h.do(t, http.MethodGet, path, "", set)
			if refused := status == http.StatusForbidden; refused == (ok || open) {
				t.Errorf("%s as %q: %d %.200s", path, host, status, text)
			}
		}
	}
}
