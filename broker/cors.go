package broker

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// reasonOriginDenied is how the metrics count the pages that may not connect.
const reasonOriginDenied = "ORIGIN_DENIED"

// bodyTimeout is how long a client may take over the body of a request.
const bodyTimeout = 10 * time.Second

// limitBodyTime gives every request with a body a deadline for it, also those
// that are refused before it is read: net/http reads what is left of it.
func limitBodyTime(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			// Every connection of net/http's server has deadlines.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
		}
		next.ServeHTTP(w, r)
	})
}

// checkOrigin refuses browsers on pages of other origins than the allowed
// ones, and gives the allowed ones the headers that they need. A request
// without Origin is no browser's, or a page's of the same origin, and passes.
func (b *Broker) checkOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if origin == "" {
			next.ServeHTTP(w, r)
			return
		}
		if len(r.Header.Values("Origin")) > 1 {
			refuse(w, http.StatusBadRequest, "a request has one Origin")
			return
		}
		if !b.allowsOrigin(origin, r) {
			b.metrics.refused(reasonOriginDenied)
			b.log.Info("client refused", "reason", reasonOriginDenied, "origin", loggedOrigin(origin), "address", r.RemoteAddr)
			refuse(w, http.StatusForbidden, "pages of this origin may not connect; the operator can add it to --allowed-origins")
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Add("Vary", "Origin")
		if r.Method == http.MethodOptions {
			b.preflight(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// preflight answers what browsers ask before a request of a page's own making.
func (b *Broker) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	headers := "Authorization, Content-Type"
	for _, name := range b.opts.AllowedHeaders {
		if name != "*" {
			headers += ", " + name
		}
	}
	// A star would mean a header of that name, as clients send credentials.
	asked := r.Header.Get("Access-Control-Request-Headers")
	if slices.Contains(b.opts.AllowedHeaders, "*") && areHeaderNames(asked) {
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

// isHeaderName reports whether name is a token (RFC 9110, 5.6.2).
func isHeaderName(name string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	return name != "" && len(name) <= maxNameBytes && !strings.ContainsFunc(name, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune(marks, r)
	})
}

// loggedOrigin is an origin as it may stand in the log: what else the header
// holds than scheme and host is no browser's, and could be anything.
func loggedOrigin(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || len(u.Host) > maxHostBytes {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// maxHostBytes is how long the name of a host can be, with its port.
const maxHostBytes = 255 + len(":65535")

// refuse answers in the form of Engine.IO's own errors.
func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body, _ := json.Marshal(map[string]any{"code": 4, "message": message}) // a map of strings always encodes
	_, _ = w.Write(body)
}
