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
// [Server.HTTPHandler]. net/http answers requests that it can't parse itself, in plain text.
// The listener replaces these answers with errors in the form of the REST API. With TLS, it
// does so only for clients that don't speak TLS.
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

// CloseWrite lets net/http close a connection so that the last answer arrives.
func (c *explainedConn) CloseWrite() error {
	if conn, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return conn.CloseWrite()
	}
	return nil
}

// ShowKey implements [KeyedConn] by way of the connection below.
func (c *explainedConn) ShowKey() bool {
	conn, ok := c.Conn.(interface{ ShowKey() bool })
	return !ok || conn.ShowKey()
}

const (
	// maxHTTPError bounds the answers of net/http itself.
	maxHTTPError = 512
	// httpErrorHeaders are the headers of such an answer, which comes in one write.
	// Answers of handlers have more headers, such as Date.
	httpErrorHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	// plainToTLS is net/http's answer to clients that don't speak TLS.
	plainToTLS = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
)

// explainHTTPError returns the replacement for an answer of net/http itself; nil if b is no
// such answer.
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
		detail = "in a URL, write % as %25 unless it begins an escape, and a space as %20"
	}
	return apierror.Classify(apierror.BadRequest("the request is not valid HTTP: " + detail)).Status()
}

func httpError(version string, code int, st *status.Status) []byte {
	body := statusJSON(st)
	head := fmt.Sprintf("%s %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
		version, code, http.StatusText(code), len(body))
	return append([]byte(head), body...)
}
