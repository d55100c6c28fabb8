package broker_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

func TestOrigins(t *testing.T) {
	open := brokertest.Start(t, broker.Options{AllowedOrigins: []string{"*"}})
	node := brokertest.Start(t, broker.Options{AllowedOrigins: []string{"https://app.example.com"}})
	tests := map[string]struct {
		node   *brokertest.Node
		origin string
		ok     bool
	}{
		"no browser":                      {node, "", true},
		"the broker's own":                {node, node.URL, true},
		"allowed":                         {node, "https://app.example.com", true},
		"allowed in capitals":             {node, "https://APP.example.com", true},
		"another":                         {node, "https://evil.example", false},
		"another scheme":                  {node, "http://app.example.com", false},
		"another port":                    {node, "https://app.example.com:8443", false},
		"an allowed one as a prefix":      {node, "https://app.example.com.evil.example", false},
		"a sandboxed page":                {node, "null", false},
		"any where all are allowed":       {open, "https://evil.example", true},
		"sandboxed where all are allowed": {open, "null", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if test.origin != "" {
				header.Set("Origin", test.origin)
			}
			_, err := test.node.TryDial(header)
			if ok := err == nil; ok != test.ok {
				t.Errorf("websocket: %v, want ok = %v", err, test.ok)
			}
			if err != nil && !strings.Contains(err.Error(), "403") {
				t.Errorf("websocket: refused with %v, want 403", err)
			}
			testOriginOfPoll(t, test.node, header, test.ok)
		})
	}
}

func testOriginOfPoll(t *testing.T, node *brokertest.Node, header http.Header, ok bool) {
	t.Helper()
	for _, method := range []string{http.MethodGet, http.MethodOptions} {
		if header.Get("Origin") == "" && method == http.MethodOptions {
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), method, node.URL+"/socket.io/?EIO=4&transport=polling", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := resp.StatusCode < 300; got != ok {
			t.Errorf("%s: %s %s, want ok = %v", method, resp.Status, body, ok)
		}
		want := header.Get("Origin")
		if !ok {
			want = ""
		}
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s: Access-Control-Allow-Origin is %q, want %q", method, got, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestOtherPathsSayWhatThisIs(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	resp, err := http.Get(node.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "/socket.io/") {
		t.Errorf("%s %s", resp.Status, body)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestOriginsOfASession has a page of another origin that knows a session's id
// try each request that belongs to it.
func TestOriginsOfASession(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	sid := pollSession(t, node)
	for _, origin := range []string{"https://evil.example", "null"} {
		header := http.Header{"Origin": {origin}}
		session := "/socket.io/?EIO=4&sid=" + sid + "&transport="
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions, http.MethodPut} {
			req, err := http.NewRequestWithContext(t.Context(), method, node.URL+session+"polling", strings.NewReader("40"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header, req.Close = header, true
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s from %s: %s, want 403", method, origin, resp.Status)
			}
		}
		for what, path := range map[string]string{"an upgrade": session + "websocket", "a WebSocket": "/socket.io/?EIO=4&transport=websocket"} {
			if _, err := node.DialPath(path, header); err == nil || !strings.Contains(err.Error(), "403") {
				t.Errorf("%s from %s: %v, want 403", what, origin, err)
			}
		}
	}
}

// A page that came over plain HTTP isn't of the same origin as a broker that its
// clients reach over TLS.
func TestOriginsOfUnencryptedPages(t *testing.T) {
	plain := brokertest.Start(t, broker.Options{})
	proxied := brokertest.Start(t, broker.Options{TrustedProxies: loopback})
	for name, test := range map[string]struct {
		node          *brokertest.Node
		scheme, proto string
		ok            bool
	}{
		"plain all the way":         {proxied, "http", "http", true},
		"TLS all the way":           {proxied, "https", "https", true},
		"a plain page":              {proxied, "http", "https", false},
		"TLS in front of the proxy": {proxied, "https", "http", true},
		"nobody says":               {proxied, "http", "", true},
		"a stranger says":           {plain, "http", "https", true},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"Origin": {test.scheme + strings.TrimPrefix(test.node.URL, "http")}}
			if test.proto != "" {
				header.Set("X-Forwarded-Proto", test.proto)
			}
			if _, err := test.node.TryDial(header); (err == nil) != test.ok {
				t.Errorf("dial: %v, want ok = %v", err, test.ok)
			}
		})
	}
}
