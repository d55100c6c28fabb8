package cors

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
)

func TestOwnOrigins(t *testing.T) {
	for _, test := range []struct {
		origin, host, how string // how is "tls", "https" or "http" by a trusted proxy, or nothing
		own               bool
	}{
		{"http://example.com", "example.com", "", true},
		{"https://example.com", "example.com", "", true}, // behind a proxy that isn't known
		{"https://example.com", "example.com", "tls", true},
		{"https://example.com", "example.com", "https", true},
		{"https://example.com", "example.com", "http", true},
		{"http://example.com", "example.com", "tls", false},
		{"http://example.com", "example.com", "https", false},
		// Schemes of native clients.
		{"wss://example.com", "example.com:443", "", true},
		{"wss://example.com", "example.com", "tls", true},
		{"ws://example.com", "example.com:80", "", true},
		{"ws://example.com", "example.com", "tls", false},
		{"ws://example.com:3000", "example.com:3000", "", true},
		{"ftp://example.com", "example.com", "", false},
		{"capacitor://localhost", "localhost", "", false},
		// Default ports, in either.
		{"https://example.com", "example.com:443", "", true},
		{"https://example.com:443", "example.com", "", true},
		{"https://example.com:443", "example.com:443", "tls", true},
		{"http://example.com:80", "example.com", "", true},
		{"http://example.com", "example.com:80", "", true},
		{"http://example.com", "example.com:", "", true},
		{"https://example.com", "example.com:80", "", true}, // a proxy that ends TLS, and says its own port
		{"https://example.com", "example.com:80", "https", true},
		{"https://example.com", "example.com:80", "tls", false},
		{"http://example.com", "example.com:443", "", false},
		{"http://example.com:443", "example.com", "", false},
		{"https://example.com:80", "example.com", "", false},
		{"https://example.com:8443", "example.com:80", "", false},
		{"https://example.com", "example.com:8443", "", false},
		{"https://example.com:8443", "example.com", "", false},
		{"http://example.com:3000", "example.com:3001", "", false},
		// Hosts.
		{"http://EXAMPLE.com", "example.COM", "", true},
		{"HTTP://example.com", "example.com", "", true},
		{"http://example.com", "www.example.com", "", false},
		{"http://example.com.evil.example", "example.com", "", false},
		{"http://evil.example@example.com", "example.com", "", false},
		{"http://example.com@evil.example", "example.com", "", false},
		{"http://example.com", "example.com@evil.example", "", false},
		{"http://example.com", "example.com/x", "", false},
		{"http://[::1]:3000", "[::1]:3000", "", true},
		{"http://[::1]:3000", "[0:0:0:0:0:0:0:1]:3000", "", true},
		{"http://[2001:DB8::1]", "[2001:db8::1]:80", "", true},
		{"wss://[2001:db8::1]", "[2001:db8:0::1]:443", "", true},
		{"http://[::1]:3000", "[::2]:3000", "", false},
		{"http://127.0.0.1:3000", "127.0.0.1:3000", "", true},
		{"http://127.0.0.1", "localhost", "", false},
		{"null", "example.com", "", false}, {"", "", "", false}, {"http://", "", "", false}, {"http://example.com:x", "example.com", "", false},
	} {
		r := &http.Request{Host: test.host, Header: http.Header{}}
		switch test.how {
		case "tls":
			r.TLS = &tls.ConnectionState{}
		case "":
		default:
			r.Header.Set("X-Forwarded-Proto", test.how)
		}
		o, ok := parseOrigin(test.origin)
		if got := ok && o.ownOf(r); got != test.own {
			t.Errorf("%s at %s %s: %t, want %t", test.origin, test.host, test.how, got, test.own)
		}
	}
}

func TestOriginPatterns(t *testing.T) {
	for pattern, test := range map[string]struct{ yes, no []string }{
		"https://example.com": {
			[]string{"https://example.com", "https://EXAMPLE.com:443", "wss://example.com"},
			[]string{"http://example.com", "https://www.example.com", "https://example.com:8443", "https://example.com.", "null", "", "https://example.comx"},
		},
		"https://*.example.com": {
			[]string{"https://a.example.com", "https://a.b.example.com", "https://A.Example.com:443", "wss://a.example.com"},
			[]string{"https://example.com", "https://.example.com.evil.example", "http://a.example.com", "https://a.example.com:8443", "https://aexample.com", "https://a.example.com.evil.example", "https://evil.example/.example.com", "https://evil.example#.example.com", "https://evil.example?.example.com", "https://u@a.example.com"},
		},
		"http://*.localhost:8080":             {[]string{"http://a.localhost:8080"}, []string{"http://localhost:8080", "http://a.localhost"}},
		"http://localhost:*":                  {[]string{"http://localhost", "http://localhost:8080", "ws://LOCALHOST:1"}, []string{"https://localhost:8080", "http://a.localhost:80", "http://localhost.evil.example:80"}},
		"http://[::1]:*":                      {[]string{"http://[::1]:8080"}, []string{"http://[::2]:8080"}},
		"https://*.example.com:*":             {[]string{"https://a.example.com:8443"}, []string{"https://example.com:8443"}},
		"HTTPS://Example.com:443":             {[]string{"https://example.com"}, nil},
		"http://[::1]:8080":                   {[]string{"http://[0:0::1]:8080"}, []string{"http://[::1]"}},
		"capacitor://localhost":               {[]string{"capacitor://localhost"}, []string{"http://localhost", "https://localhost", "ionic://localhost"}},
		"chrome-extension://abcdefghijklmnop": {[]string{"chrome-extension://abcdefghijklmnop"}, []string{"moz-extension://abcdefghijklmnop"}},
		"http://my_host":                      {[]string{"http://my_host"}, nil},
	} {
		p, err := parseOriginPattern(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		for i, origins := range [][]string{test.yes, test.no} {
			for _, text := range origins {
				o, ok := parseOrigin(text)
				if got := ok && p.matches(o); got != (i == 0) {
					t.Errorf("%s matches %q: %t", pattern, text, got)
				}
			}
		}
	}
}

// TestOriginsThatNoPageHas are refused with what is likely meant.
func TestOriginsThatNoPageHas(t *testing.T) {
	for pattern, says := range map[string]string{
		"":                                            "scheme",
		"null":                                        "sandboxed",
		"example.com":                                 "https://example.com",
		"*.example.com":                               "https://*.example.com",
		"//example.com":                               "https://example.com",
		"https://":                                    "not an origin",
		"https://example.com/":                        "write https://example.com",
		"https://*.example.com/":                      "write https://*.example.com",
		"https://example.com:8443/chat":               "write https://example.com:8443",
		"https://example.com?x":                       "write https://example.com",
		"https://example.com#x":                       "write https://example.com",
		"https://u:p@example.com":                     "user",
		"https://*":                                   "subdomains",
		"https://*:443":                               "subdomains",
		"https://*example.com":                        "subdomains",
		"https://a.*.example.com":                     "subdomains",
		"https://*.*.example.com":                     "subdomains",
		"https://www*.example.com":                    "subdomains",
		"https://*.127.0.0.1":                         "no subdomains",
		"https://*.[::1]":                             "no subdomains",
		"https://example.com:":                        "port",
		"https://example.com:0":                       "port",
		"https://example.com:065":                     "port",
		"https://example.com:70000":                   "port",
		"https://example.com:80:*":                    "port",
		"https://example.com:8*":                      "not an origin",
		"https://*:*":                                 "subdomains",
		"https://:*":                                  "not an origin",
		"https://bücher.example":                      "https://xn--bcher-kva.example",
		"https://*.bücher.example:8443":               "https://*.xn--bcher-kva.example:8443",
		"file:///index.html":                          "not an origin",
		"file://host":                                 "no origin of their own",
		"https://exa mple.com":                        "not an origin",
		"https://example..com":                        "no page",
		"https://" + strings.Repeat("a", 64) + ".com": "no page",
	} {
		_, err := parseOriginPattern(pattern)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", pattern, err, says)
		}
	}
}

// FuzzOriginPattern: what is accepted matches some origin, and is compared
// without surprises.
func FuzzOriginPattern(f *testing.F) {
	for _, seed := range []string{"https://*.example.com", "http://[::1]:8080", "https://Example.com:443", "*", "wss://a.b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseOriginPattern(text)
		if err != nil || p.any {
			return
		}
		host := p.host
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if p.subdomains {
			host = "a." + host
		}
		page := p.scheme + "://" + host
		if p.port != "" {
			page += ":" + p.port
		}
		if o, ok := parseOrigin(page); !ok || !p.matches(o) {
			t.Errorf("%q doesn't match %q", text, page)
		}
	})
}
