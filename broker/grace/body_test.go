package grace_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/grace"
)

// A body that never comes must not hold its connection, even if no handler reads
// it.
func TestSlowBodiesEnd(t *testing.T) {
	server := httptest.NewServer(grace.LimitBodies(http.NotFoundHandler(), 50*time.Millisecond))
	defer server.Close()
	for _, header := range []string{"Content-Length: 100000", "Transfer-Encoding: chunked"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\n"+header+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(conn); err != nil {
			t.Errorf("%s: the connection is still open (%v) after %q", header, err, answer)
		}
	}
}
