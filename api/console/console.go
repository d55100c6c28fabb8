// Package console serves the demo page: a small web client that mints a token,
// connects, joins rooms, sends, and shows what arrives.
//
// It consists of a few static files and one small JSON document. The page is a client like
// any other: it uses the REST API with an API key, which it keeps in memory only, and
// Socket.IO.
package console

import (
	"embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"

	"github.com/salabroker/sala/api"
)

//go:embed static
var static embed.FS

// Config is what the page needs to know about the broker.
type Config struct {
	// PublicPort is the TCP port of the Socket.IO listener. The page takes the host from
	// its own address, so that it works under every name of the machine.
	PublicPort int

	// PublicTLS reports whether the Socket.IO listener uses TLS.
	PublicTLS bool

	// Path is the path of the Socket.IO listener, such as "/socket.io/".
	Path string

	// Version is shown in a corner of the page, unless it is empty.
	Version string
}

// The files by path, with their content types. Files that aren't listed aren't served.
var files = map[string]struct{ name, contentType string }{
	"/":            {"static/index.html", "text/html; charset=utf-8"},
	"/console.css": {"static/console.css", "text/css; charset=utf-8"},
	"/console.js":  {"static/console.js", "text/javascript; charset=utf-8"},
	"/client.js":   {"static/client.js", "text/javascript; charset=utf-8"},
	"/icon.svg":    {"static/icon.svg", "image/svg+xml"},
}

// Handler serves the page at "/", its files next to it and the configuration at
// "/console.json". Other paths get 404 and methods other than GET and HEAD get 405, in the form
// of the REST API's errors. The handler is safe for concurrent use.
func Handler(cfg Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, known := files[r.URL.Path]
		if !known && r.URL.Path != "/console.json" {
			api.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			api.MethodNotAllowed(w, r)
			return
		}
		setSecurityHeaders(w.Header(), r.Host, cfg.PublicPort)
		if !known {
			serveConfig(w, cfg)
			return
		}
		w.Header().Set("Content-Type", file.contentType)
		http.ServeFileFS(w, r, static, file.name)
	})
}

func serveConfig(w http.ResponseWriter, cfg Config) {
	w.Header().Set("Content-Type", "application/json")
	// An error means that the client is gone.
	_ = json.NewEncoder(w).Encode(map[string]any{
		"publicPort": cfg.PublicPort,
		"publicTLS":  cfg.PublicTLS,
		"path":       cfg.Path,
		"version":    cfg.Version,
	})
}

// setSecurityHeaders lets the page load only its own files, and connect only to this listener
// and to the broker's public one.
func setSecurityHeaders(h http.Header, host string, publicPort int) {
	public := publicHost(host)
	h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self' http://%[1]s:%[2]d https://%[1]s:%[2]d ws://%[1]s:%[2]d wss://%[1]s:%[2]d; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", public, publicPort))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
}

var plainHost = regexp.MustCompile(`^[A-Za-z0-9.-]{1,253}$`)

// publicHost returns the host of the page's own address, where the page looks for the broker.
// A policy can't contain an IPv6 address, and a Host header that isn't a plain name must not
// get into it. Both become a wildcard, with a fixed port.
func publicHost(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if !plainHost.MatchString(host) {
		return "*"
	}
	return host
}
