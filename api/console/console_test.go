package console_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/salabroker/sala/api/console"
)

func get(t *testing.T, method, path, host string) (*http.Response, string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	request.Host = host
	recorder := httptest.NewRecorder()
	console.Handler(console.Config{PublicPort: 3000, Path: "/chat/", Version: "v1.2.3"}).ServeHTTP(recorder, request)
	response := recorder.Result()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestServesThePageAndItsFiles(t *testing.T) {
	for _, test := range []struct {
		method, path string
		status       int
		contentType  string
		contains     string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "<title>Sala"},
		{"GET", "/console.css", 200, "text/css; charset=utf-8", ":root"},
		{"GET", "/console.js", 200, "text/javascript; charset=utf-8", "import"},
		{"GET", "/client.js", 200, "text/javascript; charset=utf-8", "WebSocket"},
		{"GET", "/icon.svg", 200, "image/svg+xml", "<svg"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", ""},
		{"POST", "/", 405, "application/json", "METHOD_NOT_ALLOWED"},
		{"GET", "/static/index.html", 404, "application/json", "PATH_NOT_FOUND"},
		{"GET", "/../console.go", 404, "application/json", "PATH_NOT_FOUND"},
		{"GET", "/index.html", 404, "application/json", "PATH_NOT_FOUND"},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			response, body := get(t, test.method, test.path, "localhost:9091")
			if response.StatusCode != test.status {
				t.Errorf("status %d, want %d", response.StatusCode, test.status)
			}
			if got := response.Header.Get("Content-Type"); got != test.contentType {
				t.Errorf("content type %q, want %q", got, test.contentType)
			}
			if !strings.Contains(body, test.contains) {
				t.Errorf("body lacks %q", test.contains)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	_, body := get(t, "GET", "/console.json", "localhost:9091")
	var config struct {
		PublicPort int
		Path       string
		Version    string
	}
	if err := json.Unmarshal([]byte(body), &config); err != nil {
		t.Fatal(err)
	}
	if config.PublicPort != 3000 || config.Path != "/chat/" || config.Version != "v1.2.3" {
		t.Errorf("got %+v", config)
	}
}

func TestContentSecurityPolicy(t *testing.T) {
	for _, test := range []struct{ host, public string }{
		{"localhost:9091", "localhost"},
		{"127.0.0.1:9091", "127.0.0.1"},
		{"sala.example.org", "sala.example.org"},
		{"[::1]:9091", "*"},
		{"evil; script-src *:9091", "*"},
		{"", "*"},
	} {
		t.Run(test.host, func(t *testing.T) {
			response, _ := get(t, "GET", "/", test.host)
			policy := response.Header.Get("Content-Security-Policy")
			want := "connect-src 'self' http://" + test.public + ":3000 https://" + test.public + ":3000 ws://" + test.public + ":3000 wss://" + test.public + ":3000;"
			if !strings.Contains(policy, want) {
				t.Errorf("policy %q lacks %q", policy, want)
			}
			if strings.Count(policy, "script-src") != 1 || !strings.Contains(policy, "script-src 'self';") {
				t.Errorf("policy %q lets in scripts", policy)
			}
		})
	}
}

// TestPageIsOneOriginOnly holds the page to its own policy: no inline script,
// style or handler, and nothing loaded from elsewhere.
func TestPageIsOneOriginOnly(t *testing.T) {
	_, page := get(t, "GET", "/", "localhost:9091")
	for name, pattern := range map[string]string{
		"inline script":  `<script[^>]*>\s*[^<\s]`,
		"inline style":   `<style|\sstyle=`,
		"inline handler": `\son[a-z]+=`,
		"foreign source": `(?:src|href)="(?:https?:)?//`,
	} {
		if match := regexp.MustCompile(pattern).FindString(page); match != "" {
			t.Errorf("%s: %q", name, match)
		}
	}
}
