package broker_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/token"
)

// request returns the status and the headers of a request.
func request(t *testing.T, method, url string, header http.Header) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	req.Close = true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header
}

func TestPath(t *testing.T) {
	for _, test := range []struct {
		path, from string
		yes, no    []string
	}{
		{"", "default", []string{"/socket.io/", "/socket.io"}, []string{"/", "/ws/", "/socket.iox", "/x/socket.io/"}},
		{"/ws", "without the slash", []string{"/ws", "/ws/"}, []string{"/socket.io/", "/wsx", "/"}},
		{"/api/v1/ws/", "deeper", []string{"/api/v1/ws", "/api/v1/ws/"}, []string{"/api/v1/", "/ws/"}},
		{"/", "the root", []string{"/", "/socket.io/"}, nil},
	} {
		node := brokertest.Start(t, broker.Options{Path: test.path})
		for i, paths := range [][]string{test.yes, test.no} {
			for _, path := range paths {
				want := []int{http.StatusBadRequest, http.StatusNotFound}[i] // an old protocol, so that no session is left behind
				if got, _ := request(t, http.MethodGet, node.URL+path+"?EIO=3&transport=polling", nil); got != want {
					t.Errorf("%s: %s is %d, want %d", test.from, path, got, want)
				}
				_, err := node.DialPath(path+"?EIO=4&transport=websocket", nil)
				if (err == nil) != (i == 0) {
					t.Errorf("%s: a WebSocket to %s: %v", test.from, path, err)
				}
			}
		}
	}
	for _, path := range []string{"ws", "//", "/ws//", "/a//b", "/a/../b", "/./", "/a b", "/ä", "/a%2f", "/livez", "/readyz/", "/{x}", "/a?b", "/" + strings.Repeat("x", 300)} {
		o := broker.Options{Path: path, Tokens: brokertest.Keyring(t, token.Options{})}
		_, err := broker.New(o)
		wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
	}
}

func TestAllowedHeaders(t *testing.T) {
	const always = "Authorization, Content-Type"
	for _, test := range []struct {
		allowed     []string
		asked, want string
	}{
		{nil, "x-tenant-id", always},
		{[]string{"X-Tenant-Id", "traceparent"}, "x-tenant-id", always + ", X-Tenant-Id, traceparent"},
		{[]string{"*"}, "x-tenant-id, traceparent", "x-tenant-id, traceparent"},
		{[]string{"*"}, "x-tenant-id,traceparent", "x-tenant-id,traceparent"},
		{[]string{"*"}, "", always},
		{[]string{"*"}, "a b", always},
		{[]string{"*", "x"}, "a,,b", always + ", x"},
	} {
		node := brokertest.Start(t, broker.Options{AllowedOrigins: []string{"https://*.example.com"}, AllowedHeaders: test.allowed})
		preflight := http.Header{"Origin": {"https://a.example.com"}, "Access-Control-Request-Method": {"GET"}}
		if test.asked != "" {
			preflight.Set("Access-Control-Request-Headers", test.asked)
		}
		status, header := request(t, http.MethodOptions, node.URL+"/socket.io/?EIO=4&transport=polling", preflight)
		if got := header.Get("Access-Control-Allow-Headers"); status != http.StatusNoContent || got != test.want {
			t.Errorf("%q, asked for %q: %d, %q, want %q", test.allowed, test.asked, status, got, test.want)
		}
		preflight.Set("Origin", "https://evil.example")
		if status, header := request(t, http.MethodOptions, node.URL+"/socket.io/", preflight); status != http.StatusForbidden || header.Get("Access-Control-Allow-Headers") != "" {
			t.Errorf("a stranger's page: %d, %v", status, header)
		}
	}
	for _, name := range []string{"", "a b", "a:b", "ä", "a\n", strings.Repeat("x", 300)} {
		_, err := broker.New(broker.Options{AllowedHeaders: []string{name}, Tokens: brokertest.Keyring(t, token.Options{})})
		wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
	}
}

func TestTokenBytes(t *testing.T) {
	large := broker.Permissions{}
	for range 250 {
		large.Join = append(large.Join, strings.Repeat("r", 30))
	}
	issue := broker.TokenRequest{User: "ana", Permissions: large} // some 11 KB
	_, err := brokertest.Start(t, broker.Options{}).IssueToken(t.Context(), issue)
	wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
	node := brokertest.Start(t, broker.Options{Tokens: brokertest.Keyring(t, token.Options{MaxBytes: 16 << 10}), MaxMessageBytes: 1024})
	issued, err := node.IssueToken(t.Context(), issue)
	if err != nil {
		t.Fatal(err)
	}
	node.JoinAs(issued.Token)
	if _, err := node.VerifyToken(t.Context(), issued.Token); err != nil {
		t.Error(err)
	}
	for _, n := range []int{17 << 10, 30 << 10} { // above that of a token, and above that of auth
		answer := node.Dial(nil).Connect("/", map[string]string{"token": strings.Repeat("x", n)})
		if !strings.Contains(answer, token.ReasonTooLarge) || !strings.Contains(answer, "16384") {
			t.Errorf("%d bytes: %s", n, answer)
		}
	}
}
