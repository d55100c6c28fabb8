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
	// ConnectionsPerIP bounds the connections of an address. HandshakesPerIP bounds
	// how many it may open in a second, and ten times as many at once. A /64 network
	// of IPv6 counts as one address.
	ConnectionsPerIP, HandshakesPerIP int64
	// Exempt are the networks to which the limits of an address don't apply. Nor do
	// they apply to trusted proxies.
	Exempt []netip.Prefix
	// ConnectionsPerUser bounds the sockets of a user in a namespace.
	ConnectionsPerUser int64
	// Namespaces bounds the namespaces in which a connection may have a socket.
	Namespaces int64
	// Events bounds the events that a connection may send in a second, and Bytes the
	// bytes that are read from it; twice as many at once, and always one message of
	// the largest size. A client that sends more bytes has to wait but loses none.
	Events, Bytes int64
	// Joins bounds how often a connection may join or leave a room in a second, and
	// ten times as often at once.
	Joins int64
}

// SlowConsumerPolicy says what happens to a client that doesn't read its messages
// as fast as they come.
type SlowConsumerPolicy string

// The policies for slow consumers. With either, a client that reads nothing for
// 10 s is disconnected.
const (
	// DisconnectSlow closes its connection. It reconnects with an empty queue.
	DisconnectSlow SlowConsumerPolicy = "disconnect"
	// DropSlow drops the messages that don't fit. It stays connected and misses
	// them.
	DropSlow SlowConsumerPolicy = "drop"
)

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

// maxRate bounds each of the limits.
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

// rates are the limits of what one connection sends. excess bounds the messages that
// exceed the others: a client that goes on after that is disconnected.
type rates struct{ events, bytes, joins, excess ratelimit.Rate }

func (o *Options) rates() rates {
	l := &o.Limits
	return rates{
		events: ratelimit.Rate{PerSecond: l.Events, Burst: 2 * l.Events},
		bytes:  ratelimit.Rate{PerSecond: l.Bytes, Burst: max(2*l.Bytes, o.MaxMessageBytes+maxConnectBytes)},
		joins:  ratelimit.Rate{PerSecond: l.Joins, Burst: min(10*l.Joins, ratelimit.MaxRate)},
		excess: ratelimit.Rate{PerSecond: 10, Burst: 100},
	}
}

// exempt returns the networks to which the limits of an address don't apply.
func (o *Options) exempt() []netip.Prefix { return slices.Concat(o.Limits.Exempt, o.TrustedProxies) }

// usage is how much of its limits a connection has used. The engine measures the
// bytes.
type usage struct{ events, joins, excess ratelimit.Bucket }

// maxConnectBytes is how large a CONNECT packet may be, so that a client with a
// token that is far too large gets an error rather than losing the connection.
const maxConnectBytes = 1 << 20

const (
	// Messages that have arrived in part may take 1/unfinishedShare of the memory
	// limit, and those of one address 1/addressShare of that.
	unfinishedShare, addressShare = 8, 4
	// unfinishedDefault is what they may take without a memory limit.
	unfinishedDefault = 256 << 20
)

// newHolds returns a counter for the bytes of messages that have arrived in part. A
// message of the largest size always fits.
func newHolds(b *Broker) *ratelimit.Holds {
	largest := b.opts.MaxMessageBytes + maxConnectBytes
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

// uptime is the clock of the limits.
func (b *Broker) uptime() time.Duration { return time.Since(b.started) }

// fairBacklog is the largest queue of a client that isn't cut when memory has been
// short for a while.
const fairBacklog = 64 << 10

// watchMemory starts to watch the memory of the process, if there is a limit.
//
// While memory is short, new connections and messages are refused, nobody is
// disconnected, and the queues are written. If memory stays short, clients that
// read too slowly have used it, and those with the longest queues are cut.
func (b *Broker) watchMemory() {
	if b.opts.MemoryLimit == 0 {
		return
	}
	b.memory = memwatch.Start(memwatch.Options{
		Limit:   b.opts.MemoryLimit,
		Changed: b.memoryChanged,
		Lasting: func() {
			if n := b.engine.CutBacklogs(fairBacklog); n > 0 {
				b.log.Warn("memory is still short: clients that read too slowly were cut", "clients", n)
			}
		},
	})
}

func (b *Broker) memoryChanged(short bool, used int64) {
	if short {
		b.log.Warn("memory is short: new clients and messages are refused", "used", used, "limit", b.opts.MemoryLimit)
	} else {
		b.log.Info("there is enough memory again", "used", used, "limit", b.opts.MemoryLimit)
	}
}

// Overloaded reports whether new clients and messages are refused because memory is
// short.
func (b *Broker) Overloaded() bool { return b.memory != nil && b.memory.Short() }

// checkLoad returns an error, and counts it, if messages are refused because memory
// is short.
func (b *Broker) checkLoad() *Error {
	if !b.Overloaded() {
		return nil
	}
	b.metrics.shed.Inc()
	return &Error{
		Code:    CodeResourceExhausted,
		Reason:  ReasonOverloaded,
		Message: "the broker is short of memory; try again in a moment, and send less at once",
	}
}

// dropOverloaded is how the metrics count messages of other nodes that are dropped
// because memory is short.
const dropOverloaded engineio.DropReason = "overloaded"
