package broker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cors"
	"github.com/salabroker/sala/broker/ratelimit"
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

// RoomEvents names the events with which clients join and leave rooms. An
// empty name turns the event off.
type RoomEvents struct {
	JoinEvent, LeaveEvent string
	// Announce tells a room who joined and left; nil doesn't.
	Announce *Announcement
}

// Announcement is what a room hears. In its texts {user} is the token's user,
// {username} what the client called itself in its join (the user, if it said
// nothing), {room} the room.
type Announcement struct {
	// Event is the event's name; the text is its one argument.
	Event string
	// Joined and Left are the texts; an empty one is not sent.
	Joined, Left string
}

// DecisionOptions says how backends decide who may connect; see
// [SubscribeOptions.Decide]. It is asked after the token is found good.
type DecisionOptions struct {
	// Timeout is how long they may take; 5 s by default.
	Timeout time.Duration
	// Default is what happens without an answer; RefuseUndecided by default.
	Default Undecided
	// Required refuses clients while no backend is there that decides. Without
	// it, they are let in by their token alone then.
	Required bool
}

// Undecided says what becomes of a client about whom a backend was asked that
// didn't answer in time.
type Undecided string

// What may become of them.
const (
	RefuseUndecided Undecided = "refuse"
	AcceptUndecided Undecided = "accept"
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

// EmitterListener hears what the official Socket.IO emitters publish.
type EmitterListener interface {
	// Listen hands what is published to channels that match one of the patterns
	// to the receiver, one at a time, until ctx ends.
	Listen(ctx context.Context, patterns []string, receiver cluster.Receiver)
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
	setDefault(&o.Path, "/socket.io/")
	o.Path = strings.TrimSuffix(o.Path, "/") + "/"
	setDefault(&o.PingInterval, 25*time.Second)
	setDefault(&o.PingTimeout, 20*time.Second)
	setDefault(&o.ConnectTimeout, 10*time.Second)
	setDefault(&o.MaxMessageBytes, 1_000_000)
	setDefault(&o.MaxQueueBytes, 1<<20)
	setDefault(&o.SlowConsumers, DisconnectSlow)
	setDefault(&o.MaxRoomsPerSocket, 1000)
	setDefault(&o.MaxAttachments, defaultMaxAttachments)
	setDefault(&o.AckTimeout, 10*time.Second)
	setDefault(&o.Decisions.Timeout, 5*time.Second)
	setDefault(&o.Decisions.Default, RefuseUndecided)
	o.Relay = slices.Clone(o.Relay)
	for i := range o.Relay {
		o.Relay[i].setDefaults()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
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

func (o *Options) messageLimits() MessageLimits {
	return MessageLimits{Bytes: o.MaxMessageBytes, Attachments: o.MaxAttachments}
}

func (o *Options) rates() rates {
	l := &o.Limits
	return rates{
		events: ratelimit.Rate{PerSecond: l.Events, Burst: 2 * l.Events},
		bytes:  ratelimit.Rate{PerSecond: l.Bytes, Burst: max(2*l.Bytes, o.MaxMessageBytes+oversizeHandshake)},
		joins:  ratelimit.Rate{PerSecond: l.Joins, Burst: min(10*l.Joins, ratelimit.MaxRate)},
		excess: ratelimit.Rate{PerSecond: 10, Burst: 100},
	}
}

// exempt returns the addresses that have no limits of their own.
func (o *Options) exempt() []netip.Prefix { return slices.Concat(o.Limits.Exempt, o.TrustedProxies) }

// maxAuthBytes is how much a client may send as auth.
func (o *Options) maxAuthBytes() int { return o.Tokens.MaxBytes() + otherAuthBytes }
