package main

import (
	"context"
	"crypto/tls"
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

// healthCommand checks whether the node on this machine is ready. It is for health checks where
// there is no curl, as in a container image that contains only sala.
type healthCommand struct {
	Local bool `help:"Ignore whether the node reaches the other nodes of its cluster. It serves its own clients without them."`
	config.Flags
}

// Help implements kong.HelpProvider.
func (*healthCommand) Help() string {
	return `The command finds the node's address as "sala serve" does: in flags, environment and file. It only needs ` +
		`--http-listen, and --control-tls-cert and --control-tls-key if the node has them.` +
		"\n\n" + exitCodes
}

// Run implements the command.
func (h *healthCommand) Run(ctx context.Context, streams *cli.Streams) error {
	listener, err := h.HTTPListener()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	at := readyURL(listener, h.Local)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", buildinfo.Get().UserAgent())
	// The connection stays on this machine and carries no secret, and no certificate is valid for 127.0.0.1.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("no node answers at %s: %w", at, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return fmt.Errorf("no node answers at %s: %w", at, err)
	}
	answer := strings.TrimSpace(string(text))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the node isn't ready: %s", answer)
	}
	fmt.Fprintln(streams.Out, answer)
	return nil
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
