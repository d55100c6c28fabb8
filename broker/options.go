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

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cors"
	"github.com/salabroker/sala/broker/token"
)

// Options configures a [Broker]. [New] fills in the defaults that are named
// here and refuses what can't work.
type Options struct {
	// Namespaces are the ones that exist; none means "/" alone.
	Namespaces []string
	// Tokens issues and checks tokens. Required.
	Tokens *token.Keyring
	// Anonymous is what clients without a token may do; nil refuses them.
	Anonymous *Permissions
	// DefaultPermissions is what a client may do whose token carries no
	// permissions of Sala's, because it was made elsewhere.
	DefaultPermissions Permissions
	// AllowedOrigins are the browser origins, such as "https://example.com",
	// that may connect beside the broker's own. "https://*.example.com" allows
	// all subdomains, at any depth, and not example.com itself; "*" allows any
	// origin.
	AllowedOrigins []string
	// AllowedHeaders are the headers that pages of allowed origins may send with
	// requests of their own making, beside Authorization and Content-Type; "*"
	// allows any.
	AllowedHeaders []string
	// Path is below what clients connect; "/socket.io/" by default. A "/" at its
	// end is added.
	Path string
	// PingInterval, PingTimeout and ConnectTimeout default to 25 s, 20 s and
	// 10 s.
	PingInterval, PingTimeout, ConnectTimeout time.Duration
	// DrainSpread is over how long clients are sent away when the broker
	// drains, so that they don't all come back at once; zero means at once.
	DrainSpread time.Duration
	// MaxMessageBytes bounds one message, whoever sends it; 1,000,000 by
	// default.
	MaxMessageBytes int64
	// MaxQueueBytes bounds what may wait to be written to one client; 1 MiB by
	// default. One message of the largest size always fits.
	MaxQueueBytes int64
	// MemoryLimit is how much memory the process may use, in bytes: near it, new
	// clients and messages are refused until some is free again. Zero means that
	// nobody looks.
	MemoryLimit int64
	// SlowConsumers says what happens to a client whose queue is full;
	// DisconnectSlow by default.
	SlowConsumers SlowConsumerPolicy
	// MaxRoomsPerSocket bounds in how many rooms a socket may be; 1000 by
	// default.
	MaxRoomsPerSocket int
	// MaxAttachments bounds how many attachments a message has, whoever sends it;
	// 64 by default.
	MaxAttachments int
	// Limits bounds what clients may take beside that.
	Limits Limits
	// TrustedProxies are the networks of proxies that are believed what they say
	// about their clients, in X-Forwarded-For and X-Forwarded-Proto.
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
	// Cluster makes the broker one node of several; nil for one alone.
	Cluster *ClusterOptions
	// Logger gets what happens; nil discards it.
	Logger *slog.Logger
	// Metrics gets the broker's collectors; nil means none are registered.
	Metrics prometheus.Registerer
	// Version is what nodes report.
	Version string
}

// SlowConsumerPolicy says what happens to a client that doesn't take its
// messages as fast as they come.
type SlowConsumerPolicy string

// The policies for slow consumers. With either, one that takes nothing at all
// for 10 s is disconnected.
const (
	// DisconnectSlow ends its connection: it comes back and starts afresh.
	DisconnectSlow SlowConsumerPolicy = "disconnect"
	// DropSlow drops the messages that don't fit: it stays, with gaps.
	DropSlow SlowConsumerPolicy = "drop"
)

// ClusterOptions makes a broker of several nodes.
type ClusterOptions struct {
	// Bus carries what the nodes say to each other. Required.
	Bus cluster.Bus
	// Name tells clusters apart that share a bus; "sala" by default.
	Name string
	// Keys, of at least 32 bytes each, sign what nodes say: the first signs, all
	// are believed. Without any everybody who can reach the bus is trusted.
	Keys [][]byte
	// Address is where this node can be reached, for people.
	Address string
	// Now tells the time that messages to other nodes carry; by default [time.Now]. It is
	// for tests of clocks that differ.
	Now func() time.Time
	// Emitters hears the official Socket.IO emitters, which the broker obeys then;
	// nil for none. Whoever can publish to it is trusted.
	Emitters EmitterListener
}

// relayByEvent has the relay rules by what clients send.
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
	o.Relay = slices.Clone(o.Relay)
	for i := range o.Relay {
		o.Relay[i].setDefaults()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// CheckPermissions returns an [Error] if permissions can't be those of a client,
// with fields whose names begin with prefix.
func (o *Options) CheckPermissions(prefix string, p Permissions) error {
	served := o.Namespaces
	if len(served) == 0 {
		served = []string{"/"}
	}
	var v violations
	p.validate(&v, prefix, served)
	return v.err()
}

// validate returns an [Error] whose fields are named as in the YAML file.
func (o *Options) validate() error {
	var v violations
	if o.Tokens == nil {
		v.add("jwt_secret", "a secret or a public key is needed to check tokens with")
	}
	for i, name := range o.Namespaces {
		if !strings.HasPrefix(name, "/") || len(name) > maxNameBytes || strings.ContainsAny(name, ",?# \t\r\n") {
			v.add(fmt.Sprintf("namespaces[%d]", i), "%q is no namespace; one looks like / or /chat", name)
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
}
