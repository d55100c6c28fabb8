package broker

import (
	"net/netip"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/memwatch"
	"github.com/salabroker/sala/broker/ratelimit"
)

// Limits bounds what clients may take of a node. Zero means no limit.
type Limits struct {
	// ConnectionsPerIP is how many an address may have, an IPv6 network of 64
	// bits counting as one, and HandshakesPerIP how often in a second it may ask
	// for one, ten times as many at once.
	ConnectionsPerIP, HandshakesPerIP int64
	// Exempt are the addresses that may have any number, as often as they like.
	// So may proxies that are trusted.
	Exempt []netip.Prefix
	// ConnectionsPerUser is how many sockets a user may have in a namespace.
	ConnectionsPerUser int64
	// Namespaces is in how many a connection may have a socket.
	Namespaces int64
	// Events is how many events a connection may send in a second, and Bytes how
	// much is read from it; twice as many at once, and one message of the largest
	// size always. A client that sends more bytes has to wait, and loses none.
	Events, Bytes int64
	// Joins is how often a connection may join or leave a room in a second, ten
	// times as often at once.
	Joins int64
}

// The limits as the metrics name them.
const (
	limitConnectionsPerIP   = "connections_per_ip"
	limitHandshakesPerIP    = "handshakes_per_ip"
	limitConnectionsPerUser = "connections_per_user"
	limitNamespaces         = "namespaces"
	limitEvents             = "events"
	limitBytes              = "bytes"
	limitUnfinished         = "unfinished_bytes"
	limitJoins              = "joins"
)

// maxRate bounds the limits for each second.
const maxRate = 1_000_000_000

func (l *Limits) validate(v *violations) {
	for _, n := range []struct {
		field string
		value int64
	}{
		{"max_connections_per_ip", l.ConnectionsPerIP},
		{"max_connections_per_user", l.ConnectionsPerUser},
		{"max_namespaces_per_connection", l.Namespaces},
		{"max_handshakes_per_ip", l.HandshakesPerIP},
		{"max_events_per_second", l.Events},
		{"max_bytes_per_second", l.Bytes},
		{"max_joins_per_second", l.Joins},
	} {
		if n.value < 0 || n.value > maxRate {
			v.add(n.field, "%d is not between 0, which means no limit, and %d", n.value, maxRate)
		}
	}
}

// rates are the limits of what one connection sends. excess is how many messages
// it may send that break them: whoever goes on after that is disconnected.
type rates struct{ events, bytes, joins, excess ratelimit.Rate }

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

// usage is what a connection has taken of its limits. How many bytes it sends is
// the engine's to measure.
type usage struct{ events, joins, excess ratelimit.Bucket }

// oversizeHandshake lets a CONNECT packet with an absurd token through, so
// that the client hears what is wrong rather than losing the connection.
const oversizeHandshake = 1 << 20

const (
	// unfinishedShare is what part of the memory limit messages may take that have
	// arrived in part, and addressShare what part of that those of one address.
	unfinishedShare, addressShare = 8, 4
	// unfinishedDefault is that for a process without a limit of its memory.
	unfinishedDefault = 256 << 20
)

// newHolds returns a count of the bytes of messages that have arrived in part. One
// message of the largest size always fits.
func newHolds(b *Broker) *ratelimit.Holds {
	largest := b.opts.MaxMessageBytes + oversizeHandshake
	total := int64(unfinishedDefault)
	if b.opts.MemoryLimit > 0 {
		total = b.opts.MemoryLimit / unfinishedShare
	}
	total = max(total, largest)
	return ratelimit.NewHolds(ratelimit.HoldOptions{
		Total:      total,
		PerAddress: max(total/addressShare, largest),
		Exempt:     b.opts.exempt(),
		Exceeded:   func() { b.metrics.exceeded(limitUnfinished) },
	})
}

// uptime is the time by which limits are measured.
func (b *Broker) uptime() time.Duration { return time.Since(b.started) }

// fairBacklog is how many bytes may wait for one client, once memory has been
// short for a while, before it counts as slow.
const fairBacklog = 64 << 10

// watchMemory begins to look at the memory of the process, if there is a limit.
//
// While it is short, nothing new is begun: new connections and messages are
// refused, and nobody who is connected is sent away. What waits in queues is
// written meanwhile. Where it isn't, as the client takes a little now and then,
// and memory stays short, that client is what has used it up.
func (b *Broker) watchMemory() {
	if b.opts.MemoryLimit == 0 {
		return
	}
	b.memory = memwatch.Start(memwatch.Options{
		Limit:   b.opts.MemoryLimit,
		Changed: b.memoryChanged,
		Lasting: func() {
			if n := b.engine.CutBacklogs(fairBacklog); n > 0 {
				b.log.Warn("memory is still short: clients were cut that are slow to take their messages", "clients", n)
			}
		},
	})
}

func (b *Broker) memoryChanged(short bool, used int64) {
	if short {
		b.log.Warn("memory is short: new clients and messages are refused", "used", used, "limit", b.opts.MemoryLimit)
	} else {
		b.log.Info("memory is enough again", "used", used, "limit", b.opts.MemoryLimit)
	}
}

// Overloaded reports whether memory is short, so that new clients and messages
// are refused.
func (b *Broker) Overloaded() bool { return b.memory != nil && b.memory.Short() }

// checkLoad returns the error for a message that is refused, and counts it.
func (b *Broker) checkLoad() *Error {
	if !b.Overloaded() {
		return nil
	}
	b.metrics.shed.Inc()
	return &Error{
		Code:    CodeResourceExhausted,
		Reason:  ReasonOverloaded,
		Message: "the broker is short of memory; send it again in a moment, and less at once",
	}
}

// dropOverloaded is how the metrics call the messages of other nodes that were
// dropped since memory is short.
const dropOverloaded engineio.DropReason = "overloaded"
