package console_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/salabroker/sala/api/console"
)

var dev = console.Config{Version: "v1.2.3", Dev: &console.Dev{PublicPort: 3000, Path: "/chat/"}}

func get(t *testing.T, cfg console.Config, method, path, host string, header ...string) (*http.Response, string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	request.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	console.Handler(cfg).ServeHTTP(recorder, request)
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
		{"GET", "/console/", 200, "text/html; charset=utf-8", "<title>Sala"},
		{"GET", "/console/console.js", 200, "text/javascript; charset=utf-8", "Bearer"},
		{"GET", "/console/style.css", 200, "text/css; charset=utf-8", ":root"},
		{"GET", "/console/icon.svg", 200, "image/svg+xml", "<svg"},
		{"GET", "/console/licences.txt", 200, "text/plain; charset=utf-8", "preact"},
		{"GET", "/console/config.json", 200, "application/json", "v1.2.3"},
		{"HEAD", "/console/", 200, "text/html; charset=utf-8", ""},
		{"POST", "/console/", 405, "application/json", "METHOD_NOT_ALLOWED"},
		{"GET", "/console/dist/index.html", 404, "application/json", "PATH_NOT_FOUND"},
		{"GET", "/console/../console.go", 404, "application/json", "PATH_NOT_FOUND"},
		{"GET", "/console/nothing", 404, "application/json", "PATH_NOT_FOUND"},
		{"GET", "/index.html", 404, "application/json", "PATH_NOT_FOUND"},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			response, body := get(t, dev, test.method, test.path, "localhost:9091")
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

func TestRedirects(t *testing.T) {
	for _, test := range []struct {
		name, path string
		cfg        console.Config
		status     int
	}{
		{"without the slash", "/console", console.Config{}, 302},
		{"the root with --dev", "/", dev, 302},
		{"the root without --dev", "/", console.Config{}, 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, _ := get(t, test.cfg, "GET", test.path, "localhost:9091")
			if response.StatusCode != test.status {
				t.Fatalf("status %d, want %d", response.StatusCode, test.status)
			}
			if got := response.Header.Get("Location"); test.status == 302 && got != "console/" {
				t.Errorf("redirects to %q", got)
			}
		})
	}
}

func TestFilesAreCompressedAndAskedForAgain(t *testing.T) {
	response, body := get(t, dev, "GET", "/console/console.js", "localhost", "Accept-Encoding", "br, gzip")
	if got := response.Header.Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("encoded as %q", got)
	}
	reader, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, want := get(t, dev, "GET", "/console/console.js", "localhost"); string(plain) != want {
		t.Error("compressed, the file is another one")
	}
	etag := response.Header.Get("ETag")
	if response, body = get(t, dev, "GET", "/console/console.js", "localhost", "If-None-Match", etag); response.StatusCode != 304 || body != "" {
		t.Errorf("asked again with %s: %d and %d bytes", etag, response.StatusCode, len(body))
	}
}

// TestSize holds the page to its budget: compressed, all files together.
func TestSize(t *testing.T) {
	const budget = 150_000
	total := 0
	for _, path := range []string{"/console/", "/console/console.js", "/console/style.css", "/console/icon.svg"} {
		_, body := get(t, dev, "GET", path, "localhost", "Accept-Encoding", "gzip")
		total += len(body)
	}
	if total > budget {
		t.Errorf("the page takes %d bytes, more than %d", total, budget)
	}
}

func TestConfig(t *testing.T) {
	type answer struct {
		Dev                      bool
		Version, PublicURL, Path string
	}
	for _, test := range []struct {
		name string
		cfg  console.Config
		host string
		want answer
	}{
		{"dev", dev, "localhost:9091", answer{true, "v1.2.3", "http://localhost:3000", "/chat/"}},
		{"dev over IPv6", dev, "[::1]:9091", answer{true, "v1.2.3", "http://[::1]:3000", "/chat/"}},
		{"dev with TLS", console.Config{Dev: &console.Dev{PublicPort: 3000, PublicTLS: true, Path: "/"}}, "sala.example.org", answer{true, "", "https://sala.example.org:3000", "/"}},
		{"dev on another address", console.Config{Dev: &console.Dev{PublicHost: "[::1]", PublicPort: 3000, Path: "/"}}, "localhost:9091", answer{true, "", "http://[::1]:3000", "/"}},
		{"production", console.Config{Version: "v1.2.3"}, "localhost:9091", answer{Version: "v1.2.3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, body := get(t, test.cfg, "GET", "/console/config.json", test.host)
			var got answer
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestContentSecurityPolicy(t *testing.T) {
	for _, test := range []struct {
		cfg           console.Config
		host, connect string
	}{
		{dev, "localhost:9091", "'self' ws://localhost:3000;"},
		{dev, "127.0.0.1:9091", "'self' ws://127.0.0.1:3000;"},
		{dev, "sala.example.org", "'self' ws://sala.example.org:3000;"},
		{dev, "[::1]:9091", "'self' ws://*:3000;"},
		{dev, "evil; script-src *:9091", "'self' ws://*:3000;"},
		{dev, "", "'self' ws://*:3000;"},
		{console.Config{Dev: &console.Dev{PublicPort: 3000, PublicTLS: true}}, "localhost", "'self' wss://localhost:3000;"},
		{console.Config{Dev: &console.Dev{PublicHost: "192.0.2.1", PublicPort: 3000}}, "localhost", "'self' ws://192.0.2.1:3000;"},
		{console.Config{Dev: &console.Dev{PublicHost: "[::1]", PublicPort: 3000}}, "localhost", "'self' ws://*:3000;"},
		{console.Config{}, "localhost:9091", "'self';"},
	} {
		t.Run(test.host, func(t *testing.T) {
			response, _ := get(t, test.cfg, "GET", "/console/", test.host)
			policy := response.Header.Get("Content-Security-Policy")
			if want := "connect-src " + test.connect; !strings.Contains(policy, want) {
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
	_, page := get(t, dev, "GET", "/console/", "localhost:9091")
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
