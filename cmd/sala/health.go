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

	"github.com/salabroker/sala/cmd/sala/internal/cli"
	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// healthTimeout is how long a node may take to say that it is well.
const healthTimeout = 5 * time.Second

// healthCommand asks the node on this machine whether it is ready, for health
// checks where there is no curl, as in a container image of nothing but sala.
type healthCommand struct {
	Local bool `help:"Don't mind whether the node reaches the others of its cluster: its own clients do well without."`
	config.Flags
}

// Help is shown below the usage.
func (*healthCommand) Help() string {
	return `It finds the address of the node as "sala serve" does, in flags, environment and file; of these it needs ` +
		`only --http-listen, and --control-tls-cert and --control-tls-key where the node has them.` +
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
	// This machine is asked, no secret is sent, and no certificate is for 127.0.0.1.
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
	words := strings.TrimSpace(string(text))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the node isn't ready: %s", words)
	}
	fmt.Fprintln(streams.Out, words)
	return nil
}

// readyURL is where a node that listens there says whether it is ready.
func readyURL(l config.Listener, local bool) string {
	at := url.URL{Scheme: "http", Path: "/readyz"}
	if l.TLS != nil {
		at.Scheme = "https"
	}
	host, port, _ := net.SplitHostPort(l.Addr) // it has been checked
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
