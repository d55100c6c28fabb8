package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
	"github.com/salabroker/sala/cmd/sala/internal/cli"
	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// healthTimeout is how long a node may take to answer.
const healthTimeout = 5 * time.Second

// errNeedsTLS is the answer of a listener with TLS to a request without.
var errNeedsTLS = errors.New("the node expects TLS")

// healthCommand checks whether a node is ready. It is for health checks where there is no curl, as in
// a container image that contains only sala.
type healthCommand struct {
	Address string `arg:"" optional:"" placeholder:"HOST:PORT" help:"Address of the node's REST listener, --http-listen or --metrics-listen. By default that of the node on this machine."`
	Local   bool   `help:"Ignore whether the node reaches the other nodes of its cluster. It serves its own clients without them."`
	config.Flags
}

// Help implements kong.HelpProvider.
func (*healthCommand) Help() string {
	return `An address is all that the command needs: it finds out whether the node has TLS. Without one, it finds the ` +
		`address as "sala serve" does, in --http-listen, environment and file. It sends no secret, and doesn't ` +
		`verify certificates: none is valid for 127.0.0.1.` +
		"\n\n" + exitCodes
}

// Run implements the command.
func (h *healthCommand) Run(ctx context.Context, streams *cli.Streams) error {
	listener, err := h.listener()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	at := readyURL(listener, h.Local)
	answer, err := askReady(ctx, at)
	if errors.Is(err, errNeedsTLS) {
		answer, err = askReady(ctx, "https"+strings.TrimPrefix(at, "http"))
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(streams.Out, answer)
	return nil
}

// listener returns the listener to ask: that of the address, or that of the configuration.
func (h *healthCommand) listener() (config.Listener, error) {
	if h.Address == "" {
		return h.HTTPListener()
	}
	if _, port, err := net.SplitHostPort(h.Address); err != nil || port == "" {
		return config.Listener{}, &cli.UsageError{Message: fmt.Sprintf("%q is not host:port, such as 127.0.0.1:9091", h.Address)}
	}
	return config.Listener{Addr: h.Address}, nil
}

// askReady returns the answer of a node that is ready.
func askReady(ctx context.Context, at string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("User-Agent", buildinfo.Get().UserAgent())
	// The request carries no secret, and no certificate is valid for 127.0.0.1.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("no node answers at %s: %w", at, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return "", fmt.Errorf("no node answers at %s: %w", at, err)
	}
	answer := strings.TrimSpace(string(text))
	switch {
	case response.StatusCode == http.StatusOK:
		return answer, nil
	case response.StatusCode == http.StatusBadRequest && request.URL.Scheme == "http" && strings.Contains(answer, "HTTPS"):
		return "", errNeedsTLS // net/http says so
	}
	return "", fmt.Errorf("the node isn't ready: %s", answer)
}

// readyURL is the URL of the node's readiness check.
func readyURL(l config.Listener, local bool) string {
	at := url.URL{Scheme: "http", Path: "/readyz"}
	if l.TLS != nil {
		at.Scheme = "https"
	}
	host, port, _ := net.SplitHostPort(l.Addr) // HTTPListener has checked it
	switch ip := net.ParseIP(host); {
	case host == "" || ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip.Equal(net.IPv6unspecified):
		host = "::1"
	}
	at.Host = net.JoinHostPort(host, port)
	if local {
		at.RawQuery = "local=1"
	}
	return at.String()
}
