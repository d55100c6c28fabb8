package cors

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/salabroker/sala/broker/realip"
)

// origin is where a page comes from. Two origins that a browser considers the
// same are equal.
type origin struct {
	// scheme is "https" also for wss, and "http" also for ws, because native
	// clients send the scheme that they connect with. Others, such as
	// "capacitor", stay as they are.
	scheme string
	// host is in lower case; an IPv6 address has no brackets.
	host string
	// port is the scheme's default if none was given; empty if it has none.
	port string
}

// parseOrigin parses the header Origin, or a setting. It ignores whatever
// follows the port, which is not part of an origin.
func parseOrigin(text string) (origin, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return origin{}, false
	}
	o := origin{scheme: u.Scheme, host: canonicalHost(u.Hostname()), port: u.Port()}
	switch o.scheme {
	case "ws":
		o.scheme = "http"
	case "wss":
		o.scheme = "https"
	}
	if o.port == "" {
		o.port = defaultPort(o.scheme)
	}
	return o, true
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

func canonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String() // an IPv6 address can be written in many ways
	}
	return strings.ToLower(host)
}

// ownOf reports whether o is the server's own origin as seen by the browser that
// sent r.
//
// A page that was loaded without encryption doesn't share the origin of a server
// behind TLS, because anybody on the network could have written it. The reverse
// is safe: a proxy that terminates TLS may put its own port into Host, 80
// instead of 443, and a page of that host that came over TLS is genuine.
func (o origin) ownOf(r *http.Request) bool {
	u, err := url.Parse("//" + r.Host)
	if err != nil || u.Host != r.Host || canonicalHost(u.Hostname()) != o.host {
		return false
	}
	switch {
	case o.scheme != "http" && o.scheme != "https":
		return false
	case o.scheme == "http" && realip.Secure(r):
		return false
	case u.Port() == "":
		return o.port == defaultPort(o.scheme)
	case u.Port() == "80" && r.TLS == nil && o.scheme == "https":
		return o.port == "80" || o.port == "443"
	default:
		return u.Port() == o.port
	}
}

// originPattern is one of the allowed origins.
type originPattern struct {
	any bool
	origin
	subdomains bool // of host, at any depth, and not host itself
	anyPort    bool
}

func (p originPattern) matches(o origin) bool {
	if p.scheme != o.scheme || p.port != o.port && !p.anyPort {
		return false
	}
	if p.subdomains {
		return strings.HasSuffix(o.host, "."+p.host)
	}
	return p.host == o.host
}

const exampleOrigins = "one looks like https://example.com, http://localhost:8080, http://localhost:* or https://*.example.com"

// parseOriginPattern parses an allowed origin. Its error says why no page has
// this origin, and what was probably meant.
func parseOriginPattern(text string) (originPattern, error) {
	switch {
	case text == "*":
		return originPattern{any: true}, nil
	case text == "null":
		return originPattern{}, fmt.Errorf("%q is the origin of every sandboxed page and every local file; only * allows them, and with them all others", text)
	case !strings.Contains(text, "://"):
		return originPattern{}, fmt.Errorf("%q lacks the scheme, as in https://%s; %s", text, strings.TrimPrefix(text, "//"), exampleOrigins)
	}
	host, anyPort := strings.CutSuffix(text, ":*")
	p := originPattern{subdomains: strings.Contains(text, "://*."), anyPort: anyPort}
	u, err := url.Parse(strings.Replace(host, "://*.", "://", 1))
	switch {
	case err != nil || u.Hostname() == "":
		return p, fmt.Errorf("%q is not an origin; %s", text, exampleOrigins)
	case u.User != nil:
		return p, fmt.Errorf("%q contains a user, which an origin doesn't have; %s", text, exampleOrigins)
	case u.Path != "" || strings.ContainsAny(text, "?#"):
		return p, fmt.Errorf("%q continues after the host, which an origin doesn't; write %s", text, text[:strings.Index(text, u.Host)+len(u.Host)])
	}
	p.origin, _ = parseOrigin(u.String()) // can't fail: it has a host and no user
	return p, p.checkHost(text, u)
}

// checkHost returns an error if no browser sends this host or port.
func (p originPattern) checkHost(text string, u *url.URL) error {
	_, addrErr := netip.ParseAddr(p.host)
	port, portErr := strconv.Atoi(u.Port())
	ascii, idnaErr := idna.Lookup.ToASCII(p.host)
	switch {
	case slices.Contains([]string{"file", "data", "blob", "about", "javascript", "ftp", "mailto"}, p.scheme):
		return fmt.Errorf("%q: pages from %s: have no origin of their own; %s", text, p.scheme, exampleOrigins)
	case strings.Contains(p.host, "*"):
		return fmt.Errorf(`%q: a "*" stands only for all subdomains, at the beginning of the host, as in https://*.example.com, or for any port, as in http://localhost:*; for any origin write * alone`, text)
	case addrErr == nil && p.subdomains:
		return fmt.Errorf("%q: an address has no subdomains", text)
	case strings.HasSuffix(u.Host, ":") || p.anyPort && u.Port() != "" || u.Port() != "" && (portErr != nil || port < 1 || port > 65535 || strconv.Itoa(port) != u.Port()):
		return fmt.Errorf("%q: the port is not a number from 1 to 65535; %s", text, exampleOrigins)
	case addrErr == nil:
		return nil
	case strings.ContainsFunc(p.host, func(r rune) bool { return r > '~' }) && idnaErr == nil:
		return fmt.Errorf("%q: browsers send the host in ASCII: write %s", text, strings.Replace(strings.ToLower(text), p.host, ascii, 1))
	case !isHostName(p.host):
		return fmt.Errorf("%q: no page can have this host; %s", text, exampleOrigins)
	}
	return nil
}

// isHostName reports whether a page can have this host, which is in lower case.
// Underscores are allowed because they are common.
func isHostName(host string) bool {
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
