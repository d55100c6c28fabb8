//go:build unix

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/salabroker/sala/cmd/sala/internal/certs/certstest"
)

// process runs a sala process, for tests of signals.
func process(t *testing.T) (*exec.Cmd, *output) {
	t.Helper()
	logs := newOutput()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "serve", "--dev", "--api-key="+testKey, "--log-format=json", "--listen=127.0.0.1:0", "--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
	cmd.Env = append(os.Environ(), beMain+"=1")
	cmd.Stderr = logs
	startProcess(t, cmd)
	return cmd, logs
}

func exitCodeOf(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func TestSignalsDrain(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd, logs := process(t)
		address(t, logs, "grpc")
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if code := exitCodeOf(t, cmd); code != exitOK {
			t.Errorf("%s: exit code %d, want 0\n%s", signal, code, logs)
		}
		logs.line(t, `"msg":"stopped"`)
	}
}

// TestSecondSignal interrupts a stop that waits for a request whose body doesn't come.
func TestSecondSignal(t *testing.T) {
	cmd, logs := process(t)
	conn, err := net.Dial("tcp", address(t, logs, "http"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST /v1/emit HTTP/1.1\r\nHost: sala\r\nAuthorization: Bearer "+testKey+"\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// The answer comes when the handler begins to read the body.
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err)
	}
	address(t, logs, "grpc")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	logs.line(t, `"msg":"stopping"`)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exitCodeOf(t, cmd); code != exitFailure {
		t.Errorf("exit code %d, want 1\n%s", code, logs)
	}
	if strings.Contains(logs.String(), `"msg":"stopped"`) {
		t.Error("it went on stopping gracefully")
	}
}

// TestSignalEndsAProcessWhoseLogNobodyReads fills the pipe that the process logs to, so that its next
// line blocks. The process still ends.
func TestSignalEndsAProcessWhoseLogNobodyReads(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc to open the pipe a second time")
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close(); _ = writer.Close() }()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "serve", "--dev", "--api-key="+testKey, "--drain-timeout=100ms",
		"--listen=127.0.0.1:0", "--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
	cmd.Env = append(os.Environ(), beMain+"=1")
	cmd.Stderr = writer
	startProcess(t, cmd)
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		if strings.Contains(lines.Text(), "listener=grpc") {
			break // the last that it says before it is told to end
		}
	}
	// A second opening can be non-blocking here, while the process still blocks.
	full, err := syscall.Open(fmt.Sprintf("/proc/self/fd/%d", writer.Fd()), syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(full) }()
	for size := 1 << 10; size > 0; size /= 2 {
		for err = nil; err == nil; _, err = syscall.Write(full, make([]byte, size)) {
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exitCodeOf(t, cmd); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestReloadOnSignal replaces the certificates of all listeners while it runs.
func TestReloadOnSignal(t *testing.T) {
	ca := certstest.NewCA(t, "authority")
	cert, key := pairFiles(t, ca.Issue(t, "first", time.Now().Add(time.Hour)))
	n := plain(t, "--tls-cert", cert, "--tls-key", key, "--control-tls-cert", cert, "--control-tls-key", key)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.Cert)
	isServed := func(want string) {
		t.Helper()
		for _, addr := range []string{n.public, n.grpc, n.http} {
			protocols := []string{"h2", "http/1.1"}
			conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", NextProtos: protocols})
			if err != nil {
				t.Fatal(err)
			}
			if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
				t.Errorf("%s shows %q, want %q", addr, got, want)
			}
			_ = conn.Close()
		}
	}
	hangUp := func(says string) {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for _, listener := range []string{"public", "grpc", "http"} {
			n.err.line(t, says, `"listener":"`+listener+`"`)
		}
	}
	isServed("first")
	second := ca.Issue(t, "second", time.Now().Add(time.Hour))
	for i, file := range []string{cert, key} {
		if err := os.WriteFile(file, [][]byte{second.Cert, second.Key}[i], 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			hangUp("can't reload the certificate")
			isServed("first")
		}
	}
	hangUp("reloaded the certificate")
	isServed("second")
	if _, metrics := getOver(t, pool, "https://"+n.http+"/metrics"); !strings.Contains(metrics, `sala_tls_reloads_total{listener="grpc",result="failed"} 1`) ||
		!strings.Contains(metrics, `sala_tls_reloads_total{listener="public",result="ok"} 1`) || !strings.Contains(metrics, `sala_tls_certificate_expiry_timestamp_seconds{listener="http"} 1`) {
		t.Errorf("the metrics don't say so:\n%s", metrics)
	}
}

// TestReloadKeysOnSignal changes the API keys of the configuration file while it runs.
func TestReloadKeysOnSignal(t *testing.T) {
	const second = "another-key-of-the-tests"
	file := writeFile(t, "sala.yaml", "jwt_secret: "+testSecret+"\napi_key: test="+testKey+"\n")
	n := serve(t, "--config", file)
	change := func(keys string, says ...string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("jwt_secret: "+testSecret+"\napi_key: "+keys+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		n.err.line(t, says...)
	}
	answers := func(key string, want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.http+"/v1/rooms", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s, want %d", resp.Status, want)
		}
	}
	answers(second, http.StatusUnauthorized)
	change("[test="+testKey+", web="+second+":rooms:read]", "reloaded the API keys", `"keys":2`)
	answers(second, http.StatusOK)
	change("[", "can't reload the API keys")
	answers(testKey, http.StatusOK)
	answers(second, http.StatusOK)
	change("web="+second+":emit", "reloaded the API keys", `"keys":1`)
	answers(testKey, http.StatusUnauthorized)
	answers(second, http.StatusForbidden)
	if _, metrics := get(t, "http://"+n.http+"/metrics", ""); !strings.Contains(metrics, `sala_api_key_reloads_total{result="failed"} 1`) || !strings.Contains(metrics, `sala_api_key_reloads_total{result="ok"} 2`) {
		t.Errorf("the metrics don't say so:\n%s", metrics)
	}
	if log := n.err.String(); strings.Contains(log, testKey) || strings.Contains(log, second) {
		t.Error("the log has a key")
	}
}
