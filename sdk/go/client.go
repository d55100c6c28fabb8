package sala

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// DefaultTimeout is the deadline of a call whose context has none.
const DefaultTimeout = 10 * time.Second

// maxMessageBytes is the largest message that the client receives. The broker bounds events with
// --max-message-bytes; gRPC's own default of 4 MiB would be too small if an operator raises that.
const maxMessageBytes = 64 << 20

// Client calls one broker over one connection. All methods may be called concurrently.
type Client struct {
	conn    *grpc.ClientConn
	address address
	timeout time.Duration
	log     *slog.Logger

	keysDisabled atomic.Bool // whether the broker has said that it remembers no keys

	messages salav1.MessageServiceClient
	events   salav1.EventServiceClient
	tokens   salav1.TokenServiceClient
	rooms    salav1.RoomServiceClient
	sockets  salav1.SocketServiceClient
	presence salav1.PresenceServiceClient
}

// Option changes how [Dial] connects.
type Option func(*options)

type options struct {
	tls       *tls.Config
	plaintext bool
	timeout   time.Duration
	log       *slog.Logger
	dial      []grpc.DialOption
}

// WithTLS connects with TLS and this configuration: for a private CA, or with a client certificate.
// [TLSFromFiles] makes one from files.
func WithTLS(config *tls.Config) Option { return func(o *options) { o.tls = config } }

// WithPlaintext connects without TLS. The API key then travels in clear text, so the network between
// must be trusted. It isn't needed for an address of this machine.
func WithPlaintext() Option { return func(o *options) { o.plaintext = true } }

// WithTimeout replaces [DefaultTimeout].
func WithTimeout(timeout time.Duration) Option { return func(o *options) { o.timeout = timeout } }

// WithLogger sets the logger for what no caller gets as an error: failed handlers, and streams that
// end and start again. The default is [slog.Default].
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// WithDialOptions adds options of gRPC, such as interceptors for traces and metrics.
func WithDialOptions(dial ...grpc.DialOption) Option {
	return func(o *options) { o.dial = append(o.dial, dial...) }
}

// TLSFromFiles returns a configuration that trusts the certificates in the file ca instead of the
// system's, and presents the client certificate in cert and key. All three are in PEM. ca may be
// empty, and cert and key may be empty together.
func TLSFromFiles(ca, cert, key string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("sala: %s has no certificate in PEM", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// Dial returns a client of the broker whose gRPC listener has this address. Each call carries the
// API key.
//
// The address is host:port, or a URL: http://host:port means plaintext and https://host:port means
// TLS. Without a scheme, the client uses plaintext for an address of this machine (localhost,
// 127.0.0.0/8, ::1) and TLS for any other, unless an option says otherwise.
//
// Dial doesn't wait for the connection: a broker that can't be reached is an error of the first
// call. The client connects again by itself. Close it when it is no longer needed.
func Dial(address, apiKey string, opts ...Option) (*Client, error) {
	at, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	o := options{timeout: DefaultTimeout, log: slog.Default()}
	for _, set := range opts {
		set(&o)
	}
	transport, err := o.transport(at)
	if err != nil {
		return nil, err
	}
	at.encrypted = transport.Info().SecurityProtocol == "tls"
	if err := checkKey(apiKey); err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(at.hostPort, append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(bearer(apiKey)),
		grpc.WithUserAgent("sala-go"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		// The broker accepts a ping each 5 s. It also finds a broker whose machine has vanished.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}),
		// gRPC's own back-off would make calls fail for up to two minutes after the broker is back.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 2, Jitter: 0.5, MaxDelay: time.Second},
			MinConnectTimeout: longestPause,
		}),
	}, o.dial...)...)
	if err != nil {
		return nil, err
	}
	return &Client{
		conn:     conn,
		address:  at,
		timeout:  o.timeout,
		log:      o.log,
		messages: salav1.NewMessageServiceClient(conn),
		events:   salav1.NewEventServiceClient(conn),
		tokens:   salav1.NewTokenServiceClient(conn),
		rooms:    salav1.NewRoomServiceClient(conn),
		sockets:  salav1.NewSocketServiceClient(conn),
		presence: salav1.NewPresenceServiceClient(conn),
	}, nil
}

// transport decides between TLS and plaintext.
func (o *options) transport(at address) (credentials.TransportCredentials, error) {
	switch {
	case o.tls != nil && (o.plaintext || at.scheme == "http"):
		return nil, errors.New("sala: TLS and plaintext exclude each other")
	case o.plaintext && at.scheme == "https":
		return nil, errors.New("sala: https:// and plaintext exclude each other")
	case o.tls != nil:
		return credentials.NewTLS(o.tls.Clone()), nil
	case o.plaintext, at.scheme == "http", at.scheme == "" && at.isLoopback():
		return insecure.NewCredentials(), nil
	}
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}), nil
}

// Close ends the connection and all calls that are under way. End the subscribers first, by ending
// the contexts of their [Subscriber.Run]: otherwise they don't leave gracefully.
func (c *Client) Close() error { return c.conn.Close() }

// Conn returns the connection for the generated stubs, which have every call and field of the
// broker's API:
//
//	nodes, err := salav1.NewClusterServiceClient(client.Conn()).ListNodes(ctx, &salav1.ListNodesRequest{})
//
// It carries the API key. Errors are gRPC's, and nothing is retried.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }

// checkKey refuses a key that no broker has, since gRPC's own error would say nothing of keys.
func checkKey(apiKey string) error {
	if apiKey == "" {
		return errors.New("sala: an API key is needed; sala serve --dev prints one")
	}
	if strings.ContainsFunc(apiKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("sala: the API key has a character that no key has; copy it as it was printed")
	}
	return nil
}

// bearer is the API key that every call carries. [Dial] has decided whether plaintext is allowed.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }
