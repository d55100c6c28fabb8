package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// maxResponseBytes bounds a response. The largest is a page of sockets in many rooms.
const maxResponseBytes = 64 << 20

// Client declares the flags of the connection to the control API, and calls it.
type Client struct {
	Server  string        `env:"SALA_SERVER" default:"127.0.0.1:9090" placeholder:"HOST:PORT" group:"server" help:"gRPC address of the broker."`
	APIKey  string        `name:"api-key" env:"SALA_API_KEY" placeholder:"KEY" group:"server" help:"API key of the broker."`
	TLS     bool          `name:"tls" env:"SALA_TLS" group:"server" help:"Connect with TLS."`
	TLSCA   string        `name:"tls-ca" env:"SALA_TLS_CA" placeholder:"FILE" group:"server" help:"Certificate authority (PEM) that signed the broker's certificate, by default one that the system trusts. Implies --tls."`
	TLSCert string        `name:"tls-cert" env:"SALA_CLIENT_CERT" placeholder:"FILE" group:"server" help:"Client certificate (PEM), for a broker with --control-client-ca. Implies --tls."`
	TLSKey  string        `name:"tls-key" env:"SALA_CLIENT_KEY" placeholder:"FILE" group:"server" help:"Private key (PEM) for --tls-cert."`
	Timeout time.Duration `env:"SALA_TIMEOUT" default:"10s" placeholder:"DURATION" group:"server" help:"How long one call to the broker may take."`

	partial partialAnswers `kong:"-"`
}

// call connects, runs fn and translates its error for people.
func (c *Client) call(ctx context.Context, fn func(context.Context, grpc.ClientConnInterface) error) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	err = c.explain(fn(ctx, conn))
	_ = conn.Close() // the call is over; there is nothing to lose
	c.partial.warn()
	return err
}

func (c *Client) dial(extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	if err := c.checkServer(); err != nil {
		return nil, err
	}
	if c.Timeout <= 0 {
		return nil, &UsageError{Message: "--timeout must be above zero, for example 10s"}
	}
	if words := strings.Fields(c.APIKey); len(words) > 0 && auth.SplitKey(words[0]).Hashed {
		return nil, &UsageError{Message: "--api-key or SALA_API_KEY contains the hash of a key, which only the broker can use; set the key itself"}
	}
	if strings.ContainsFunc(c.key(), func(r rune) bool { return r < ' ' || r > '~' }) { // HTTP/2 can't carry it
		return nil, &UsageError{Message: "the API key has a character that no key has; copy it as it was printed"}
	}
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(c.Server, append(extra,
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent(buildinfo.Get().UserAgent()),
		grpc.WithPerRPCCredentials(bearer(c.key())),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponseBytes)),
		grpc.WithChainUnaryInterceptor(c.limitTime, c.partial.unary),
		grpc.WithStreamInterceptor(c.partial.stream),
	)...)
}

// limitTime applies the timeout to each call instead of the whole command.
func (c *Client) limitTime(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return invoke(ctx, method, req, reply, conn, opts...)
}

// checkServer catches addresses of other listeners.
func (c *Client) checkServer() error {
	if strings.Contains(c.Server, "://") {
		return &UsageError{Message: fmt.Sprintf("--server %s is a URL; set the gRPC address as host:port, such as 127.0.0.1:9090", c.Server)}
	}
	if _, port, err := net.SplitHostPort(c.Server); err != nil || port == "" {
		return &UsageError{Message: fmt.Sprintf("--server %q is not host:port, such as 127.0.0.1:9090", c.Server)}
	}
	return nil
}

func (c *Client) hasTLS() bool { return c.TLS || c.TLSCA != "" || c.TLSCert != "" || c.TLSKey != "" }

func (c *Client) transport() (credentials.TransportCredentials, error) {
	if !c.hasTLS() {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSCA != "" {
		roots, err := readCA("--tls-ca", c.TLSCA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = roots
	}
	if c.TLSCert != "" || c.TLSKey != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return nil, &UsageError{Message: fmt.Sprintf("can't use --tls-cert and --tls-key: %s", err)}
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

// readCA reads the certificates of a flag's file.
func readCA(flag, file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, &UsageError{Message: fmt.Sprintf("can't read the file of %s: %s", flag, err)}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, &UsageError{Message: fmt.Sprintf("%s %s contains no certificate in PEM form", flag, file)}
	}
	return roots, nil
}

// key returns the API key. SALA_API_KEY may be the broker's setting, with a name, scopes and further
// keys.
func (c *Client) key() string {
	words := strings.Fields(c.APIKey)
	if len(words) == 0 {
		return ""
	}
	return config.KeySecret(words[0])
}

// bearer sends an API key with each call. It doesn't insist on TLS, because the broker itself refuses
// to listen without TLS where others could read along.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if b == "" {
		return nil, nil
	}
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (b bearer) RequireTransportSecurity() bool { return false }
