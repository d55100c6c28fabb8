package config

import (
	"time"

	"github.com/alecthomas/kong"
)

// Flags declares the flags of a broker for kong, to be embedded in a command.
// Each but --config has a key in the YAML file too: its name with underscores.
type Flags struct {
	Config Path `env:"SALA_CONFIG" placeholder:"FILE" group:"general" help:"YAML file with the same settings (a flag's name with underscores is its key) and the sections anonymous, default_permissions, relay and rooms."`
	Dev    bool `env:"SALA_DEV" group:"general" help:"For trying out: make up a secret and an API key if none is given, accept short secrets, serve a demo page, relay my_event to a room and shout to everyone and announce who joins a room unless the file says otherwise, and print commands to paste."`

	Listen         string        `env:"SALA_LISTEN" default:":3000" placeholder:"ADDR" group:"public" help:"Where Socket.IO clients connect."`
	TLSCert        Path          `name:"tls-cert" env:"SALA_TLS_CERT" placeholder:"FILE" group:"public" help:"Certificate chain (PEM) of the public listener; plain HTTP without it. Files of certificates are read again when they change."`
	TLSKey         Path          `name:"tls-key" env:"SALA_TLS_KEY" placeholder:"FILE" group:"public" help:"Private key (PEM) to --tls-cert."`
	Namespaces     List          `env:"SALA_NAMESPACES" default:"/" placeholder:"NAME" group:"public" help:"Namespaces that exist, separated by commas or spaces."`
	AllowedOrigins List          `env:"SALA_ALLOWED_ORIGINS" placeholder:"ORIGIN" group:"public" help:"Origins of pages, such as https://example.com, that may connect beside the broker's own; https://*.example.com allows all subdomains, * any origin. Separated by commas or spaces."`
	AllowedHeaders List          `env:"SALA_ALLOWED_HEADERS" placeholder:"HEADER" group:"public" help:"Headers that pages of allowed origins may send over long-polling, beside Authorization and Content-Type; * allows any. Separated by commas or spaces."`
	SocketPath     string        `name:"path" env:"SALA_PATH" default:"/socket.io/" placeholder:"PATH" group:"public" help:"Below what path clients connect, with or without the / at its end."`
	PublicHealth   bool          `env:"SALA_PUBLIC_HEALTH" group:"public" help:"Serve /livez and /readyz on the public listener too, for load balancers that reach nothing else."`
	PingInterval   time.Duration `env:"SALA_PING_INTERVAL" default:"25s" placeholder:"DURATION" group:"public" help:"How often clients are pinged."`
	PingTimeout    time.Duration `env:"SALA_PING_TIMEOUT" default:"20s" placeholder:"DURATION" group:"public" help:"How long a client may take to answer a ping."`
	ConnectTimeout time.Duration `env:"SALA_CONNECT_TIMEOUT" default:"10s" placeholder:"DURATION" group:"public" help:"How long a client may take to join a namespace after it has connected."`
	MaxConnections int64         `env:"SALA_MAX_CONNECTIONS" placeholder:"COUNT" group:"public" help:"How many connections there may be; above that, new ones are turned away at once. By default as many as the limit of open files allows, less a reserve."`
	MaxMessage     int64         `name:"max-message-bytes" env:"SALA_MAX_MESSAGE_BYTES" default:"1000000" placeholder:"BYTES" group:"public" help:"How large a message may be."`
	MaxQueue       int64         `name:"max-queue-bytes" env:"SALA_MAX_QUEUE_BYTES" default:"1048576" placeholder:"BYTES" group:"public" help:"How much may wait to be written to one client; one message of the largest size always fits."`
	SlowConsumers  string        `env:"SALA_SLOW_CONSUMERS" default:"disconnect" enum:"disconnect,drop" placeholder:"POLICY" group:"public" help:"What happens to a client whose queue is full: disconnect it, or drop what doesn't fit."`
	TrustedProxies List          `env:"SALA_TRUSTED_PROXIES" placeholder:"CIDR" group:"public" help:"Networks of proxies that are believed whom they pass on (X-Forwarded-For, X-Forwarded-Proto): 10.0.0.0/8, an address, loopback or private. Separated by commas or spaces."`

	MaxConnectionsPerIP   int64 `name:"max-connections-per-ip" env:"SALA_MAX_CONNECTIONS_PER_IP" default:"1000" placeholder:"N" group:"limits" help:"How many an address may have; an IPv6 network of 64 bits counts as one. 0 means any number, as below."`
	MaxHandshakesPerIP    int64 `name:"max-handshakes-per-ip" env:"SALA_MAX_HANDSHAKES_PER_IP" default:"50" placeholder:"N" group:"limits" help:"How many an address may open in a second; ten times as many at once."`
	LimitExempt           List  `env:"SALA_LIMIT_EXEMPT" default:"loopback,private" placeholder:"CIDR" group:"limits" help:"Addresses without limits of their own: networks, addresses, loopback or private; empty for none. Trusted proxies are exempt anyway."`
	MaxConnectionsPerUser int64 `env:"SALA_MAX_CONNECTIONS_PER_USER" default:"1000" placeholder:"N" group:"limits" help:"How many connections a user may have to one namespace of the node."`
	MaxNamespaces         int64 `name:"max-namespaces-per-connection" env:"SALA_MAX_NAMESPACES_PER_CONNECTION" default:"100" placeholder:"N" group:"limits" help:"In how many namespaces a connection may be."`
	MaxEvents             int64 `name:"max-events-per-second" env:"SALA_MAX_EVENTS_PER_SECOND" default:"1000" placeholder:"N" group:"limits" help:"How many events a connection may send in a second; twice as many at once."`
	MaxBytes              int64 `name:"max-bytes-per-second" env:"SALA_MAX_BYTES_PER_SECOND" default:"10000000" placeholder:"BYTES" group:"limits" help:"How much is read from a connection in a second; twice as much at once, and one message of the largest size always. A client that sends more waits."`
	MaxJoins              int64 `name:"max-joins-per-second" env:"SALA_MAX_JOINS_PER_SECOND" default:"100" placeholder:"N" group:"limits" help:"How often a connection may join or leave a room in a second; ten times as often at once."`
	MaxRooms              int64 `name:"max-rooms-per-socket" env:"SALA_MAX_ROOMS_PER_SOCKET" default:"1000" placeholder:"N" group:"limits" help:"In how many rooms a socket may be; at least 1."`
	MaxAttachments        int64 `env:"SALA_MAX_ATTACHMENTS" default:"64" placeholder:"N" group:"limits" help:"How many attachments a message may have, from a client or from a backend; at least 1."`

	JWTSecret      List   `name:"jwt-secret" env:"SALA_JWT_SECRET" placeholder:"[KID=]SECRET" group:"tokens" help:"Secret of the tokens (HS256), at least 32 bytes: openssl rand -hex 32. Repeat it, or separate by spaces in the variable, to rotate: the first signs, all verify. Needn't be set if tokens are only checked, with public keys."`
	JWTPublicKey   List   `name:"jwt-public-key" env:"SALA_JWT_PUBLIC_KEY" placeholder:"[KID=]FILE" group:"tokens" help:"Public key or certificate (PEM) that checks tokens made elsewhere: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA). Repeat it, or separate by spaces in the variable."`
	JWTJWKSURL     List   `name:"jwt-jwks-url" env:"SALA_JWT_JWKS_URL" placeholder:"[ISSUER=]URL" group:"tokens" help:"Where an issuer of tokens publishes its public keys (JWKS): https, or http on this machine. With ISSUER= they only check tokens whose iss is that. Repeat it, or separate by spaces in the variable."`
	JWTIssuer      List   `name:"jwt-issuer" env:"SALA_JWT_ISSUER" placeholder:"ISSUER" group:"tokens" help:"Accept only tokens whose iss is one of these; tokens that are issued here say the first. Repeat it, or separate by spaces in the variable."`
	JWTAudience    List   `name:"jwt-audience" env:"SALA_JWT_AUDIENCE" placeholder:"AUDIENCE" group:"tokens" help:"Accept only tokens whose aud names one of these; tokens that are issued here say the first. Repeat it, or separate by spaces in the variable."`
	JWTUserClaim   string `name:"jwt-user-claim" env:"SALA_JWT_USER_CLAIM" default:"sub" placeholder:"CLAIM" group:"tokens" help:"The claim that names the user."`
	MaxToken       int64  `name:"max-token-bytes" env:"SALA_MAX_TOKEN_BYTES" default:"8192" placeholder:"BYTES" group:"tokens" help:"How large a token may be: 1024 to 65536."`
	AllowAnonymous bool   `env:"SALA_ALLOW_ANONYMOUS" group:"tokens" help:"Let clients connect without a token, with the permissions of anonymous: in the file."`

	APIKey          List   `name:"api-key" env:"SALA_API_KEY" placeholder:"[NAME=]KEY[:SCOPE,...]" group:"control" help:"Key that opens the control API, or sha256: and its hash, with all scopes if none is named. A scope may be limited to a namespace and rooms: emit:/chat:room-*. Repeat it, or separate by spaces in the variable. \"sala key new\" makes one."`
	GRPCListen      string `name:"grpc-listen" env:"SALA_GRPC_LISTEN" default:"127.0.0.1:9090" placeholder:"ADDR" group:"control" help:"Where backends and this command's other subcommands call gRPC."`
	HTTPListen      string `name:"http-listen" env:"SALA_HTTP_LISTEN" default:"127.0.0.1:9091" placeholder:"ADDR" group:"control" help:"Where backends call REST; /openapi.json, /metrics, /livez and /readyz too."`
	MetricsListen   string `name:"metrics-listen" env:"SALA_METRICS_LISTEN" placeholder:"ADDR" group:"control" help:"Where /metrics is served instead, with /livez and /readyz and nothing of the API, for networks that may scrape and not call. It needs no key. By default there is no such listener."`
	ControlTLSCert  Path   `name:"control-tls-cert" env:"SALA_CONTROL_TLS_CERT" placeholder:"FILE" group:"control" help:"Certificate chain (PEM) of both control listeners."`
	ControlTLSKey   Path   `name:"control-tls-key" env:"SALA_CONTROL_TLS_KEY" placeholder:"FILE" group:"control" help:"Private key (PEM) to --control-tls-cert."`
	ControlClientCA Path   `name:"control-client-ca" env:"SALA_CONTROL_CLIENT_CA" placeholder:"FILE" group:"control" help:"Authorities (PEM) that sign the certificates of those who call the control API: who shows none is refused, but for /livez and /readyz. API keys are needed all the same."`
	APIRate         int64  `name:"api-rate" env:"SALA_API_RATE" default:"0" placeholder:"CALLS" group:"control" help:"How many calls each API key may make in a second, each event of a batch or stream counted; 0 for any number."`
	AuditLog        Path   `env:"SALA_AUDIT_LOG" placeholder:"FILE" group:"control" help:"Where to write down, as lines of JSON, which key changed what, issued which token, was refused; - for standard output. Opened anew at SIGHUP."`
	AuditEmits      bool   `env:"SALA_AUDIT_EMITS" group:"control" help:"Write down emits to rooms, users and sockets too."`
	GRPCReflection  bool   `name:"grpc-reflection" env:"SALA_GRPC_REFLECTION" default:"true" group:"control" help:"Describe the services over gRPC to tools such as grpcurl, without a key; --grpc-reflection=false turns it off."`
	InsecureControl bool   `env:"SALA_INSECURE_CONTROL" group:"control" help:"Allow control listeners without TLS that other machines can reach, as behind a proxy that encrypts."`

	AckTimeout     time.Duration `env:"SALA_ACK_TIMEOUT" default:"10s" placeholder:"DURATION" group:"backends" help:"How long a backend may take to answer an event whose client asked for an ack; then the client gets the error HANDLER_TIMEOUT."`
	DecideTimeout  time.Duration `env:"SALA_DECIDE_TIMEOUT" default:"5s" placeholder:"DURATION" group:"backends" help:"How long backends that decide who may connect may take."`
	DecideDefault  string        `env:"SALA_DECIDE_DEFAULT" default:"refuse" enum:"refuse,accept" placeholder:"DECISION" group:"backends" help:"What becomes of a client about whom they haven't decided in time: refuse it, or accept it by its token alone."`
	DecideRequired bool          `env:"SALA_DECIDE_REQUIRED" group:"backends" help:"Refuse clients while no backend is there that decides."`

	StateDir     Path          `name:"state-dir" env:"SALA_STATE_DIR" placeholder:"DIR" group:"running" help:"Folder, of this node alone, where it keeps what has to survive a restart: which tokens are revoked. Without it, and without --redis-url, a restart forgets that."`
	MemoryLimit  int64         `name:"memory-limit-bytes" env:"SALA_MEMORY_LIMIT_BYTES" placeholder:"BYTES" group:"running" help:"How much memory the process may use: near it, new clients and messages are refused until some is free. By default GOMEMLIMIT, or else 90 % of the control group's limit."`
	LogLevel     string        `env:"SALA_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" group:"running" help:"One of debug, info, warn and error."`
	LogFormat    string        `env:"SALA_LOG_FORMAT" default:"text" enum:"text,json" placeholder:"FORMAT" group:"running" help:"One of text and json."`
	DrainSpread  time.Duration `env:"SALA_DRAIN_SPREAD" default:"5s" placeholder:"DURATION" group:"running" help:"Over how long clients are sent away when the node drains, so that they don't all come back at once; at SIGTERM in half of --drain-timeout at the most."`
	DrainTimeout time.Duration `env:"SALA_DRAIN_TIMEOUT" default:"10s" placeholder:"DURATION" group:"running" help:"How long clients may take, after SIGTERM, to get what was accepted for them. The process ends at most 2 s later."`

	RedisURL     string `name:"redis-url" env:"SALA_REDIS_URL" placeholder:"URL" group:"cluster" help:"Redis or Valkey, such as redis://user:password@host:6379, over which nodes with the same one make up one broker; rediss:// for TLS. Without it the node is alone."`
	ClusterKey   List   `env:"SALA_CLUSTER_KEY" placeholder:"KEY" group:"cluster" help:"Signs what nodes say to each other, so that whoever else writes to the Redis can't speak as one: at least 32 bytes, the same on every node: openssl rand -hex 32. Repeat it, or separate by spaces in the variable, to rotate: the first signs, all are believed."`
	ClusterName  string `env:"SALA_CLUSTER_NAME" default:"sala" placeholder:"NAME" group:"cluster" help:"Tells clusters apart that share a Redis."`
	RedisEmitter bool   `env:"SALA_REDIS_EMITTER" group:"cluster" help:"Also do what the official Socket.IO emitters (@socket.io/redis-emitter, and python-socketio's RedisManager with write_only) publish on the Redis. Whoever can write to it can send anything to clients then."`

	file      *File    `kong:"-"`
	variables []string `kong:"-"` // that are settings of a command
	unknown   []string `kong:"-"` // that look like settings and are none
}

// Groups are the headings under which the flags stand in --help, in order.
func Groups() []kong.Group {
	return []kong.Group{
		{Key: "general", Title: "General:"},
		{Key: "public", Title: "Clients (Socket.IO, path /socket.io/):"},
		{Key: "limits", Title: "Limits of clients:"},
		{Key: "tokens", Title: "Tokens:"},
		{Key: "control", Title: "Control API (gRPC and REST):"},
		{Key: "backends", Title: "Backends (event stream):"},
		{Key: "running", Title: "Logs, state and shutdown:"},
		{Key: "cluster", Title: "Several nodes (Redis):"},
	}
}
