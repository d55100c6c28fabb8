package broker

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/adminui"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cors"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/token"
	"github.com/salabroker/sala/broker/tracing"
)

// Options configures a [Broker]. [New] fills in the defaults that are named
// here and refuses what can't work.
type Options struct {
	// Namespaces are the namespaces of the broker; none means only "/".
	Namespaces []string
	// Tokens issues and checks tokens. Required.
	Tokens *token.Keyring
	// Anonymous is what clients without a token may do; nil refuses them.
	Anonymous *Permissions
	// DefaultPermissions is what a client may do whose token has no claim with
	// Sala's permissions, because it was issued elsewhere.
	DefaultPermissions Permissions
	// AllowedOrigins are the origins of web pages that may connect besides the
	// broker's own; see [cors.CheckOrigin].
	AllowedOrigins []string
	// AllowedHeaders are the headers that such pages may send, besides
	// Authorization and Content-Type; "*" allows any.
	AllowedHeaders []string
	// Path is the path below which clients connect; "/socket.io/" by default. It
	// gets a "/" at its end.
	Path string
	// PingInterval, PingTimeout and ConnectTimeout default to 25 s, 20 s and
	// 10 s.
	PingInterval, PingTimeout, ConnectTimeout time.Duration
	// DrainSpread is the time over which clients are sent away when the broker
	// drains, so that they don't all reconnect together; zero means at once.
	DrainSpread time.Duration
	// MaxMessageBytes bounds a message of a client or a backend; 1,000,000 by
	// default.
	MaxMessageBytes int64
	// MaxQueueBytes bounds the queue of one client; 1 MiB by default. A message of
	// the largest size always fits.
	MaxQueueBytes int64
	// MemoryLimit is how many bytes of memory the process may use. Close to it, new
	// clients and messages are refused until there is enough again. Zero means no
	// limit.
	MemoryLimit int64
	// SlowConsumers says what happens to a client whose queue is full;
	// DisconnectSlow by default.
	SlowConsumers SlowConsumerPolicy
	// MaxRoomsPerSocket bounds the rooms of a socket; 1000 by default.
	MaxRoomsPerSocket int
	// MaxAttachments bounds the attachments of a message; 64 by default.
	MaxAttachments int
	// Limits bounds what clients may do besides that.
	Limits Limits
	// TrustedProxies are the networks of proxies whose X-Forwarded-For and
	// X-Forwarded-Proto headers are trusted.
	TrustedProxies []netip.Prefix
	// Relay lets clients talk to each other without a backend.
	Relay []RelayRule
	// Rooms lets clients join and leave rooms by themselves.
	Rooms RoomEvents
	// AckTimeout is how long a backend may take to answer an event whose client
	// asked for an ack; 10 s by default.
	AckTimeout time.Duration
	// Decisions says how backends decide who may connect.
	Decisions DecisionOptions
	// Tracer starts the spans of emits and events; nil for none.
	Tracer *tracing.Tracer
	// History gives rooms a history; nil for none.
	History *HistoryOptions
	// Recovery lets clients that have lost their connection return without missing
	// anything; nil turns it off.
	Recovery *RecoveryOptions
	// IdempotencyWindow is for how long the key of a message is known, so that the
	// message isn't sent again. Zero refuses messages with keys. All nodes of a cluster
	// have the same.
	IdempotencyWindow time.Duration
	// AdminUI lets the official Socket.IO Admin UI connect to the namespace "/admin"; nil
	// doesn't.
	AdminUI *AdminUIOptions
	// Cluster makes the broker a node of a cluster; nil for a single node.
	Cluster *ClusterOptions
	// Logger gets log messages; nil discards them.
	Logger *slog.Logger
	// Debug says that the logger logs at the level of debugging. Then the outcome of each
	// event and message is logged.
	Debug bool
	// Metrics gets the broker's collectors; nil registers none.
	Metrics prometheus.Registerer
	// Version is the version that the node reports.
	Version string
}

// Bounds of Options.IdempotencyWindow. Below the first, a key could expire while its
// message is being sent.
const (
	minKeyWindow = 10 * time.Second
	maxKeyWindow = 24 * time.Hour
)

// withDefaults returns r with its defaults, in a broker with the other options.
func (r *RecoveryOptions) withDefaults(o *Options) *RecoveryOptions {
	filled := *r
	filled.Window = cmp.Or(r.Window, 2*time.Minute)
	filled.Mode = cmp.Or(r.Mode, RecoverOptional)
	filled.MaxMessages = cmp.Or(r.MaxMessages, 1024)
	filled.MaxBytes = cmp.Or(r.MaxBytes, 1<<20)
	if filled.MaxBytes > 0 {
		filled.MaxBytes = max(filled.MaxBytes, o.MaxMessageBytes+messageOverhead)
	}
	if r.MaxNodeBytes == 0 {
		filled.MaxNodeBytes = max(cmp.Or(o.MemoryLimit/4, 256<<20), filled.MaxBytes)
	}
	return &filled
}

func (r *RecoveryOptions) validate(v *violations, namespaces []string) {
	if r.Window < 0 || r.Window > 24*time.Hour {
		v.add("recovery_window", "%s is not between 0s and 24h", r.Window)
	}
	if r.Mode != RecoverOptional && r.Mode != RecoverAlways {
		v.add("recovery", "%q is neither \"optional\" nor \"always\"", r.Mode)
	}
	for i, name := range r.Namespaces {
		if !slices.Contains(namespaces, name) {
			v.add(fmt.Sprintf("recovery_namespaces[%d]", i), "%q is not one of the namespaces of this broker", name)
		}
	}
	if r.MaxMessages < 16 || r.MaxMessages > 1_000_000 {
		v.add("recovery_messages", "%d is not between 16 and 1000000", r.MaxMessages)
	}
	if r.MaxBytes < 64<<10 || r.MaxBytes > 1<<30 {
		v.add("recovery_bytes", "%d is not between 65536 and 1073741824", r.MaxBytes)
	} else if r.MaxNodeBytes < r.MaxBytes {
		v.add("recovery_node_bytes", "%d is less than what one session may hold, which is %d", r.MaxNodeBytes, r.MaxBytes)
	}
}

// HistoryOptions gives rooms a history.
type HistoryOptions struct {
	// Rules say which rooms have one. The first that matches counts. A rule without a
	// namespace is about "/".
	Rules history.Rules
	// Engine keeps it. [Broker.Run] runs it. Required.
	Engine history.Engine
}

// Limits of the rules for history.
const (
	maxHistoryMessages = 10_000
	minHistoryTTL      = time.Second
	maxHistoryTTL      = 30 * 24 * time.Hour
	maxHistoryRules    = 100
)

// withDefaults returns h with its defaults.
func (h *HistoryOptions) withDefaults() *HistoryOptions {
	filled := *h
	filled.Rules = slices.Clone(h.Rules)
	for i := range filled.Rules {
		filled.Rules[i].Namespace = cmp.Or(filled.Rules[i].Namespace, "/")
	}
	return &filled
}

func (h *HistoryOptions) validate(v *violations, namespaces []string) {
	if h.Engine == nil {
		v.add("history", "there is no engine that keeps it")
	}
	if len(h.Rules) > maxHistoryRules {
		v.add("history", "there are %d rules; at most %d are allowed", len(h.Rules), maxHistoryRules)
	}
	for i, r := range h.Rules {
		field := fmt.Sprintf("history[%d].", i)
		if !slices.Contains(namespaces, r.Namespace) {
			v.add(field+"namespace", "%q is not one of the namespaces of this broker", r.Namespace)
		}
		if _, err := room.ParsePattern(string(r.Rooms)); err != nil {
			v.add(field+"rooms", "%s", err)
		}
		if r.Messages < 1 || r.Messages > maxHistoryMessages {
			v.add(field+"messages", "%d is not between 1 and %d", r.Messages, maxHistoryMessages)
		}
		if r.TTL < minHistoryTTL || r.TTL > maxHistoryTTL {
			v.add(field+"ttl", "%s is not between 1s and 720h", r.TTL)
		}
	}
}

// ClusterOptions makes the broker a node of a cluster.
type ClusterOptions struct {
	// Bus carries the messages between nodes. Required.
	Bus cluster.Bus
	// Name distinguishes clusters that share a bus; "sala" by default.
	Name string
	// Keys sign the messages between nodes, and have at least 32 bytes each. The
	// first one signs, all are accepted. Without keys, everybody who can reach the
	// bus is trusted.
	Keys [][]byte
	// Address is where this node can be reached. It is only shown to people.
	Address string
	// URL is where other nodes reach [Broker.Handler], such as
	// "http://10.0.0.5:3000", so that clients may send each request to any node.
	// Empty if they can't: then all requests of a session must come to its node.
	URL string
	// Certificate returns the SHA-256 of the certificate that is served at an https
	// URL. Other nodes then accept it whatever it names. Nil if it is valid for the
	// URL.
	Certificate func() []byte
	// Now returns the time that messages to other nodes carry; [time.Now] by
	// default. It is for tests with clocks that differ.
	Now func() time.Time
	// Emitters receives the commands of the official Socket.IO emitters, which the
	// broker then carries out; nil for none. Whoever can publish to it is trusted.
	Emitters EmitterListener
}

// sharedKeys returns the keys that all nodes share, and that stay the same over a
// restart; none if there are no such keys.
func (o *Options) sharedKeys() [][]byte {
	if o.Cluster != nil && len(o.Cluster.Keys) > 0 {
		return o.Cluster.Keys
	}
	return o.Tokens.Derive("sala session secrets")
}

// largestMessage returns how many bytes nodes have to tell each other at once: a
// message, or all that a session holds.
func (o *Options) largestMessage() int64 {
	if o.Recovery == nil {
		return o.MaxMessageBytes
	}
	return max(o.MaxMessageBytes, o.Recovery.MaxBytes)
}

// relayByEvent returns the relay rules by the event that clients send.
func (o *Options) relayByEvent() map[string]RelayRule {
	rules := make(map[string]RelayRule, len(o.Relay))
	for _, rule := range o.Relay {
		rules[rule.Event] = rule
	}
	return rules
}

func (o *Options) setDefaults() {
	if len(o.Namespaces) == 0 {
		o.Namespaces = []string{"/"}
	}
	o.Path = cmp.Or(o.Path, "/socket.io/")
	o.Path = strings.TrimSuffix(o.Path, "/") + "/"
	o.PingInterval = cmp.Or(o.PingInterval, 25*time.Second)
	o.PingTimeout = cmp.Or(o.PingTimeout, 20*time.Second)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 10*time.Second)
	o.MaxMessageBytes = cmp.Or(o.MaxMessageBytes, 1_000_000)
	o.MaxQueueBytes = cmp.Or(o.MaxQueueBytes, 1<<20)
	o.SlowConsumers = cmp.Or(o.SlowConsumers, DisconnectSlow)
	o.MaxRoomsPerSocket = cmp.Or(o.MaxRoomsPerSocket, 1000)
	o.MaxAttachments = cmp.Or(o.MaxAttachments, defaultMaxAttachments)
	o.AckTimeout = cmp.Or(o.AckTimeout, 10*time.Second)
	o.Decisions.Timeout = cmp.Or(o.Decisions.Timeout, 5*time.Second)
	o.Decisions.Default = cmp.Or(o.Decisions.Default, RefuseUndecided)
	if o.Recovery != nil {
		o.Recovery = o.Recovery.withDefaults(o)
	}
	if o.History != nil {
		o.History = o.History.withDefaults()
	}
	o.Relay = slices.Clone(o.Relay)
	for i := range o.Relay {
		o.Relay[i].setDefaults()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// CheckPermissions returns an [Error] if a client can't have these permissions. Its
// fields have the prefix.
func (o *Options) CheckPermissions(prefix string, p Permissions) error {
	served := o.Namespaces
	if len(served) == 0 {
		served = []string{"/"}
	}
	var v violations
	p.validate(&v, prefix, served)
	return v.err()
}

// validate returns an [Error] whose fields are named as in the configuration file.
func (o *Options) validate() error {
	var v violations
	if o.Tokens == nil {
		v.add("jwt_secret", "a secret or a public key is needed to verify tokens")
	}
	for i, name := range o.Namespaces {
		if !strings.HasPrefix(name, "/") || len(name) > maxNameBytes || strings.ContainsAny(name, ",?# \t\r\n") {
			v.add(fmt.Sprintf("namespaces[%d]", i), "%q is not a namespace; one looks like / or /chat", name)
		} else if o.AdminUI != nil && name == adminui.Namespace {
			v.add(fmt.Sprintf("namespaces[%d]", i), "%q is the Admin UI's while admin_ui is on; choose another name", name)
		}
	}
	for i, origin := range o.AllowedOrigins {
		if err := cors.CheckOrigin(origin); err != nil {
			v.add(fmt.Sprintf("allowed_origins[%d]", i), "%s", err)
		}
	}
	for i, name := range o.AllowedHeaders {
		if !cors.ValidHeader(name) {
			v.add(fmt.Sprintf("allowed_headers[%d]", i), "%q is not the name of a header; one looks like X-Tenant-Id", name)
		}
	}
	if err := checkPath(o.Path); err != nil {
		v.add("path", "%s", err)
	}
	if o.PingInterval < 0 || o.PingTimeout < 0 || o.ConnectTimeout < 0 {
		v.add("ping_interval", "ping_interval, ping_timeout and connect_timeout must be above zero")
	}
	if o.MaxMessageBytes < 1024 || o.MaxMessageBytes > 100<<20 {
		v.add("max_message_bytes", "%d is not between 1024 and 104857600", o.MaxMessageBytes)
	}
	if o.MaxQueueBytes < 64<<10 || o.MaxQueueBytes > 1<<30 {
		v.add("max_queue_bytes", "%d is not between 65536 and 1073741824", o.MaxQueueBytes)
	}
	if o.MemoryLimit < 0 {
		v.add("memory_limit_bytes", "%d is below zero", o.MemoryLimit)
	}
	if o.SlowConsumers != DisconnectSlow && o.SlowConsumers != DropSlow {
		v.add("slow_consumers", "%q is neither \"disconnect\" nor \"drop\"", o.SlowConsumers)
	}
	if o.MaxRoomsPerSocket < 1 || o.MaxRoomsPerSocket > 1_000_000 {
		v.add("max_rooms_per_socket", "%d is not between 1 and 1000000", o.MaxRoomsPerSocket)
	}
	if o.MaxAttachments < 1 || o.MaxAttachments > 1000 {
		v.add("max_attachments", "%d is not between 1 and 1000", o.MaxAttachments)
	}
	o.Limits.validate(&v)
	if o.AckTimeout < 0 || o.Decisions.Timeout < 0 {
		v.add("ack_timeout", "ack_timeout and decide_timeout must be above zero")
	}
	if o.Decisions.Default != RefuseUndecided && o.Decisions.Default != AcceptUndecided {
		v.add("decide_default", "%q is neither \"refuse\" nor \"accept\"", o.Decisions.Default)
	}
	if o.IdempotencyWindow != 0 && (o.IdempotencyWindow < minKeyWindow || o.IdempotencyWindow > maxKeyWindow) {
		v.add("idempotency_window", "%s is neither 0s nor between %s and %s", o.IdempotencyWindow, minKeyWindow, maxKeyWindow)
	}
	if o.Recovery != nil {
		o.Recovery.validate(&v, o.Namespaces)
	}
	if o.History != nil {
		o.History.validate(&v, o.Namespaces)
	}
	if o.Anonymous != nil {
		o.Anonymous.validate(&v, "anonymous.", o.Namespaces)
	}
	o.DefaultPermissions.validate(&v, "default_permissions.", o.Namespaces)
	o.validateRelay(&v)
	o.validateRoomEvents(&v)
	return v.err()
}

func (o *Options) validateRoomEvents(v *violations) {
	r := &o.Rooms
	if r.JoinEvent != "" {
		validateEvent(v, "rooms.join_event", r.JoinEvent)
	}
	if r.LeaveEvent != "" {
		validateEvent(v, "rooms.leave_event", r.LeaveEvent)
		if r.LeaveEvent == r.JoinEvent {
			v.add("rooms.leave_event", "is the same as join_event")
		}
	}
	if r.Announce != nil {
		validateEvent(v, "rooms.announce.event", r.Announce.Event)
	}
	validateNames(v, "rooms.presence_rooms", r.PresenceRooms, validatePattern)
	if r.PresenceEvent != "" {
		validateEvent(v, "rooms.presence_event", r.PresenceEvent)
		if len(r.PresenceRooms) == 0 {
			v.add("rooms.presence_rooms", "list the rooms whose members get the presence_event, such as chat:**")
		}
	}
}
