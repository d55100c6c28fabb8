package broker_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// from is a header with which a proxy forwards the address of a client.
func from(address string) http.Header { return http.Header{"X-Forwarded-For": {address}} }

func expectDial(t *testing.T, node *brokertest.Node, address, status string) {
	t.Helper()
	_, err := node.TryDial(from(address))
	if got := fmt.Sprint(err); status == "" && err != nil || !strings.Contains(got, status) {
		t.Errorf("%s: %v, want %q", address, err, status)
	}
}

func TestConnectionsPerIP(t *testing.T) {
	registry := prometheus.NewRegistry()
	node := brokertest.Start(t, broker.Options{TrustedProxies: loopback, Metrics: registry, Limits: broker.Limits{ConnectionsPerIP: 2}})
	first, err := node.TryDial(from("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, body := poll(t, node, "192.0.2.1"); status != http.StatusOK {
		t.Errorf("the second, over long-polling: %d %s", status, body)
	}
	expectDial(t, node, "192.0.2.1", "429")
	status, header, body := poll(t, node, "192.0.2.1")
	if status != http.StatusTooManyRequests || header.Get("Retry-After") != "5" || !strings.HasPrefix(body, `{"code":4,"message":"too many connections`) {
		t.Errorf("one over the limit: %d %v %s", status, header, body)
	}
	expectDial(t, node, "192.0.2.2", "")
	expectDial(t, node, "2001:db8::1", "")
	expectDial(t, node, "2001:db8::2", "")
	expectDial(t, node, "2001:db8::3", "429")
	for range 3 { // nobody is behind the proxy, who is exempt
		if _, err := node.TryDial(nil); err != nil {
			t.Error(err)
		}
	}
	got := gather(t, registry)
	if over, refused := got[`sala_limits_exceeded_total{limit="connections_per_ip"}`], got[`sala_connects_refused_total{reason="TOO_MANY_CONNECTIONS"}`]; over != 3 || refused != 3 {
		t.Errorf("%v were over the limit and %v refused, want 3", over, refused)
	}
	first.Close()
	eventually(t, "a place is free", func() bool {
		_, err := node.TryDial(from("192.0.2.1"))
		return err == nil
	})
}

// If a proxy forwards something that is not an address, the connection counts against
// the proxy itself, although the proxy is exempt otherwise.
func TestClientsThatAProxyDoesNotName(t *testing.T) {
	node := brokertest.Start(t, broker.Options{TrustedProxies: loopback, Limits: broker.Limits{ConnectionsPerIP: 2, Exempt: loopback}})
	first, err := node.TryDial(from("unknown"))
	if err != nil {
		t.Fatal(err)
	}
	expectDial(t, node, "<script>", "")
	for _, hop := range []string{"", "unix:", "192.0.2.1, _hidden", "192.0.2.300", "nobody, 127.0.0.1", "unknown"} {
		expectDial(t, node, hop, "429")
	}
	expectDial(t, node, "192.0.2.1", "")
	if _, err := node.TryDial(nil); err != nil { // the proxy itself
		t.Error(err)
	}
	first.Close()
	eventually(t, "a place is free", func() bool {
		_, err := node.TryDial(from("unknown"))
		return err == nil
	})
}

func TestUntrustedForwardedAddressesAreIgnored(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Limits: broker.Limits{ConnectionsPerIP: 2}})
	expectDial(t, node, "192.0.2.1", "")
	expectDial(t, node, "192.0.2.2", "")
	expectDial(t, node, "192.0.2.3", "429")
}

func TestAddressOfASocket(t *testing.T) {
	node := brokertest.Start(t, broker.Options{TrustedProxies: loopback})
	c := node.Dial(from("127.0.0.9, 192.0.2.7"))
	c.Connect("/", map[string]string{"token": node.Token("ana", brokertest.Everything)})
	if info, err := node.GetSocket(t.Context(), c.ID); err != nil || info.Address != "192.0.2.7" {
		t.Errorf("%q, %v; want 192.0.2.7", info.Address, err)
	}
}

func TestHandshakesPerIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		node := brokertest.StartInMemory(t, broker.Options{TrustedProxies: loopback, Metrics: registry, Limits: broker.Limits{HandshakesPerIP: 1}})
		for range 10 {
			expectDial(t, node, "192.0.2.1", "")
		}
		expectDial(t, node, "192.0.2.1", "429")
		expectDial(t, node, "192.0.2.2", "")
		<-time.After(time.Second)
		expectDial(t, node, "192.0.2.1", "")
		expectDial(t, node, "192.0.2.1", "429")
		got := gather(t, registry)
		if over, refused := got[`sala_limits_exceeded_total{limit="handshakes_per_ip"}`], got[`sala_connects_refused_total{reason="RATE_LIMITED"}`]; over != 2 || refused != 2 {
			t.Errorf("%v were over the limit and %v refused, want 2", over, refused)
		}
	})
}

// A handshake that fails after it was admitted takes no place.
func TestFailedHandshakesTakeNoPlace(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Limits: broker.Limits{ConnectionsPerIP: 1}})
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, node.URL+"/socket.io/?EIO=4&transport=websocket", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Key": {"bad"}}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("a handshake without a key: %s", resp.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	node.Join("ana")
}

// poll asks for a connection over long-polling, as a proxy does for a client.
func poll(t *testing.T, node *brokertest.Node, address string) (status int, header http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, node.URL+"/socket.io/?EIO=4&transport=polling", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header, req.Close = from(address), true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header, string(text)
}
