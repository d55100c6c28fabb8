package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/salabroker/sala/cmd/sala/internal/config"
)

func TestHealth(t *testing.T) {
	cert, key := certificate(t)
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"plain", nil},
		{"over TLS", []string{"--control-tls-cert", cert, "--control-tls-key", key}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := plain(t, tt.args...)
			ask := append([]string{"health", "--http-listen", n.http}, tt.args...)
			if code, out, stderr := sala(t, ask...); code != exitOK || out != "ok\n" {
				t.Errorf("exit code %d, %q: %s", code, out, stderr)
			}
			if code, out, stderr := sala(t, append(ask, "--local")...); code != exitOK || out != "ok\n" {
				t.Errorf("with --local: exit code %d, %q: %s", code, out, stderr)
			}
		})
	}
}

// An address is enough, whatever the node's listener is like.
func TestHealthNeedsOnlyAnAddress(t *testing.T) {
	cert, key := certificate(t)
	for name, args := range map[string][]string{"plain": nil, "over TLS": {"--control-tls-cert", cert, "--control-tls-key", key}} {
		t.Run(name, func(t *testing.T) {
			n := plain(t, args...)
			for _, ask := range [][]string{{n.http}, {n.http, "--local"}, {"--http-listen", n.http}} {
				if code, out, stderr := sala(t, append([]string{"health"}, ask...)...); code != exitOK || out != "ok\n" {
					t.Errorf("%q: exit code %d, %q: %s", ask, code, out, stderr)
				}
			}
		})
	}
	for _, address := range []string{"nowhere", "http://127.0.0.1:9091", "127.0.0.1:"} {
		if code, _, stderr := sala(t, "health", address); code != exitUsage {
			t.Errorf("%s: exit code %d, %s", address, code, stderr)
		}
	}
}

func TestHealthSaysNo(t *testing.T) {
	n := plain(t)
	ask := []string{"health", "--http-listen"}
	_, out, _ := n.call(t, "nodes", "-o", "json")
	var list struct{ Nodes []struct{ ID string } }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := n.call(t, "nodes", "drain", list.Nodes[0].ID); code != exitOK {
		t.Fatal(stderr)
	}
	code, out, stderr := sala(t, append(ask, n.http)...)
	if code != exitFailure || out != "" {
		t.Errorf("while it drains: exit code %d, %q", code, out)
	}
	check(t, "standard error", stderr, []string{"sala: error: the node isn't ready: draining"})

	n.stop()
	code, _, stderr = sala(t, append(ask, n.http)...)
	if code != exitFailure {
		t.Errorf("when it has gone: exit code %d", code)
	}
	check(t, "standard error", stderr, []string{"sala: error: no node answers at http://" + n.http + "/readyz: "})

	if code, _, _ := sala(t, "health", "--http-listen", "nowhere"); code != exitUsage {
		t.Errorf("with a wrong address: exit code %d", code)
	}
}

func TestReadyURL(t *testing.T) {
	for addr, want := range map[string]string{
		":9091":          "http://127.0.0.1:9091/readyz?local=1",
		"0.0.0.0:9091":   "http://127.0.0.1:9091/readyz?local=1",
		"[::]:9091":      "http://[::1]:9091/readyz?local=1",
		"10.1.2.3:80":    "http://10.1.2.3:80/readyz?local=1",
		"localhost:9091": "http://localhost:9091/readyz?local=1",
	} {
		if got := readyURL(config.Listener{Addr: addr}, true); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

// TestHealthOverGRPC asks as a load balancer does: a node that was drained by a
// call isn't to get new clients.
func TestHealthOverGRPC(t *testing.T) {
	n := plain(t)
	conn, err := grpc.NewClient(n.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	watch, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("%v, %v", got, err)
	}
	_, out, _ := n.call(t, "nodes", "-o", "json")
	var list struct{ Nodes []struct{ ID string } }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := n.call(t, "nodes", "drain", list.Nodes[0].ID); code != exitOK {
		t.Fatal(stderr)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("after the drain: %v, %v", got, err)
	}
	if code, _, stderr := n.call(t, "nodes"); code != exitOK {
		t.Errorf("the control API is not served any more: %s", stderr)
	}
}

// TestDrainReleasesConnections keeps an HTTP connection, as a client does that
// polls: behind a load balancer of TCP connections it would come back to this
// node over it.
func TestDrainReleasesConnections(t *testing.T) {
	n := plain(t)
	conn, err := net.Dial("tcp", n.public)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	ask := func() *http.Response {
		t.Helper()
		if _, err := io.WriteString(conn, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		return response
	}
	for range 2 {
		if response := ask(); response.Close || response.StatusCode != http.StatusOK {
			t.Fatalf("before the drain: %s, close = %t", response.Status, response.Close)
		}
	}
	_, out, _ := n.call(t, "nodes", "-o", "json")
	var list struct{ Nodes []struct{ ID string } }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := n.call(t, "nodes", "drain", list.Nodes[0].ID); code != exitOK {
		t.Fatal(stderr)
	}
	if _, err := reader.ReadByte(); err != io.EOF {
		t.Errorf("after the drain: %v, want the end of the connection", err)
	}
}
