package listen

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// serveStrict serves a handler that answers with its path and body, over TLS if secured.
func serveStrict(t *testing.T, secured bool) func() net.Conn {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hijack" {
			nc, rest, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = nc.Close() }()
			_, _ = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			_, _ = io.Copy(nc, rest)
			return
		}
		content, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%s[%s]%v", r.URL.Path, content, r.TLS != nil)
	}))
	var config *tls.Config
	if secured {
		s.StartTLS() // for its certificate
		config = &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12}
		s.Close()
	} else {
		s.Close()
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server := &http.Server{Handler: s.Config.Handler, ConnState: releaseScanner, ErrorLog: quiet, ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(newStrictListener(plain, config, patience, quiet)) }()
	t.Cleanup(func() { _ = server.Close() })
	return func() net.Conn {
		nc, err := net.Dial("tcp", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if secured {
			nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
		}
		t.Cleanup(func() { _ = nc.Close() })
		_ = nc.SetDeadline(time.Now().Add(patience))
		return nc
	}
}

const host = " HTTP/1.1\r\nHost: x\r\n"

// second is a request hidden in what a proxy might take for a body.
const second = "GET /second" + host + "\r\n"

func TestAmbiguousRequests(t *testing.T) {
	for name, request := range map[string]string{
		"length and chunks":              "POST /" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunks and length":              "POST /" + host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"in other cases":                 "POST /" + host + "CONTENT-LENGTH: 5\r\ntRANSFER-eNCODING:chunked\r\n\r\n0\r\n\r\n",
		"line feeds alone":               "POST / HTTP/1.1\nHost: x\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\r\n\r\n",
		"with others in between":         "POST /" + host + "Content-Length: 5\r\nX: y\r\nAccept: */*\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"with a zero length":             "POST /" + host + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"in a GET":                       "GET /" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":                    "POST /" + host + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
		"a list of lengths":              "POST /" + host + "Content-Length: 5, 5\r\n\r\n12345",
		"a length with a sign":           "POST /" + host + "Content-Length: +5\r\n\r\n12345",
		"a negative length":              "POST /" + host + "Content-Length: -5\r\n\r\n12345",
		"a hexadecimal length":           "POST /" + host + "Content-Length: 0x5\r\n\r\n12345",
		"an empty length":                "POST /" + host + "Content-Length:\r\n\r\n12345",
		"space before the colon":         "POST /" + host + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		"tab before the colon":           "POST /" + host + "Content-Length\t: 5\r\n\r\n12345",
		"space before the name":          "POST /" + host + "X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a folded value":                 "POST /" + host + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
		"a value folded by a tab":        "POST /" + host + "X: y\r\n\tz\r\n\r\n",
		"a folded first header":          "GET / HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n",
		"chunked twice":                  "POST /" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked, identity":              "POST /" + host + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		"identity":                       "POST /" + host + "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"gzip, chunked":                  "POST /" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"quoted":                         "POST /" + host + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
		"a vertical tab":                 "POST /" + host + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
		"chunks in HTTP/1.0":             "POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunks and length in HTTP/1.0":  "POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a carriage return in a name":    "POST /" + host + "Content-Length\r: 5\r\n\r\n12345",
		"a zero byte in a name":          "POST /" + host + "Transfer-Encoding\x00: chunked\r\n\r\n0\r\n\r\n",
		"a chunk size with a sign":       "POST /" + host + "Transfer-Encoding: chunked\r\n\r\n+5\r\n12345\r\n0\r\n\r\n",
		"a chunk size in 0x":             "POST /" + host + "Transfer-Encoding: chunked\r\n\r\n0x5\r\n12345\r\n0\r\n\r\n",
		"a chunk size without a return":  "POST /" + host + "Transfer-Encoding: chunked\r\n\r\n5\n12345\r\n0\r\n\r\n",
		"a chunk without its end":        "POST /" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\n123450\r\n\r\n",
		"a folded trailer":               "POST /" + host + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\nX: y\r\n z\r\n\r\n",
		"behind a good one":              "POST /" + host + "Content-Length: 5\r\n\r\n12345POST /" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"behind a chunked one":           "POST /" + host + "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n12345\r\n0\r\nX: y\r\n\r\nPOST /" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"behind line breaks":             "POST /" + host + "Content-Length: 0\r\n\r\n\r\n\r\nPOST /" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"behind a request that upgrades": "GET /" + host + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\nPOST /" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, secured := range []bool{false, true} {
				for _, whole := range []bool{true, false} {
					nc := serveStrict(t, secured)()
					var r io.Reader = strings.NewReader(request + second)
					if !whole {
						r = iotest.OneByteReader(r)
					}
					go func() { _, _ = io.Copy(nc, struct{ io.Reader }{r}) }()
					answers, err := io.ReadAll(nc)
					if late, ok := err.(net.Error); ok && late.Timeout() {
						t.Errorf("the connection is still open after %q", answers)
					}
					if text := string(answers); strings.Contains(text, "/second") {
						t.Errorf("the second request was answered: %q", text)
					} else if last := text[max(strings.LastIndex(text, "HTTP/1.1 "), 0):]; !strings.HasPrefix(last, "HTTP/1.1 400") && !strings.HasPrefix(last, "HTTP/1.1 501") {
						t.Errorf("answers %q", text)
					}
				}
			}
		})
	}
}

// Requests that are clear are served, one behind another on one connection, however their bytes arrive.
func TestClearRequests(t *testing.T) {
	requests := []struct{ request, want string }{
		{"GET /a" + host + "\r\n", "/a[]"},
		{"POST /b" + host + "Content-Length: 5\r\n\r\n12345", "/b[12345]"},
		{"POST /c" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", "/c[123450123456789]"},
		{"POST /d" + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345", "/d[12345]"},
		{"POST /e" + host + "Transfer-Encoding: Chunked\r\nTrailer: X\r\n\r\n0\r\nX: y\r\n\r\n", "/e[]"},
		{"POST /f" + host + "Content-Length:   00005   \r\n\r\n12345", "/f[12345]"},
		{"POST /g" + host + "Content-Length: 65\r\n\r\n" + strings.Repeat("Transfer-Encoding: chunked\r\n\r\n GET /", 2)[:65], "/g["},
		{"POST /h" + host + "X-Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length-X: 7\r\n\r\n10\r\nContent-Length: \r\n0\r\n\r\n", "/h[Content-Length: ]"},
		{"\r\nGET /i" + host + "X: " + strings.Repeat("x", 5000) + "\r\n\r\n", "/i[]"},
		{"GET /j" + strings.Repeat("x", 3000) + host + "\r\n", "/jx"},
	}
	for _, secured := range []bool{false, true} {
		dial := serveStrict(t, secured)
		for _, step := range []int{1, 3, 1 << 20} {
			nc := dial()
			var stream bytes.Buffer
			for _, r := range requests {
				stream.WriteString(r.request)
			}
			go func() {
				for stream.Len() > 0 {
					_, _ = nc.Write(stream.Next(step))
				}
			}()
			answers := bufio.NewReader(nc)
			for _, r := range requests {
				answer, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatalf("%.40q: %v", r.request, err)
				}
				content, _ := io.ReadAll(answer.Body)
				if !strings.HasPrefix(string(content), r.want) || !strings.HasSuffix(string(content), fmt.Sprint(secured)) {
					t.Errorf("%.40q: %d %.60q, want %q", r.request, answer.StatusCode, content, r.want)
				}
			}
		}
	}
}

// A hijacked connection is left alone.
func TestHijackedConnection(t *testing.T) {
	for _, secured := range []bool{false, true} {
		nc := serveStrict(t, secured)()
		if _, err := io.WriteString(nc, "GET /hijack"+host+"\r\n"); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(nc)
		if answer, err := http.ReadResponse(r, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v %v", answer, err)
		}
		words := "POST /" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n x"
		if _, err := io.WriteString(nc, words); err != nil {
			t.Fatal(err)
		}
		echo := make([]byte, len(words))
		if _, err := io.ReadFull(r, echo); err != nil || string(echo) != words {
			t.Errorf("%q %v", echo, err)
		}
	}
}

// A caller without TLS gets an answer, and a silent one is closed.
func TestFailedHandshakes(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server := &http.Server{ConnState: releaseScanner, ErrorLog: quiet, ReadHeaderTimeout: patience}
	go func() {
		_ = server.Serve(newStrictListener(plain, &tls.Config{MinVersion: tls.VersionTLS12}, 100*time.Millisecond, quiet))
	}()
	t.Cleanup(func() { _ = server.Close() })
	for words, want := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n": "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
		"\x16":                   "",
	} {
		nc, err := net.Dial("tcp", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		_ = nc.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(nc, words); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(nc)
		if late, ok := err.(net.Error); ok && late.Timeout() {
			t.Error("the connection is still open")
		}
		if string(answer) != want {
			t.Errorf("%q is answered %q", words, answer)
		}
	}
}
