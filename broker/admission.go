package broker

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/realip"
)

// writeRefusal answers a request in the form of Engine.IO's own errors.
func writeRefusal(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body, _ := json.Marshal(map[string]any{"code": 4, "message": message}) // strings and numbers always encode
	_, _ = w.Write(body)
}

// admission limits the connections of addresses, and the sockets whose clients have
// lost theirs. It implements [engineio.Admission].
type admission struct {
	b           *Broker
	connections addressLimits
	away        addressLimits // sockets whose clients are away
	logged      atomic.Int64  // when the last refusal was logged, as uptime
}

// addressLimits counts something by the address of clients.
type addressLimits struct {
	addresses *ratelimit.Addresses
	unnamed   *ratelimit.Addresses // of proxies, for clients whose address they don't forward
}

// refusalLogGap is the time between two refusals in the log, because there may be
// any number of them.
const refusalLogGap = time.Second

// retryAfter is when a client that is refused may try again.
const retryAfter = 5 * time.Second

func newAdmission(b *Broker) *admission {
	l, exempt := &b.opts.Limits, b.opts.exempt()
	return &admission{
		b: b,
		connections: newAddressLimits(exempt, ratelimit.AddressOptions{
			PerAddress: int(l.ConnectionsPerIP),
			Handshakes: ratelimit.Rate{PerSecond: l.HandshakesPerIP, Burst: min(10*l.HandshakesPerIP, ratelimit.MaxRate)},
		}),
		// All connections that an address may have can be lost at once.
		away: newAddressLimits(exempt, ratelimit.AddressOptions{PerAddress: int(l.ConnectionsPerIP) * len(b.namespaces)}),
	}
}

func newAddressLimits(exempt []netip.Prefix, o ratelimit.AddressOptions) addressLimits {
	unnamed := ratelimit.NewAddresses(o)
	o.Exempt = exempt
	return addressLimits{addresses: ratelimit.NewAddresses(o), unnamed: unnamed}
}

// counted returns the address that a client counts as, and its counters. Clients
// whose address a proxy doesn't forward count as one, which isn't exempt as the
// proxy is.
func (l addressLimits) counted(remoteAddr string) (*ratelimit.Addresses, netip.Addr) {
	if proxy, ok := realip.Unnamed(remoteAddr); ok {
		return l.unnamed, proxy
	}
	return l.addresses, realip.Address(remoteAddr)
}

// enter counts one more of a client's address, unless the verdict is against it.
func (l addressLimits) enter(remoteAddr string) ratelimit.Verdict {
	addresses, from := l.counted(remoteAddr)
	return addresses.Enter(from)
}

// leave uncounts one that has been admitted.
func (l addressLimits) leave(remoteAddr string) {
	addresses, from := l.counted(remoteAddr)
	addresses.Leave(from)
}

// Admit implements [engineio.Admission].
func (a *admission) Admit(w http.ResponseWriter, r *http.Request) bool {
	if a.b.Overloaded() {
		const message = "the broker is short of memory; try again in a moment"
		a.b.metrics.refused(ReasonOverloaded)
		a.b.noteRefused("", "", r.RemoteAddr, ReasonOverloaded, message)
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		writeRefusal(w, http.StatusServiceUnavailable, message)
		return false
	}
	switch a.connections.enter(r.RemoteAddr) {
	case ratelimit.TooMany:
		a.refuse(w, r, limitConnectionsPerIP, ReasonTooManyConnections,
			"too many connections from this address")
	case ratelimit.TooOften:
		a.refuse(w, r, limitHandshakesPerIP, ReasonRateLimited,
			"this address connects too often")
	default:
		return true
	}
	return false
}

// Abandon implements [engineio.Admission].
func (a *admission) Abandon(r *http.Request) { a.leave(r.RemoteAddr) }

// leave counts that a connection of an address has ended.
func (a *admission) leave(address string) { a.connections.leave(address) }

func (a *admission) refuse(w http.ResponseWriter, r *http.Request, name, reason, message string) {
	a.b.metrics.exceeded(name)
	a.b.metrics.refused(reason)
	a.b.noteLimit(name, "", "", r.RemoteAddr, &Error{Code: CodeResourceExhausted, Reason: reason, Message: message})
	a.b.noteRefused("", "", r.RemoteAddr, reason, message)
	now := a.b.uptime()
	if last := time.Duration(a.logged.Load()); now-last >= refusalLogGap && a.logged.CompareAndSwap(int64(last), int64(now)) {
		a.b.log.Info("client refused", "reason", reason, "limit", name, "address", r.RemoteAddr,
			"note", "further refusals within a second are only counted; if this is the address of a proxy, add it to the trusted proxies")
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	writeRefusal(w, http.StatusTooManyRequests, message)
}
