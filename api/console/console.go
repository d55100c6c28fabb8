// Package console serves the console, the web page with which people watch and steer the broker.
//
// It consists of a few static files, built from web/console, and one small JSON document. The page
// is a client of the REST API like any other: visitors give it an API key, which it keeps in its
// memory. The files contain nothing secret and need no key.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/salabroker/sala/api"
)

// Root is the path below which the console is served.
const Root = "/console/"

//go:embed dist
var dist embed.FS

// Config is what the page needs to know about the broker.
type Config struct {
	// Version is that of the broker.
	Version string

	// Dev is set with --dev. Without it, the page has no client to try things with.
	Dev *Dev
}

// Dev says where the page's own Socket.IO client connects.
type Dev struct {
	// PublicHost is the only host of the Socket.IO listener, such as "192.0.2.1" or "[::1]". It is
	// empty if the host is that of the page's address, so that it works under every name of the
	// machine.
	PublicHost string

	// PublicPort is the TCP port of the Socket.IO listener.
	PublicPort int

	// PublicTLS reports whether the Socket.IO listener uses TLS.
	PublicTLS bool

	// Path is the path of the Socket.IO listener, such as "/socket.io/".
	Path string
}

// file is one file of the page.
type file struct {
	content     []byte
	gzipped     []byte
	contentType string
	etag        string
}

// Handler serves the page at [Root], its files next to it and the configuration at config.json.
// "/console" redirects to it and, with Dev, "/" does too. Other paths get 404 and methods other
// than GET and HEAD get 405, in the form of the REST API's errors. The handler is safe for
// concurrent use.
func Handler(cfg Config) http.Handler {
	files := readFiles()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		redirected := r.URL.Path == strings.TrimSuffix(Root, "/") || cfg.Dev != nil && r.URL.Path == "/"
		name, below := strings.CutPrefix(r.URL.Path, Root)
		if name == "" {
			name = "index.html"
		}
		page, known := files[name]
		isConfig := name == "config.json"
		if !redirected && (!below || !known && !isConfig) {
			api.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			api.MethodNotAllowed(w, r)
			return
		}
		cfg.setHeaders(w.Header(), r.Host)
		switch {
		case redirected:
			// Relative, so that it works below a prefix that a proxy adds. Browsers keep the fragment.
			w.Header().Set("Location", strings.TrimPrefix(Root, "/"))
			w.WriteHeader(http.StatusFound)
		case isConfig:
			cfg.serveConfig(w, r)
		default:
			page.serve(w, r)
		}
	})
}

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

func readFiles() map[string]file {
	files := make(map[string]file)
	entries, _ := fs.ReadDir(dist, "dist") // the folder is part of the binary
	for _, entry := range entries {
		content, _ := fs.ReadFile(dist, path.Join("dist", entry.Name()))
		sum := sha256.Sum256(content)
		files[entry.Name()] = file{
			content:     content,
			gzipped:     compress(content),
			contentType: contentTypes[path.Ext(entry.Name())],
			etag:        `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		}
	}
	return files
}

func compress(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(content) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// serve writes the file, or 304 if the browser has it. Browsers ask each time: the names stay
// the same from release to release, so that nodes of two releases behind one address serve one
// page.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	h.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.contentType)
	content := f.content
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		content = f.gzipped
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // an error means that the client is gone
	}
}

func (cfg Config) serveConfig(w http.ResponseWriter, r *http.Request) {
	answer := struct {
		Dev       bool   `json:"dev"`
		Version   string `json:"version"`
		PublicURL string `json:"publicUrl"`
		Path      string `json:"path"`
	}{Dev: cfg.Dev != nil, Version: cfg.Version}
	if cfg.Dev != nil {
		answer.PublicURL, answer.Path = cfg.Dev.publicURL(r.Host), cfg.Dev.Path
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // an error means that the client is gone
}

// setHeaders lets the page load only its own files, and connect only to this listener and, with
// Dev, to the broker's public one.
func (cfg Config) setHeaders(h http.Header, host string) {
	connect := "'self'"
	if cfg.Dev != nil {
		connect += fmt.Sprintf(" %[3]s://%[1]s:%[2]d", plainHost(cfg.Dev.host(host)), cfg.Dev.PublicPort, scheme("ws", cfg.Dev.PublicTLS))
	}
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
		"connect-src "+connect+"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// publicURL returns the origin of the Socket.IO listener for a page with this address.
func (d *Dev) publicURL(hostport string) string {
	return fmt.Sprintf("%s://%s:%d", scheme("http", d.PublicTLS), d.host(hostport), d.PublicPort)
}

func (d *Dev) host(hostport string) string {
	if d.PublicHost != "" {
		return d.PublicHost
	}
	return hostOf(hostport)
}

func scheme(plain string, tls bool) string {
	if tls {
		return plain + "s"
	}
	return plain
}

func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

var plainNames = regexp.MustCompile(`^[A-Za-z0-9.-]{1,253}$`)

// plainHost returns the host that the page's client connects to for its policy. A policy can't contain an
// IPv6 address, and a Host header that isn't a plain name must not get into it. Both become a
// wildcard, with a fixed port.
func plainHost(host string) string {
	if !plainNames.MatchString(host) {
		return "*"
	}
	return host
}
