package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// answer is a server that answers everything alike.
func answer(status int, server, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if server != "" {
			w.Header().Set("Server", server)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func start(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// startTLS starts a server whose certificate is valid for 127.0.0.1, and writes its certificate to a
// file.
func startTLS(t *testing.T, handler http.HandlerFunc) (address, ca string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://"), certificateFile(t, server.Certificate().Raw)
}

func certificateFile(t *testing.T, der []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// otherAuthority writes the certificate of an authority that has signed no other.
func otherAuthority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return certificateFile(t, der)
}

// startRaw starts a server that greets each connection and then hangs up.
func startRaw(t *testing.T, greeting string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(greeting))
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestDiagnosis(t *testing.T) {
	const broker = `{"code":0,"message":"Transport unknown"}`
	secure, ca := startTLS(t, answer(400, "", broker))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()

	for _, tt := range []struct {
		name, url, ca, want string
	}{
		{"no WebSocket", start(t, answer(400, "", broker)), "", "or connect with --transport polling"},
		{"REST port", start(t, answer(404, "sala/v1", `{"code":5,"message":"there is nothing"}`)), "", "it is the broker's REST port"},
		{"gRPC port", "http://" + startRaw(t, "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00"), "", "like the broker's gRPC port"},
		{"wrong path", start(t, answer(404, "", `{"code":4,"message":"this is a broker"}`)), "", "there is no Socket.IO at /here/"},
		{"refusal", start(t, answer(503, "", `{"code":3,"message":"full"}`)), "", "it answers 503 Service Unavailable: full"},
		{"another server", start(t, answer(302, "", "elsewhere")), "", "it answers 302 Found, not as a Socket.IO server"},
		{"TLS to a plain port", strings.Replace(start(t, answer(400, "", broker)), "http:", "https:", 1), "", "use http:// instead"},
		{"plain to a TLS port", "http://" + secure, "", "use https:// instead"},
		{"an unknown authority", "https://" + secure, "", "name the authority with --tls-ca"},
		{"another authority", "wss://" + secure, otherAuthority(t), "isn't signed by the authority of --tls-ca"},
		{"another name", "https://" + strings.Replace(secure, "127.0.0.1", "localhost", 1), ca, "isn't valid for localhost, but for example.com"},
		{"a trusted one", "https://" + secure, ca, "lets no WebSocket through"},
		{"nobody", "http://" + free.Addr().String(), "", "the connection was refused"},
		{"something else", "http://" + startRaw(t, "nonsense"), "", "the cause"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &options{URL: tt.url, Path: "/here/", TLSCA: tt.ca, Timeout: 5 * time.Second}
			err := o.explain(t.Context(), errors.New("the cause"))
			prefix := fmt.Sprintf("can't reach a broker at %s: ", tt.url)
			if !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want %q", err, tt.want)
			}
		})
	}
}

func TestDiagnosisOverPolling(t *testing.T) {
	o := &options{URL: start(t, answer(400, "", `{"code":0,"message":"Transport unknown"}`)), Path: "/", Transport: overPolling, Timeout: 5 * time.Second}
	if err := o.explain(t.Context(), errors.New("the cause")); !strings.HasSuffix(err.Error(), ": the cause") {
		t.Error(err)
	}
}

func TestSilentServer(t *testing.T) {
	o := &options{URL: "http://127.0.0.1:1", Timeout: 3 * time.Second}
	if err := o.explain(t.Context(), errors.New("timeout")); !strings.HasSuffix(err.Error(), "no answer within 3s") {
		t.Error(err)
	}
}
