package realip

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var proxies = Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

// pass returns the request that the handler passes on.
func pass(peer string, header http.Header) (passed *http.Request) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr, r.Header = peer, header
	proxies.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { passed = r })).ServeHTTP(nil, r)
	return passed
}

func TestClientAddress(t *testing.T) {
	for name, test := range map[string]struct {
		peer string
		xff  []string
		want string
	}{
		"no proxy":                        {"192.0.2.1:5", nil, "192.0.2.1:5"},
		"a client that forges it":         {"192.0.2.1:5", []string{"203.0.113.9"}, "192.0.2.1:5"},
		"a proxy":                         {"10.1.1.1:5", []string{"203.0.113.9"}, "203.0.113.9"},
		"a proxy over IPv6":               {"[fd00::1]:5", []string{"2001:db8::1"}, "2001:db8::1"},
		"a proxy, IPv4 written as IPv6":   {"[::ffff:10.1.1.1]:5", []string{"203.0.113.9"}, "203.0.113.9"},
		"with a port":                     {"10.1.1.1:5", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		"IPv6 with a port":                {"10.1.1.1:5", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		"IPv6 in brackets":                {"10.1.1.1:5", []string{"[2001:db8::1]"}, "2001:db8::1"},
		"IPv6 in another form":            {"10.1.1.1:5", []string{"2001:0DB8:0::0001"}, "2001:db8::1"},
		"IPv6 with a zone":                {"10.1.1.1:5", []string{"fe80::1%eth0"}, "fe80::1"},
		"IPv4 as IPv6":                    {"10.1.1.1:5", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		"forged by the client of a proxy": {"10.1.1.1:5", []string{"127.0.0.1, 203.0.113.9"}, "203.0.113.9"},
		"in a line of its own":            {"10.1.1.1:5", []string{"127.0.0.1", "203.0.113.9"}, "203.0.113.9"},
		"several proxies":                 {"10.1.1.1:5", []string{"198.51.100.1, 203.0.113.9,10.2.2.2", " 10.3.3.3 "}, "203.0.113.9"},
		"proxies alone":                   {"10.1.1.1:5", []string{"10.2.2.2, 10.3.3.3"}, "10.2.2.2"},
		"a proxy without the header":      {"10.1.1.1:5", nil, "10.1.1.1"},
		"an empty line":                   {"10.1.1.1:5", []string{""}, "10.1.1.1:0"},
		"nonsense":                        {"10.1.1.1:5", []string{"203.0.113.9, unknown"}, "10.1.1.1:0"},
		"nonsense behind a proxy":         {"10.1.1.1:5", []string{"<script>, 10.2.2.2"}, "10.2.2.2:0"},
		"nonsense over IPv6":              {"[fd00::1]:5", []string{"_hidden"}, "[fd00::1]:0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := pass(test.peer, http.Header{"X-Forwarded-For": test.xff}).RemoteAddr; got != test.want {
				t.Errorf("the client is %s, want %s", got, test.want)
			}
			proxy, unnamed := Unnamed(test.want)
			if unnamed != strings.HasSuffix(test.want, ":0") || unnamed && (!proxies.trust(proxy) || proxy != Address(test.want)) {
				t.Errorf("%s is unnamed: %t, behind %s", test.want, unnamed, proxy)
			}
		})
	}
}

func TestUntrustedHeadersAreRemoved(t *testing.T) {
	header := http.Header{"X-Forwarded-For": {"1.2.3.4"}, "X-Forwarded-Proto": {"https"}, "Origin": {"x"}}
	got := pass("192.0.2.1:5", header).Header
	if len(got) != 1 || got.Get("Origin") != "x" {
		t.Errorf("the headers are %v", got)
	}
	if len(header) != 3 {
		t.Errorf("the request itself was changed to %v", header)
	}
}

func TestSecure(t *testing.T) {
	for name, test := range map[string]struct {
		peer   string
		header http.Header
		tls    bool
		want   bool
	}{
		"plain":                  {"192.0.2.1:5", nil, false, false},
		"TLS":                    {"192.0.2.1:5", nil, true, true},
		"a proxy with TLS":       {"10.1.1.1:5", http.Header{"X-Forwarded-Proto": {"https"}}, false, true},
		"in capitals":            {"10.1.1.1:5", http.Header{"X-Forwarded-Proto": {"HTTPS"}}, false, true},
		"a proxy without":        {"10.1.1.1:5", http.Header{"X-Forwarded-Proto": {"http"}}, false, false},
		"the last proxy has it":  {"10.1.1.1:5", http.Header{"X-Forwarded-Proto": {"https", "http"}}, false, false},
		"a client forges it":     {"192.0.2.1:5", http.Header{"X-Forwarded-Proto": {"https"}}, false, false},
		"a proxy behind our TLS": {"10.1.1.1:5", http.Header{"X-Forwarded-Proto": {"http"}}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := pass(test.peer, test.header)
			if test.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if got := Secure(r); got != test.want {
				t.Errorf("secure is %v, want %v", got, test.want)
			}
		})
	}
}

// The client is always a valid address: the peer's or one from the header, and a proxy's only if no
// other is trusted.
func FuzzClient(f *testing.F) {
	for _, seed := range []string{"", "203.0.113.9", "127.0.0.1, 203.0.113.9,10.2.2.2", "[2001:db8::1]:1, fd00::1%eth0", ",,,", "10.0.0.1, x"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		peer := netip.MustParseAddr("10.1.1.1")
		addr, named := proxies.client(peer, []string{first, second})
		if !addr.IsValid() || !named && !proxies.trust(addr) {
			t.Fatalf("the client is %s, named: %t", addr, named)
		}
		found := addr == peer
		for hop := range strings.SplitSeq(first+","+second, ",") {
			found = found || Address(strings.TrimSpace(hop)) == addr
		}
		if !found {
			t.Errorf("%s is not in the header", addr)
		}
		last := second[strings.LastIndexByte(second, ',')+1:]
		if hop := Address(strings.TrimSpace(last)); hop.IsValid() && !proxies.trust(hop) && addr != hop {
			t.Errorf("the client is %s, but the proxy said %s", addr, hop)
		}
	})
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "2001:db8::1": "2001:db8::/64", "2001:db8:0:0:ffff::1": "2001:db8::/64", "2001:db8:0:1::": "2001:db8:0:1::/64",
	} {
		if got := Network(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("the network of %s is %s, want %s", addr, got, want)
		}
	}
}

// A proxy counts as one also if it isn't trusted, whose headers are removed.
func TestForwarded(t *testing.T) {
	for name, tt := range map[string]struct {
		peer   string
		header http.Header
		want   bool
	}{
		"a client":                  {"192.0.2.1:5", nil, false},
		"a trusted proxy":           {"10.1.1.1:5", http.Header{"X-Forwarded-For": {"192.0.2.1"}}, true},
		"another proxy":             {"192.0.2.1:5", http.Header{"X-Forwarded-For": {"192.0.2.2"}}, true},
		"another, as in RFC 7239":   {"192.0.2.1:5", http.Header{"Forwarded": {"for=192.0.2.2"}}, true},
		"only the client's scheme":  {"192.0.2.1:5", http.Header{"X-Forwarded-Proto": {"https"}}, false},
		"a proxy that says nothing": {"10.1.1.1:5", nil, false},
	} {
		if got := Forwarded(pass(tt.peer, tt.header)); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}
