package api

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/apierror"
)

// ExplainHTTPErrors returns a listener for an http.Server that serves
// [Server.HTTPHandler]. Requests that net/http can't read never reach the
// handler: it answers them itself, in plain text. Here they are answered as the
// REST API answers errors. Behind TLS that works for callers that don't speak
// TLS; what net/http says within TLS stays as it is.
func ExplainHTTPErrors(l net.Listener) net.Listener { return &explainedListener{l} }

type explainedListener struct{ net.Listener }

// Accept implements net.Listener.
func (l *explainedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &explainedConn{conn}, nil
}

type explainedConn struct{ net.Conn }

// Write implements net.Conn.
func (c *explainedConn) Write(b []byte) (int, error) {
	answer := explainHTTPError(b)
	if answer == nil {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(answer); err != nil {
		return 0, err
	}
	return len(b), nil
}

// CloseWrite lets net/http end a connection so that its last answer arrives.
func (c *explainedConn) CloseWrite() error {
	if conn, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return conn.CloseWrite()
	}
	return nil
}

// ShowKey tells the listener's own connection that a call on it had a valid key,
// if it wants to know, and reports whether it may stay.
func (c *explainedConn) ShowKey() bool {
	conn, ok := c.Conn.(interface{ ShowKey() bool })
	return !ok || conn.ShowKey()
}

const (
	// maxHTTPError bounds what net/http says by itself.
	maxHTTPError = 512
	// httpErrorHeaders are the headers of that, in one write with the rest. An
	// answer of a handler has others, such as Date.
	httpErrorHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	// plainToTLS is what net/http says to callers that don't speak TLS.
	plainToTLS = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
)

// explainHTTPError returns what to write in place of an error of net/http's; nil
// if b is none.
func explainHTTPError(b []byte) []byte {
	if len(b) > maxHTTPError || !bytes.HasPrefix(b, []byte("HTTP/1.")) {
		return nil
	}
	if string(b) == plainToTLS {
		return httpError("HTTP/1.0", http.StatusBadRequest, apierror.Classify(apierror.BadRequest("this port speaks HTTPS; call it as https://")).Status())
	}
	head, _, found := bytes.Cut(b, []byte(httpErrorHeaders))
	line, isFirst := bytes.CutPrefix(head, []byte("HTTP/1.1 "))
	if !found || !isFirst || len(line) < 3 {
		return nil
	}
	code, err := strconv.Atoi(string(line[:3]))
	if err != nil {
		return nil
	}
	_, detail, _ := strings.Cut(string(line[3:]), ": ")
	return httpError("HTTP/1.1", code, httpErrorStatus(code, detail))
}

func httpErrorStatus(code int, detail string) *status.Status {
	switch {
	case code == http.StatusRequestHeaderFieldsTooLarge:
		return apierror.Classify(apierror.TooLarge("the headers of the request are too large")).Status()
	case code != http.StatusBadRequest:
		st := status.New(codes.Unimplemented, "the broker doesn't speak this kind of HTTP: "+strings.ToLower(http.StatusText(code)))
		return apierror.WithReason(st, apierror.CodeName(st.Code()))
	case detail == "":
		detail = "in a URL, a % that begins no escape is written %25, and a space %20"
	}
	return apierror.Classify(apierror.BadRequest("the request is not valid HTTP: " + detail)).Status()
}

func httpError(version string, code int, st *status.Status) []byte {
	body := statusJSON(st)
	head := fmt.Sprintf("%s %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
		version, code, http.StatusText(code), len(body))
	return append([]byte(head), body...)
}
