package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// maxProbeBytes bounds the answer to a probe.
const maxProbeBytes = 4 << 10

// unreachableError is a first connect that failed before a broker could refuse the client.
type unreachableError struct{ cause error }

// Error implements error.
func (e *unreachableError) Error() string { return e.cause.Error() }

// diagnosis finds out why no connection could be opened. The library reports each answer but the
// right one as "bad handshake", so the diagnosis asks once more, with a request that opens no session.
type diagnosis struct {
	options *options
	at      *url.URL // of the request
	secure  bool
	trusted *tls.Config // nil: what the system trusts
}

// explain returns an error for people. Its cause is what the library reported.
func (o *options) explain(ctx context.Context, cause error) error {
	var reason string
	if strings.Contains(cause.Error(), "timeout") { // asking again would take as long
		reason = o.silence()
	} else if reason = o.diagnose(ctx); reason == "" {
		reason = quote(cause.Error())
	}
	return fmt.Errorf("can't reach a broker at %s: %s", o.URL, reason)
}

func (o *options) silence() string { return fmt.Sprintf("no answer within %s", o.Timeout) }

// diagnose returns the reason in words, "" if it finds none.
func (o *options) diagnose(ctx context.Context) string {
	at, err := url.Parse(o.URL)
	if err != nil {
		return ""
	}
	d := &diagnosis{options: o, at: at, secure: at.Scheme == "https" || at.Scheme == "wss"}
	at.Scheme, at.Path, at.RawQuery = "http", o.Path, "EIO=4&transport=none"
	if d.secure {
		at.Scheme = "https"
	}
	if o.TLSCA != "" {
		if d.trusted, err = readCA(o.TLSCA); err != nil {
			return err.Error()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	conn, err := d.dial(ctx)
	if err != nil {
		return d.ofError(err)
	}
	defer conn.Close()
	return d.ofConnection(ctx, conn)
}

func (d *diagnosis) dial(ctx context.Context) (net.Conn, error) {
	if d.secure {
		dialer := &tls.Dialer{Config: d.trusted}
		return dialer.DialContext(ctx, "tcp", d.address())
	}
	dialer := &net.Dialer{}
	return dialer.DialContext(ctx, "tcp", d.address())
}

func (d *diagnosis) address() string {
	switch {
	case d.at.Port() != "":
		return d.at.Host
	case d.secure:
		return net.JoinHostPort(d.at.Hostname(), "443")
	}
	return net.JoinHostPort(d.at.Hostname(), "80")
}

func (d *diagnosis) ofError(err error) string {
	var (
		plain    tls.RecordHeaderError
		strange  x509.UnknownAuthorityError
		other    x509.HostnameError
		unusable *tls.CertificateVerificationError
		name     *net.DNSError
		slow     net.Error
	)
	switch {
	case errors.As(err, &plain):
		return "it doesn't speak TLS; use http:// instead of https://"
	case errors.As(err, &strange) && d.trusted == nil:
		return "its certificate isn't signed by an authority that this machine trusts; name the authority with --tls-ca"
	case errors.As(err, &strange):
		return "its certificate isn't signed by the authority of --tls-ca " + d.options.TLSCA
	case errors.As(err, &other):
		return fmt.Sprintf("its certificate isn't valid for %s, but for %s", other.Host, validNames(other.Certificate))
	case errors.As(err, &unusable):
		return "its certificate can't be verified: " + unusable.Err.Error()
	case errors.As(err, &name):
		return fmt.Sprintf("the name %s can't be resolved", name.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused; does a broker listen there?"
	case errors.As(err, &slow) && slow.Timeout():
		return d.options.silence()
	}
	return ""
}

// ofConnection sends the request and looks at what comes back.
func (d *diagnosis) ofConnection(ctx context.Context, conn net.Conn) string {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.at.String(), nil)
	if err != nil {
		return ""
	}
	request.Header = d.options.Headers.Clone()
	_ = request.Write(conn) // if it fails, so does reading
	reader := bufio.NewReader(conn)
	switch start, _ := reader.Peek(1); {
	case len(start) == 1 && start[0] == 0: // a frame of HTTP/2
		return "it speaks HTTP/2, like the broker's gRPC port; clients connect to the port of --listen, 3000 by default"
	case len(start) == 0 && !d.secure && d.speaksTLS(ctx):
		return useHTTPS
	}
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxProbeBytes)) // a part is enough
	return d.ofAnswer(response, body)
}

const useHTTPS = "it speaks TLS; use https:// instead of http://"

// validNames returns what a certificate is valid for.
func validNames(c *x509.Certificate) string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name"
	}
	return strings.Join(names, ", ")
}

func (d *diagnosis) ofAnswer(r *http.Response, body []byte) string {
	var known struct{ Message string }
	_ = json.Unmarshal(body, &known) // else it isn't of a broker
	isControl := strings.HasPrefix(r.Header.Get("Server"), "sala/")
	switch {
	case !d.secure && r.StatusCode == http.StatusBadRequest && strings.Contains(string(body), "HTTPS"):
		return useHTTPS
	case known.Message == "Transport unknown" && d.options.Transport == overPolling:
		return "" // it is a broker, so the cause says more
	case known.Message == "Transport unknown":
		return "it answers, but lets no WebSocket through; a proxy in front of it must pass upgrades on, " +
			"or connect with --transport polling"
	case isControl:
		return "it is the broker's REST port; clients connect to the port of --listen, 3000 by default"
	case r.StatusCode == http.StatusNotFound:
		return fmt.Sprintf("there is no Socket.IO at %s; --path must be that of the broker", d.options.Path)
	case known.Message != "":
		return fmt.Sprintf("it answers %s: %s", r.Status, quote(known.Message))
	}
	return fmt.Sprintf("it answers %s, not as a Socket.IO server", quote(r.Status))
}

// speaksTLS reports whether a TLS handshake succeeds. It sends nothing over the connection, so it
// doesn't need to know who answers.
func (d *diagnosis) speaksTLS(ctx context.Context) bool {
	dialer := &tls.Dialer{
		Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // see above
	}
	conn, err := dialer.DialContext(ctx, "tcp", d.address())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
