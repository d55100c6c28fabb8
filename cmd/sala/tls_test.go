package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// certificate makes one for 127.0.0.1 that signs itself, and returns the files
// of the chain and the key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = writeFile(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	key = writeFile(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return cert, key
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
	if code != 1 || !strings.Contains(stderr, "give --tls") {
		t.Errorf("without --tls: exit code %d: %s", code, stderr)
	}
	code, _, stderr = n.call(t, "rooms", "--tls")
	if code != 1 || !strings.Contains(stderr, "--tls-ca names the authority") {
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
