package broker

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/socketio"
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

// usage is what a connection has taken of its limits. How many bytes it sends is
// the engine's to measure.
type usage struct{ events, joins, excess ratelimit.Bucket }

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

// exempt returns the addresses that have no limits of their own.
func (o *Options) exempt() []netip.Prefix { return slices.Concat(o.Limits.Exempt, o.TrustedProxies) }

// uptime is the time by which limits are measured.
func (b *Broker) uptime() time.Duration { return time.Since(b.started) }

// mayAct counts a packet that the client has sent of its own accord.
func (c *client) mayAct() bool { return c.usage.events.Take(c.b.rates.events, 1, c.b.uptime()) }

// mayJoin counts that the client wants to join or leave a room.
func (c *client) mayJoin() *Error {
	if c.usage.joins.Take(c.b.rates.joins, 1, c.b.uptime()) {
		return nil
	}
	return c.exceed(limitJoins)
}

// exceed counts that a client is over a limit, and disconnects one that goes on.
// It returns what to say to the client.
func (c *client) exceed(name string) *Error {
	err := &Error{Code: CodeResourceExhausted, Reason: ReasonRateLimited}
	switch name {
	case limitEvents:
		err.Message = fmt.Sprintf("more than %d events in a second; send them more slowly", c.b.opts.Limits.Events)
	case limitJoins:
		err.Message = fmt.Sprintf("more than %d rooms joined or left in a second; do it more slowly", c.b.opts.Limits.Joins)
	}
	c.b.metrics.exceeded(name)
	if !c.usage.excess.Take(c.b.rates.excess, 1, c.b.uptime()) {
		c.expel(err)
	}
	return err
}

// refuseExcess answers a packet that is over the limit of events.
func (c *client) refuseExcess(s *socket, p *socketio.Packet) {
	err := c.exceed(limitEvents)
	if p.Type == parser.CONNECT {
		c.refuse(p.Namespace, err.Reason, err)
		return
	}
	c.b.metrics.received(eventUnhandled, err)
	if s != nil && p.Type == parser.EVENT {
		s.answerEvent(p, nil, err)
	}
}

// expel ends the sockets of a client, which hears why, and its connection.
func (c *client) expel(err *Error) {
	c.b.log.Info("client cut", "address", c.conn.RemoteAddress(), "reason", err.Reason, "error", err)
	for _, s := range c.all() {
		s.disconnect(err.Reason, err.Message)
	}
	c.conn.CloseAfterFlush(engineio.ReasonRateLimited)
}
