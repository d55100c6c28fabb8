package nodeproxy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/salabroker/sala/broker/cluster"
)

var errNotMember = errors.New("the node is no longer in the cluster")

// newTransport returns the pool of connections to other nodes. The host of a request is the id of a
// node, so that a node that starts at the address of another gets connections of its own.
func (p *Proxy) newTransport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			id, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			node, ok := p.opts.Mesh.Node(cluster.NodeID(id))
			if !ok {
				return nil, &dialError{errNotMember}
			}
			nc, err := dial(ctx, node)
			if err != nil {
				return nil, &dialError{err}
			}
			return nc, nil
		},
		DisableCompression:  true, // answers are passed on as they come
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     idleTimeout,
	}
}

// dialError says that there is no connection to a node.
type dialError struct{ error }

// Unwrap returns why.
func (e *dialError) Unwrap() error { return e.error }

// dial connects to a node, over TLS if its URL says so.
func dial(ctx context.Context, node cluster.Node) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	to, err := url.Parse(node.URL)
	if err != nil {
		return nil, errors.New("its URL is invalid")
	}
	port := to.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[to.Scheme]
	}
	var dialer net.Dialer
	plain, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(to.Hostname(), port))
	if err != nil || to.Scheme != "https" {
		return plain, err
	}
	secured := tls.Client(plain, tlsConfig(node, to.Hostname()))
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = plain.Close() // the handshake's error says more
		return nil, err
	}
	return secured, nil
}

// tlsConfig accepts the certificate that the node has announced. Its certificate names what clients
// connect to, and nodes connect to its address. If it has announced none, or another server
// encrypts in front of it, the certificate must be valid for the host.
func tlsConfig(node cluster.Node, host string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
		ServerName:         host,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies
		VerifyConnection: func(state tls.ConnectionState) error {
			sum := sha256.Sum256(state.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare(sum[:], []byte(node.Certificate)) == 1 {
				return nil
			}
			options := x509.VerifyOptions{DNSName: host, Intermediates: x509.NewCertPool()}
			for _, c := range state.PeerCertificates[1:] {
				options.Intermediates.AddCert(c)
			}
			if _, err := state.PeerCertificates[0].Verify(options); err != nil {
				return fmt.Errorf("the certificate is neither the one that the node has announced nor valid for its address: %w", err)
			}
			return nil
		},
	}
}
