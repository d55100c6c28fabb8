package config

import (
	"time"

	"github.com/alecthomas/kong"
)

// Flags declares the flags of a broker for kong. A command embeds it. Each flag except --config is
// also a key of the YAML file: its name with underscores.
type Flags struct {
	Config Path `env:"SALA_CONFIG" placeholder:"FILE" group:"general" help:"YAML file with the same settings: a flag's name with underscores is its key. It can also have the sections anonymous, default_permissions, relay, rooms and history."`
	Dev    bool `env:"SALA_DEV" group:"general" help:"Development mode: make up a secret and an API key if none is set, accept short secrets, give the console a client to try things with, relay my_event and shout, announce who joins a room, and print commands to paste. Don't use it in production."`

	Listen         string        `env:"SALA_LISTEN" default:":3000" placeholder:"ADDR" group:"public" help:"Address that Socket.IO clients connect to. :3000 means all interfaces. With --dev, the default is 127.0.0.1:3000."`
	TLSCert        Path          `name:"tls-cert" env:"SALA_TLS_CERT" placeholder:"FILE" group:"public" help:"Certificate chain (PEM) of the public listener. Without it, the listener is plain HTTP. Changed certificate files are reloaded within a minute."`
	TLSKey         Path          `name:"tls-key" env:"SALA_TLS_KEY" placeholder:"FILE" group:"public" help:"Private key (PEM) for --tls-cert."`
	Namespaces     List          `env:"SALA_NAMESPACES" default:"/" placeholder:"NAME" group:"public" help:"Namespaces that exist. Repeatable; commas or spaces separate too."`
	AllowedOrigins List          `env:"SALA_ALLOWED_ORIGINS" placeholder:"ORIGIN" group:"public" help:"Origins whose pages may connect, in addition to the broker's own, such as https://example.com. https://*.example.com allows all subdomains, * any origin. Repeatable; commas or spaces separate too."`
	AllowedHeaders List          `env:"SALA_ALLOWED_HEADERS" placeholder:"HEADER" group:"public" help:"Headers that pages of allowed origins may send with long-polling, in addition to Authorization and Content-Type; * allows any. Repeatable; commas or spaces separate too."`
	SocketPath     string        `name:"path" env:"SALA_PATH" default:"/socket.io/" placeholder:"PATH" group:"public" help:"Path that clients connect to, with or without the trailing slash."`
	PublicHealth   bool          `env:"SALA_PUBLIC_HEALTH" group:"public" help:"Also serve /livez and /readyz on the public listener, for load balancers that can reach no other."`
	PingInterval   time.Duration `env:"SALA_PING_INTERVAL" default:"25s" placeholder:"DURATION" group:"public" help:"How often the broker pings each client."`
	PingTimeout    time.Duration `env:"SALA_PING_TIMEOUT" default:"20s" placeholder:"DURATION" group:"public" help:"How long a client may take to answer a ping."`
	ConnectTimeout time.Duration `env:"SALA_CONNECT_TIMEOUT" default:"10s" placeholder:"DURATION" group:"public" help:"How long a client may take from connecting to joining a namespace."`
	MaxConnections int64         `env:"SALA_MAX_CONNECTIONS" placeholder:"COUNT" group:"public" help:"Maximum number of client connections. More are rejected immediately. By default as many as the limit of open files allows, minus a reserve."`
	MaxMessage     int64         `name:"max-message-bytes" env:"SALA_MAX_MESSAGE_BYTES" default:"1000000" placeholder:"BYTES" group:"public" help:"Maximum size of a message, from a client or a backend: 1024 to 104857600."`
	MaxQueue       int64         `name:"max-queue-bytes" env:"SALA_MAX_QUEUE_BYTES" default:"1048576" placeholder:"BYTES" group:"public" help:"How many bytes may wait to be written to one client: 65536 to 1073741824. One message of the maximum size always fits."`
	SlowConsumers  string        `env:"SALA_SLOW_CONSUMERS" default:"disconnect" enum:"disconnect,drop" placeholder:"POLICY" group:"public" help:"What happens to a client whose queue is full: disconnect it, or drop the messages that don't fit."`
	TrustedProxies List          `env:"SALA_TRUSTED_PROXIES" placeholder:"CIDR" group:"public" help:"Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto headers are trusted: 10.0.0.0/8, an address, loopback or private. Repeatable; commas or spaces separate too."`

	MaxConnectionsPerIP   int64 `name:"max-connections-per-ip" env:"SALA_MAX_CONNECTIONS_PER_IP" default:"1000" placeholder:"N" group:"limits" help:"Connections that one address may have; an IPv6 /64 network counts as one address. Here and below, 0 means no limit unless the help says otherwise."`
	MaxHandshakesPerIP    int64 `name:"max-handshakes-per-ip" env:"SALA_MAX_HANDSHAKES_PER_IP" default:"50" placeholder:"N" group:"limits" help:"Connections that one address may open per second. Bursts of ten times as many are allowed."`
	LimitExempt           List  `env:"SALA_LIMIT_EXEMPT" default:"loopback,private" placeholder:"CIDR" group:"limits" help:"Networks that the two limits above don't apply to, such as 10.0.0.0/8, loopback or private; empty for none. Trusted proxies are always exempt. Repeatable; commas or spaces separate too."`
	MaxConnectionsPerUser int64 `env:"SALA_MAX_CONNECTIONS_PER_USER" default:"1000" placeholder:"N" group:"limits" help:"Connections that one user may have to one namespace of this node."`
	MaxNamespaces         int64 `name:"max-namespaces-per-connection" env:"SALA_MAX_NAMESPACES_PER_CONNECTION" default:"100" placeholder:"N" group:"limits" help:"Namespaces that one connection may be connected to."`
	MaxEvents             int64 `name:"max-events-per-second" env:"SALA_MAX_EVENTS_PER_SECOND" default:"1000" placeholder:"N" group:"limits" help:"Events that one connection may send per second. Bursts of twice as many are allowed."`
	MaxBytes              int64 `name:"max-bytes-per-second" env:"SALA_MAX_BYTES_PER_SECOND" default:"10000000" placeholder:"BYTES" group:"limits" help:"Bytes that are read from one connection per second. Bursts of twice as many, and one message of the maximum size, are allowed. A client that sends more waits."`
	MaxJoins              int64 `name:"max-joins-per-second" env:"SALA_MAX_JOINS_PER_SECOND" default:"100" placeholder:"N" group:"limits" help:"How often one connection may join or leave a room per second. Bursts of ten times as many are allowed."`
	MaxRooms              int64 `name:"max-rooms-per-socket" env:"SALA_MAX_ROOMS_PER_SOCKET" default:"1000" placeholder:"N" group:"limits" help:"Rooms that one socket may be in: 1 to 1000000."`
	MaxAttachments        int64 `env:"SALA_MAX_ATTACHMENTS" default:"64" placeholder:"N" group:"limits" help:"Binary attachments that one message may have, from a client or a backend: 1 to 1000."`

	RecoveryWindow     time.Duration `env:"SALA_RECOVERY_WINDOW" default:"2m" placeholder:"DURATION" group:"recovery" help:"How long a client with a session that has lost its connection may stay away and still return without missing anything: at most 24h. 0 turns recovery off."`
	Recovery           string        `env:"SALA_RECOVERY" default:"optional" enum:"optional,always" placeholder:"MODE" group:"recovery" help:"Which clients get a session: those that ask for one (optional), or also all clients of --recovery-namespaces (always)."`
	RecoveryNamespaces List          `env:"SALA_RECOVERY_NAMESPACES" placeholder:"NAME" group:"recovery" help:"Namespaces in which --recovery=always applies; all if not set. Repeatable; commas or spaces separate too."`
	RecoveryMessages   int64         `env:"SALA_RECOVERY_MESSAGES" default:"1024" placeholder:"N" group:"recovery" help:"Messages that one session may hold until its client has confirmed them: 16 to 1000000. A client that misses more can't return to its session."`
	RecoveryBytes      int64         `env:"SALA_RECOVERY_BYTES" default:"1048576" placeholder:"BYTES" group:"recovery" help:"Bytes that these messages may have: 65536 to 1073741824. One message of the maximum size always fits."`
	RecoveryNodeBytes  int64         `env:"SALA_RECOVERY_NODE_BYTES" placeholder:"BYTES" group:"recovery" help:"Bytes that all sessions of the node may hold together. By default a quarter of the memory limit, or 268435456 without one."`

	IdempotencyWindow time.Duration `env:"SALA_IDEMPOTENCY_WINDOW" default:"5m" placeholder:"DURATION" group:"publishing" help:"How long the idempotency key of an event is remembered, so that a repeated call doesn't send the event again: 10s to 24h. 0 refuses events with keys. The same on all nodes."`
	HistoryMaxBytes   int64         `env:"SALA_HISTORY_MAX_BYTES" placeholder:"BYTES" group:"history" help:"Bytes of memory that the history of all rooms may take on a single node. When it needs more, the rooms that were used least recently lose their history. By default a quarter of the memory limit, or 268435456 without one. With --redis-url, the history is in Redis, whose maxmemory applies."`

	JWTSecret      List   `name:"jwt-secret" env:"SALA_JWT_SECRET" placeholder:"[KID=]SECRET" group:"tokens" help:"Secret that signs and verifies tokens (HS256), at least 32 bytes: openssl rand -hex 32. Repeatable, to rotate it: the first signs, all verify. Not needed if the broker only verifies tokens with public keys."`
	JWTPublicKey   List   `name:"jwt-public-key" env:"SALA_JWT_PUBLIC_KEY" placeholder:"[KID=]FILE" group:"tokens" help:"File with a public key or certificate (PEM) that verifies tokens issued elsewhere: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA). Repeatable."`
	JWTJWKSURL     List   `name:"jwt-jwks-url" env:"SALA_JWT_JWKS_URL" placeholder:"[ISSUER=]URL" group:"tokens" help:"URL where an issuer of tokens publishes its public keys (JWKS): https, or http on this machine. With ISSUER=, the keys only verify tokens with that iss. Repeatable."`
	JWTIssuer      List   `name:"jwt-issuer" env:"SALA_JWT_ISSUER" placeholder:"ISSUER" group:"tokens" help:"Accept only tokens whose iss is one of these. Tokens that the broker issues carry the first. Repeatable."`
	JWTAudience    List   `name:"jwt-audience" env:"SALA_JWT_AUDIENCE" placeholder:"AUDIENCE" group:"tokens" help:"Accept only tokens whose aud contains one of these. Tokens that the broker issues carry the first. Repeatable."`
	JWTUserClaim   string `name:"jwt-user-claim" env:"SALA_JWT_USER_CLAIM" default:"sub" placeholder:"CLAIM" group:"tokens" help:"Claim that contains the user."`
	MaxToken       int64  `name:"max-token-bytes" env:"SALA_MAX_TOKEN_BYTES" default:"8192" placeholder:"BYTES" group:"tokens" help:"Maximum size of a token: 1024 to 65536."`
	AllowAnonymous bool   `env:"SALA_ALLOW_ANONYMOUS" group:"tokens" help:"Let clients connect without a token, with the permissions of the section anonymous in the file."`

	APIKey          List   `name:"api-key" env:"SALA_API_KEY" placeholder:"[NAME=]KEY[:SCOPE,...]" group:"control" help:"Key for the control API, or sha256: and its hash; \"sala key new\" makes one. Without scopes it has all of them. A scope can be limited to a namespace and rooms: emit:/chat:room-*. Repeatable."`
	GRPCListen      string `name:"grpc-listen" env:"SALA_GRPC_LISTEN" default:"127.0.0.1:9090" placeholder:"ADDR" group:"control" help:"Address of the control API over gRPC, for backends and the other sala commands."`
	HTTPListen      string `name:"http-listen" env:"SALA_HTTP_LISTEN" default:"127.0.0.1:9091" placeholder:"ADDR" group:"control" help:"Address of the control API over REST, and of /openapi.json, /metrics, /livez and /readyz."`
	MetricsListen   string `name:"metrics-listen" env:"SALA_METRICS_LISTEN" placeholder:"ADDR" group:"control" help:"Move /metrics to an address of its own, with /livez and /readyz but without the API, so that whoever scrapes needs no API key. By default --http-listen serves it."`
	ControlTLSCert  Path   `name:"control-tls-cert" env:"SALA_CONTROL_TLS_CERT" placeholder:"FILE" group:"control" help:"Certificate chain (PEM) of the control listeners."`
	ControlTLSKey   Path   `name:"control-tls-key" env:"SALA_CONTROL_TLS_KEY" placeholder:"FILE" group:"control" help:"Private key (PEM) for --control-tls-cert."`
	ControlClientCA Path   `name:"control-client-ca" env:"SALA_CONTROL_CLIENT_CA" placeholder:"FILE" group:"control" help:"Certificate authorities (PEM). Callers of the control API must present a certificate signed by one of them, in addition to an API key. /livez and /readyz need none."`
	AdminUI         bool   `name:"admin-ui" env:"SALA_ADMIN_UI" group:"control" help:"Let the official Socket.IO Admin UI connect to the namespace /admin of --listen. People sign in with the name of an API key and the key, whose scopes say what they see and may do. Allow the origin of its page with --allowed-origins."`
	APIRate         int64  `name:"api-rate" env:"SALA_API_RATE" default:"0" placeholder:"CALLS" group:"control" help:"Calls that each API key may make per second; 0 means no limit. Each event of a batch or stream counts."`
	AuditLog        Path   `env:"SALA_AUDIT_LOG" placeholder:"FILE" group:"control" help:"File that records, as lines of JSON, which key changed what, issued tokens or was refused; - means standard output. SIGHUP reopens it."`
	AuditEmits      bool   `env:"SALA_AUDIT_EMITS" group:"control" help:"Also record emits to rooms, users and sockets in the audit log."`
	Console         string `env:"SALA_CONSOLE" default:"on" enum:"on,off" placeholder:"on|off" group:"control" help:"Serve the console, a web page to watch and steer the broker, at /console/ of --http-listen. Whoever signs in needs an API key. off turns it off."`
	GRPCReflection  bool   `name:"grpc-reflection" env:"SALA_GRPC_REFLECTION" default:"true" group:"control" help:"Describe the gRPC services to tools such as grpcurl, without an API key. --grpc-reflection=false turns it off."`
	InsecureControl bool   `env:"SALA_INSECURE_CONTROL" group:"control" help:"Allow control listeners without TLS that other machines can reach, for example behind a proxy that encrypts."`

	AckTimeout     time.Duration `env:"SALA_ACK_TIMEOUT" default:"10s" placeholder:"DURATION" group:"backends" help:"How long a backend may take to answer an event whose client asked for an ack. After that, the client gets the error HANDLER_TIMEOUT."`
	DecideTimeout  time.Duration `env:"SALA_DECIDE_TIMEOUT" default:"5s" placeholder:"DURATION" group:"backends" help:"How long backends that decide who may connect may take."`
	DecideDefault  string        `env:"SALA_DECIDE_DEFAULT" default:"refuse" enum:"refuse,accept" placeholder:"DECISION" group:"backends" help:"What happens to a client if no decision arrives in time: refuse it, or accept it by its token alone."`
	DecideRequired bool          `env:"SALA_DECIDE_REQUIRED" group:"backends" help:"Refuse clients while no backend that decides is connected."`

	StateDir     Path          `name:"state-dir" env:"SALA_STATE_DIR" placeholder:"DIR" group:"running" help:"Folder for the state of this node that must survive a restart: which tokens are revoked. Each node needs its own. Without it and without --redis-url, a restart forgets revocations."`
	MemoryLimit  int64         `name:"memory-limit-bytes" env:"SALA_MEMORY_LIMIT_BYTES" placeholder:"BYTES" group:"running" help:"How much memory the process may use. Near the limit, the broker refuses new clients and messages until memory is free. By default GOMEMLIMIT, or else 90 % of the control group's limit."`
	LogLevel     string        `env:"SALA_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" group:"running" help:"Least severe level that is logged: debug, info, warn or error."`
	LogFormat    string        `env:"SALA_LOG_FORMAT" default:"text" enum:"text,json" placeholder:"FORMAT" group:"running" help:"Format of the log: text or json."`
	DrainSpread  time.Duration `env:"SALA_DRAIN_SPREAD" default:"5s" placeholder:"DURATION" group:"running" help:"Period over which a draining node closes its clients' connections, so that they don't all reconnect at once. After SIGTERM, at most half of --drain-timeout."`
	DrainTimeout time.Duration `env:"SALA_DRAIN_TIMEOUT" default:"10s" placeholder:"DURATION" group:"running" help:"How long clients may take, after SIGTERM, to receive what was accepted for them. The process exits at most 2 s later."`

	RedisURL     string `name:"redis-url" env:"SALA_REDIS_URL" placeholder:"URL" group:"cluster" help:"Redis or Valkey that connects the nodes of a cluster, such as redis://user:password@host:6379; rediss:// uses TLS. Without it, the node is alone."`
	ClusterKey   List   `env:"SALA_CLUSTER_KEY" placeholder:"KEY" group:"cluster" help:"Key that signs the messages between nodes, so that nobody else who can write to the Redis can pose as a node. At least 32 bytes, the same on every node: openssl rand -hex 32. Repeatable, to rotate it: the first signs, all verify."`
	ClusterName  string `env:"SALA_CLUSTER_NAME" default:"sala" placeholder:"NAME" group:"cluster" help:"Name of the cluster. Clusters that share a Redis need different names."`
	Advertise    string `env:"SALA_ADVERTISE" placeholder:"ADDR" group:"cluster" help:"Where other nodes reach the listener of --listen: host:port, or a URL such as https://10.0.0.5:3000. They pass requests of this node's clients on, so that a load balancer needs no sticky sessions. By default the address of --listen, POD_IP, or the address that this machine reaches the Redis from."`
	RedisEmitter bool   `env:"SALA_REDIS_EMITTER" group:"cluster" help:"Also deliver what the official Socket.IO emitters publish on the Redis: @socket.io/redis-emitter, and python-socketio's RedisManager with write_only. Whoever can write to the Redis can then send anything to clients."`

	file           *File             `kong:"-"`
	origins        map[string]origin `kong:"-"` // by key; a setting with its default isn't there
	overridden     []string          `kong:"-"` // keys of the file that have no effect, with what overrides them
	envVars        []string          `kong:"-"` // settings of all commands
	unknownEnvVars []string          `kong:"-"` // look like settings but aren't
}

// Groups are the headings of the flags in --help, in order.
func Groups() []kong.Group {
	return []kong.Group{
		{Key: "general", Title: "General:"},
		{Key: "public", Title: "Clients (Socket.IO):"},
		{Key: "limits", Title: "Client limits:"},
		{Key: "recovery", Title: "Session recovery:"},
		{Key: "publishing", Title: "Publishing:"},
		{Key: "history", Title: "History of rooms:"},
		{Key: "tokens", Title: "Tokens:"},
		{Key: "control", Title: "Control API (gRPC and REST):"},
		{Key: "backends", Title: "Backends (event stream):"},
		{Key: "running", Title: "Logs, state and shutdown:"},
		{Key: "cluster", Title: "Several nodes (Redis):"},
	}
}
