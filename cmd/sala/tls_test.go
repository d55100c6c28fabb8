package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/cmd/sala/internal/certs/certstest"
)

// certificate makes one for 127.0.0.1 that signs itself, and returns the files
// of the chain and the key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	ca := certstest.NewCA(t, "self")
	return pairFiles(t, ca.Pair)
}

func pairFiles(t *testing.T, p certstest.Pair) (cert, key string) {
	t.Helper()
	return writeFile(t, "cert.pem", string(p.Cert)), writeFile(t, "key.pem", string(p.Key))
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	n := plain(t, "--tls-cert", cert, "--tls-key", key, "--control-tls-cert", cert, "--control-tls-key", key, "--grpc-listen", "0.0.0.0:0", "--drain-timeout=100ms")
	_, port, _ := net.SplitHostPort(n.grpc)
	n.grpc = "127.0.0.1:" + port

	if code, out, stderr := n.call(t, "token", "ana", "--tls-ca", cert); code != 0 || strings.Count(out, ".") != 2 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	code, _, stderr := n.call(t, "rooms")
	if code != 1 || !strings.Contains(stderr, "set --tls") {
		t.Errorf("without --tls: exit code %d: %s", code, stderr)
	}
	code, _, stderr = n.call(t, "rooms", "--tls")
	if code != 1 || !strings.Contains(stderr, "set --tls-ca to the authority") {
		t.Errorf("with an authority nobody knows: exit code %d: %s", code, stderr)
	}

	pool := x509.NewCertPool()
	body, err := os.ReadFile(cert)
	if err != nil || !pool.AppendCertsFromPEM(body) {
		t.Fatal("no certificate", err)
	}
	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	for _, url := range []string{"https://" + n.public + "/socket.io/?EIO=4&transport=polling", "https://" + n.http + "/readyz"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", url, res.Status)
		}
	}
}

// TestDevBlockWithTLS pastes into a broker with a certificate that is made for
// development.
func TestDevBlockWithTLS(t *testing.T) {
	cert, key := certificate(t)
	n := serve(t, "--dev", "--control-tls-cert", cert, "--control-tls-key", key)
	n.out.line(t, "export SALA_SERVER=")
	for _, line := range strings.Split(n.out.String(), "\n") {
		line = strings.TrimSpace(line)
		if program, _, _ := strings.Cut(line, " "); program == "curl" || program == "grpcurl" {
			paste(t, program, line)
		}
	}
}

// TestClientCertificates calls a control API that wants to see certificates.
func TestClientCertificates(t *testing.T) {
	ca, clients := certstest.NewCA(t, "servers"), certstest.NewCA(t, "clients")
	cert, key := pairFiles(t, ca.Issue(t, "sala", time.Now().Add(time.Hour)))
	clientCert, clientKey := pairFiles(t, clients.Issue(t, "backend", time.Now().Add(time.Hour)))
	strangerCert, strangerKey := pairFiles(t, ca.Issue(t, "stranger", time.Now().Add(time.Hour)))
	caFile, clientCA := writeFile(t, "ca.pem", string(ca.Cert)), writeFile(t, "clients.pem", string(clients.Cert))
	control := []string{"--control-tls-cert", cert, "--control-tls-key", key, "--control-client-ca", clientCA}
	n := plain(t, control...)

	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a client with a certificate", []string{"--tls-ca", caFile, "--tls-cert", clientCert, "--tls-key", clientKey}, exitOK, ""},
		{"without", []string{"--tls-ca", caFile}, exitFailure, "set --tls-cert and --tls-key"},
		{"with one of somebody else's", []string{"--tls-ca", caFile, "--tls-cert", strangerCert, "--tls-key", strangerKey}, exitFailure, "--control-client-ca"},
		{"with a certificate without a key", []string{"--tls-ca", caFile, "--tls-cert", clientCert}, exitUsage, "can't use --tls-cert and --tls-key"},
	} {
		if code, _, stderr := n.call(t, append([]string{"rooms"}, tt.args...)...); code != tt.code || !strings.Contains(stderr, tt.says) {
			t.Errorf("%s: exit code %d: %s", tt.name, code, stderr)
		}
	}
	if code, _, stderr := sala(t, "rooms", "--server", n.grpc, "--tls-ca", caFile, "--tls-cert", clientCert, "--tls-key", clientKey); code != exitFailure || !strings.Contains(stderr, "API key") {
		t.Errorf("a certificate without an API key: exit code %d: %s", code, stderr)
	}
	ask := append([]string{"health", "--http-listen", n.http}, control...)
	if code, out, stderr := sala(t, ask...); code != exitOK || out != "ok\n" {
		t.Errorf("health: exit code %d, %q: %s", code, out, stderr)
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.Cert)
	pair, err := tls.LoadX509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]int{
		"/livez": {200, 200}, "/readyz?local=1": {200, 200},
		"/v1/rooms": {401, 200}, "/metrics": {401, 200}, "/openapi.json": {401, 200}, "/livez/": {401, 404}, "//livez": {401, 200},
	} {
		for i, certs := range [][]tls.Certificate{nil, {pair}} {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certs}, DisableKeepAlives: true}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+n.http+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+testKey)
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != want[i] {
				t.Errorf("%s with %d certificates: %s, want %d", path, len(certs), res.Status, want[i])
			}
		}
	}
}

func getOver(t *testing.T, pool *x509.CertPool, url string) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}
