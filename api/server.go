package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // callers may compress; what that becomes has the limit of a request
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/reflection"

	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/token"
	"github.com/salabroker/sala/broker/tracing"
	"github.com/salabroker/sala/broker/turns"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Broker is what the control API needs of a broker; [broker.Broker] implements it. Its
// methods are called concurrently. Errors for callers are *[broker.Error]; the caller sees
// any other error as INTERNAL, without its text.
type Broker interface {
	IssueToken(ctx context.Context, r broker.TokenRequest) (broker.IssuedToken, error)
	VerifyToken(ctx context.Context, raw string) (token.Claims, error)
	RevokeTokens(ctx context.Context, r broker.RevokeTokens) (broker.RevokeOutcome, error)

	ListRooms(ctx context.Context, q broker.RoomQuery) (broker.RoomList, error)
	GetRoom(ctx context.Context, namespace, room string) (broker.RoomInfo, error)
	ClearRoom(ctx context.Context, c broker.ClearRoom) (broker.Outcome, error)

	Messages(ctx context.Context, q broker.MessagesQuery) (broker.MessagesPage, error)
	ClearMessages(ctx context.Context, namespace, room string) error

	Users(ctx context.Context, q broker.UserQuery) (broker.UserList, error)
	CountUsers(ctx context.Context, namespace string, rooms []string) (broker.RoomCounts, error)
	Online(ctx context.Context, namespace string, users []string) (broker.OnlineUsers, error)

	Emit(ctx context.Context, t broker.Target, m broker.Message) (broker.Report, error)
	// EmitWithAck calls each from its own goroutine, and not after it has returned.
	EmitWithAck(ctx context.Context, t broker.Target, m broker.Message, o broker.AckOptions, each func(broker.Ack) error) (broker.AckSummary, error)

	ListSockets(ctx context.Context, q broker.SocketQuery) (broker.SocketList, error)
	GetSocket(ctx context.Context, id string) (broker.SocketInfo, error)
	Join(ctx context.Context, t broker.Target, rooms []string) (broker.Outcome, error)
	Leave(ctx context.Context, t broker.Target, rooms []string) (broker.Outcome, error)
	Update(ctx context.Context, t broker.Target, data json.RawMessage) (broker.Outcome, error)
	Disconnect(ctx context.Context, t broker.Target, reason string) (broker.Outcome, error)

	Subscribe(o broker.SubscribeOptions) (*broker.Subscription, error)
	AwaitSubscribed(ctx context.Context) broker.PartialResult

	Tail(ctx context.Context, o broker.TailOptions) (*broker.Tail, error)
	Explain(ctx context.Context, q broker.ExplainQuery) (broker.Explanation, error)

	ListGroups(ctx context.Context) (broker.GroupList, error)
	Stats(ctx context.Context, points int) (broker.StatsList, error)
	ListLimits(ctx context.Context, namespaces []string) (broker.LimitList, error)

	ListNodes(ctx context.Context) (broker.NodeList, error)
	Drain(ctx context.Context, node string) (broker.NodeInfo, error)
}

var _ Broker = (*broker.Broker)(nil)

// Config configures a [Server].
type Config struct {
	// Broker carries out the calls. Required.
	Broker Broker
	// Turns are those in which large requests and answers are decoded and encoded. They are the
	// broker's, so that both together leave processors free; nil for turns of their own.
	Turns *turns.Turns
	// Keys are the API keys that the server accepts. At least one is required.
	Keys []auth.Key
	// CallRate is how many calls each key may make per second, and at once. Each event
	// of a batch or stream counts. 0 is no limit.
	CallRate int
	// Audit records the calls that change something; nil discards them.
	Audit AuditLog
	// AuditEmits makes Audit record emits too.
	AuditEmits bool
	// MaxMessageBytes is the broker's limit for one message. Required. A gRPC request may
	// be 1 MiB larger. The body of a REST request may be twice as large as that, since
	// JSON and Base64 take more room.
	MaxMessageBytes int64
	// NoReflection turns off gRPC reflection, which tools such as grpcurl use without a
	// key.
	NoReflection bool
	// MemoryLimit is the memory limit of the process in bytes, of which requests get a
	// part; 0 is no limit.
	MemoryLimit int64
	// Ready returns why the node should get no new clients, or nil. It is called
	// concurrently. A nil Ready means always ready.
	Ready func() error
	// Reaches returns why the node can't reach the rest of its cluster, or nil. It is
	// called concurrently. While it returns an error, /readyz fails, but not
	// /readyz?local=1. A nil Reaches means that there is no cluster.
	Reaches func() error
	// ClientCerts refuses HTTP requests without a client certificate, except /livez and
	// /readyz.
	ClientCerts bool
	// Console serves all paths on the HTTP listener that the API doesn't. Nil for none.
	Console http.Handler
	// Version is the version in the Server header; may be empty.
	Version string
	// Tracer starts the spans of calls; nil for none.
	Tracer *tracing.Tracer
	// Logger gets a line for each call; nil discards them.
	Logger *slog.Logger
	// Metrics registers the control API's collectors; nil registers none.
	Metrics prometheus.Registerer
	// Gatherer has the metrics of /metrics; nil turns /metrics off.
	Gatherer prometheus.Gatherer
	// MetricsApart leaves /metrics to [Server.MetricsHandler] alone.
	MetricsApart bool
}

// maxListing is how many times larger arguments are as a protobuf list than as JSON, at
// most: "0," has 2 bytes and becomes 11.
const maxListing = 6

// maxOverhead is how much larger a request may be than a message. It leaves room for
// names, targets and batches even if messages are small.
const maxOverhead = 1 << 20

// Limits of one connection over gRPC.
const (
	// maxStreams bounds the calls in flight, including calls that their caller has given
	// up but that are still carried out. More calls wait.
	maxStreams = 1024
	// streamWorkers is how many goroutines are kept for calls, for all connections
	// together. A new goroutine first has to grow its stack, which takes longer than the
	// rest of most calls. Calls that find all of them busy get a new one.
	streamWorkers = 16
	// maxHeaderBytes bounds the metadata of a call, which is a key and little more.
	maxHeaderBytes = 64 << 10
	// connectTimeout is how long a connection may take until it speaks HTTP/2, including
	// the TLS handshake.
	connectTimeout = 10 * time.Second
)

// Server is the control API. Its methods may be called concurrently.
type Server struct {
	// Static after New.
	broker   Broker
	auth     *auth.Authenticator
	codec    encoding.CodecV2
	turns    *turns.Turns // of large requests and answers
	guests   *auth.Caller // stands for the callers of calls that need no key
	intake   *intake
	conns    *callerConns
	auditLog AuditLog // may be nil
	emits    bool     // whether auditLog gets emits
	log      *slog.Logger
	tracer   *tracing.Tracer // nil for none
	metrics  *metrics
	reflects bool // whether gRPC reflection is on
	ready    func() error
	reaches  func() error
	grpc     *grpc.Server
	health   *health.Server
	direct   *direct
	gateway  http.Handler // of REST requests that have been checked
	handler  http.Handler
	scrapes  http.Handler
	stopping chan struct{} // closed by Shutdown

	calls, streams atomic.Int64 // in flight

	stopOnce sync.Once
}

// New returns a server that is ready to serve. It starts goroutines, which end with
// [Server.Shutdown].
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Broker == nil:
		return nil, errors.New("the control API needs a broker")
	case cfg.MaxMessageBytes <= 0:
		return nil, fmt.Errorf("the control API can't limit messages to %d bytes; the limit must be above zero", cfg.MaxMessageBytes)
	}
	authenticator, err := auth.New(cfg.Keys, cfg.CallRate)
	if err != nil {
		return nil, err
	}
	if cfg.Turns == nil {
		cfg.Turns = turns.New(runtime.GOMAXPROCS(0))
	}
	metrics, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	s := &Server{
		broker:   cfg.Broker,
		auth:     authenticator,
		codec:    newCodec(),
		turns:    cfg.Turns,
		guests:   &auth.Caller{},
		conns:    newCallerConns(),
		auditLog: cfg.Audit,
		emits:    cfg.AuditEmits,
		log:      cfg.Logger,
		tracer:   cfg.Tracer,
		metrics:  metrics,
		reflects: !cfg.NoReflection,
		ready:    cfg.Ready,
		reaches:  cfg.Reaches,
		stopping: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	maxRequest := int(cfg.MaxMessageBytes) + maxOverhead
	if s.intake, err = newIntake(cfg.MemoryLimit, int64(maxRequest)); err != nil {
		return nil, err
	}
	s.direct = newDirect(s, maxRequest)
	s.grpc = s.newGRPCServer(connectTimeout)
	if s.gateway, err = newGateway(s.direct, s.turns); err != nil {
		return nil, err
	}
	s.handler = s.newHTTPHandler(cfg, bodyTimeout)
	s.scrapes = s.newMetricsHandler(cfg)
	return s, nil
}

// newGRPCServer doesn't limit the age of connections: streams last as long as their callers
// like, and pings find dead peers. A connection has connectTime for its handshake.
func (s *Server) newGRPCServer(connectTime time.Duration) *grpc.Server {
	server := grpc.NewServer(
		grpc.Creds(connCredentials{s}),
		grpc.InTapHandle(s.tap),
		grpc.StreamInterceptor(s.interceptStream),
		grpc.ForceServerCodecV2(s.codec),
		// A buffer has the next larger size. With gRPC's own sizes, data that waits in a
		// window would take up to four times its bytes.
		experimental.BufferPool(mem.NewTieredBufferPool(256, 1<<10, 2<<10, 4<<10, 8<<10, 16<<10, 32<<10, 1<<20)),
		// Dynamic windows would grow to 16 MiB for each call that doesn't read.
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(connectTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	services := registrar{s, server, s.direct}
	salav1.RegisterTokenServiceServer(services, &tokenService{broker: s.broker})
	salav1.RegisterKeyServiceServer(services, keyService{})
	salav1.RegisterRoomServiceServer(services, &roomService{broker: s.broker})
	salav1.RegisterPresenceServiceServer(services, &presenceService{broker: s.broker})
	salav1.RegisterMessageServiceServer(services, &messageService{broker: s.broker, log: s.log})
	salav1.RegisterSocketServiceServer(services, &socketService{broker: s.broker})
	salav1.RegisterEventServiceServer(services, &eventService{broker: s.broker})
	salav1.RegisterClusterServiceServer(services, &clusterService{broker: s.broker})
	salav1.RegisterObserveServiceServer(services, &observeService{broker: s.broker})

	s.health = health.NewServer()
	for name := range server.GetServiceInfo() {
		s.health.SetServingStatus(name, grpc_health_v1.HealthCheckResponse_SERVING)
	}
	grpc_health_v1.RegisterHealthServer(services, s.health)
	if s.reflects {
		reflection.Register(server)
	}
	return server
}

// Serve serves gRPC on a listener, which it closes. It returns nil once
// [Server.Shutdown] has been called, or the listener's error.
func (s *Server) Serve(listener net.Listener) error {
	err := s.grpc.Serve(listener)
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// HTTPHandler returns the handler of the control HTTP listener: the REST gateway,
// /openapi.json, /metrics, /livez, /readyz and the console. The owner of the [http.Server]
// sets its timeouts, and shuts it down before it calls [Server.Shutdown].
func (s *Server) HTTPHandler() http.Handler { return s.handler }

// MetricsHandler returns the handler of a separate listener for /metrics, /livez and
// /readyz. It requires neither a key nor a certificate.
func (s *Server) MetricsHandler() http.Handler { return s.scrapes }

// Load returns how many calls and streams are in flight, including REST.
func (s *Server) Load() (calls, streams int) { return int(s.calls.Load()), int(s.streams.Load()) }

// Drain makes gRPC health checks report NOT_SERVING from now on. The server goes on serving
// calls.
func (s *Server) Drain() { s.health.Shutdown() }

// Shutdown refuses new calls, ends the streams and waits for the calls in flight. If ctx
// ends first, it closes the connections and returns the cause. It may be called again.
func (s *Server) Shutdown(ctx context.Context) error {
	rest, done := s.direct.close(), make(chan struct{})
	s.stopOnce.Do(func() { close(s.stopping) })
	go func() {
		s.grpc.GracefulStop()
		<-rest
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		calls, streams := s.Load()
		s.direct.cut()
		s.grpc.Stop()
		return fmt.Errorf("%d calls and %d streams were cut: %w", calls, streams, context.Cause(ctx))
	}
}
