// Package cors decides which web pages may use a server, by the origin that
// their browser sends (https://fetch.spec.whatwg.org/#http-cors-protocol).
package cors

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Options configures a [Policy].
type Options struct {
	// AllowedOrigins are the origins that may use the server besides its own,
	// each accepted by [CheckOrigin].
	AllowedOrigins []string
	// AllowedHeaders are the headers that pages of allowed origins may send,
	// besides Authorization and Content-Type; "*" allows any. Each is accepted
	// by [ValidHeader].
	AllowedHeaders []string
	// Refuse answers a request that isn't passed on: with 403 because its origin
	// isn't allowed, or with 400 because it has several.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, message string)
}

// Policy says which pages may use a server. It may be used concurrently.
type Policy struct {
	opts       Options
	anyOrigin  bool
	origins    []originPattern
	anyHeader  bool
	headerList string // the value of Access-Control-Allow-Headers
}

// New returns a policy.
func New(o Options) *Policy {
	p := &Policy{opts: o, headerList: "Authorization, Content-Type"}
	for _, text := range o.AllowedOrigins {
		if pattern, err := parseOriginPattern(text); err == nil {
			p.anyOrigin = p.anyOrigin || pattern.any
			p.origins = append(p.origins, pattern)
		}
	}
	for _, name := range o.AllowedHeaders {
		if name == "*" {
			p.anyHeader = true
		} else {
			p.headerList += ", " + name
		}
	}
	return p
}

// CheckOrigin returns an error if an allowed origin can't be one. It is "*", or
// looks like "https://example.com", "http://localhost:*" (any port) or
// "https://*.example.com" (all subdomains at any depth, without example.com
// itself).
func CheckOrigin(text string) error {
	_, err := parseOriginPattern(text)
	return err
}

// ValidHeader reports whether name is "*" or can be the name of a header.
func ValidHeader(name string) bool { return name == "*" || isHeaderName(name) }

// Handler passes requests on to next if their page may use the server, and adds
// the headers that its browser wants to see. A request without Origin doesn't
// come from a browser, or comes from a page of the same origin, and passes.
func (p *Policy) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origins := r.Header.Values("Origin")
		switch {
		case len(origins) == 0 || len(origins) == 1 && origins[0] == "":
			next.ServeHTTP(w, r)
			return
		case len(origins) > 1:
			p.opts.Refuse(w, r, http.StatusBadRequest, "the request has more than one Origin header")
			return
		case !p.allows(origins[0], r):
			p.opts.Refuse(w, r, http.StatusForbidden, "pages of this origin may not connect; the operator can add it to the allowed origins")
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origins[0])
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Add("Vary", "Origin")
		if r.Method == http.MethodOptions {
			p.preflight(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allows reports whether a page of this origin may send r.
func (p *Policy) allows(text string, r *http.Request) bool {
	if p.anyOrigin {
		return true
	}
	o, ok := parseOrigin(text)
	return ok && (o.ownOf(r) || slices.ContainsFunc(p.origins, func(allowed originPattern) bool { return allowed.matches(o) }))
}

// preflight answers the request that browsers send ahead of one with headers
// that the page has set itself.
func (p *Policy) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	headers := p.headerList
	// Clients send credentials, and then browsers take a star for the name of a
	// header. So the policy repeats the names that the browser asks for.
	asked := r.Header.Get("Access-Control-Request-Headers")
	if p.anyHeader && areHeaderNames(asked) {
		headers = asked
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", headers)
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

func areHeaderNames(list string) bool {
	for name := range strings.SplitSeq(list, ",") {
		if !isHeaderName(strings.TrimSpace(name)) {
			return false
		}
	}
	return true
}

// maxHeaderNameBytes is longer than the name of any header that a page needs.
const maxHeaderNameBytes = 255

// isHeaderName reports whether name is a token (RFC 9110, section 5.6.2).
func isHeaderName(name string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	return name != "" && len(name) <= maxHeaderNameBytes && !strings.ContainsFunc(name, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune(marks, r)
	})
}

// Loggable returns an origin in a form that is safe to log: its scheme and host.
// Anything else in the header doesn't come from a browser and could be a secret.
func Loggable(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || len(u.Host) > maxHostBytes {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// maxHostBytes is the longest host that there can be, with its port.
const maxHostBytes = 255 + len(":65535")
