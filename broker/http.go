package broker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/cors"
	"github.com/salabroker/sala/broker/grace"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/realip"
)

// bodyTimeout is how long a client may take to send the body of a request.
const bodyTimeout = 10 * time.Second

// reasonOriginDenied is how the metrics count pages that may not connect.
const reasonOriginDenied = "ORIGIN_DENIED"

// publicHandler serves Socket.IO below its path, to pages of allowed origins.
// Stock clients leave out the "/" at the end with addTrailingSlash: false.
func (b *Broker) publicHandler(socketIO http.Handler) http.Handler {
	policy := cors.New(cors.Options{
		AllowedOrigins: b.opts.AllowedOrigins,
		AllowedHeaders: b.opts.AllowedHeaders,
		Refuse:         b.refuseOrigin,
	})
	path, served := b.opts.Path, policy.Handler(socketIO)
	mux := http.NewServeMux()
	mux.Handle(path, served)
	if path != "/" {
		mux.Handle(strings.TrimSuffix(path, "/"), served)
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusNotFound, "this is a Sala broker: connect a Socket.IO client, which sends its requests below "+path)
		})
	}
	return grace.LimitBodies(realip.Proxies(b.opts.TrustedProxies).Handler(mux), bodyTimeout)
}

// refuseOrigin answers a request that the origin policy doesn't pass on.
func (b *Broker) refuseOrigin(w http.ResponseWriter, r *http.Request, status int, message string) {
	if status == http.StatusForbidden {
		b.metrics.refused(reasonOriginDenied)
		b.log.Info("client refused", "reason", reasonOriginDenied, "origin", cors.Loggable(r.Header.Get("Origin")), "address", r.RemoteAddr)
	}
	refuse(w, status, message)
}

// refuse answers in the form of Engine.IO's own errors.
func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body, _ := json.Marshal(map[string]any{"code": 4, "message": message}) // a map of strings always encodes
	_, _ = w.Write(body)
}

// HealthPaths returns the paths of the public listener that Socket.IO can't use
// because health checks may be served there.
func HealthPaths() []string { return []string{"/livez", "/readyz"} }

// checkPath returns an error if clients couldn't connect below path. The path ends
// with "/".
func checkPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("%q doesn't begin with /; a path looks like /socket.io/", strings.TrimSuffix(path, "/"))
	case len(path) > maxNameBytes:
		return fmt.Errorf("the path has %d bytes; at most %d are allowed", len(path), maxNameBytes)
	case slices.Contains(HealthPaths(), strings.TrimSuffix(path, "/")):
		return fmt.Errorf("%q is a path of health checks; choose another, such as /socket.io/", path)
	case path == "/":
		return nil
	}
	for segment := range strings.SplitSeq(path[1:len(path)-1], "/") {
		if strings.Trim(segment, ".") == "" || strings.ContainsFunc(segment, isOutOfPath) {
			return fmt.Errorf("%q has an empty part, or characters other than letters, digits, '-', '_', '.' and '~'; a path looks like /socket.io/", path)
		}
	}
	return nil
}

func isOutOfPath(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !letter && !strings.ContainsRune("-_.~", r)
}

// admission lets in as many connections as there may be. It implements
// [engineio.Admission].
type admission struct {
	b         *Broker
	addresses *ratelimit.Addresses
	unnamed   *ratelimit.Addresses // of proxies, for the clients that they don't name
	told      atomic.Int64         // when the log had the last refusal, as uptime
}

// refusalLogGap is the time between two refusals in the log: there may be any
// number of them.
const refusalLogGap = time.Second

// retryAfter is when a client that is refused may try again.
const retryAfter = 5 * time.Second

func newAdmission(b *Broker) *admission {
	l := &b.opts.Limits
	o := ratelimit.AddressOptions{
		PerAddress: int(l.ConnectionsPerIP),
		Handshakes: ratelimit.Rate{PerSecond: l.HandshakesPerIP, Burst: min(10*l.HandshakesPerIP, ratelimit.MaxRate)},
	}
	a := &admission{b: b, unnamed: ratelimit.NewAddresses(o)}
	o.Exempt = b.opts.exempt()
	a.addresses = ratelimit.NewAddresses(o)
	return a
}

// counted returns as whom a client is counted, and by whom. Clients that a proxy
// doesn't name are one together, which isn't exempt as the proxy is.
func (a *admission) counted(remoteAddr string) (*ratelimit.Addresses, netip.Addr) {
	if proxy, ok := realip.Unnamed(remoteAddr); ok {
		return a.unnamed, proxy
	}
	return a.addresses, realip.Address(remoteAddr)
}

// Admit implements [engineio.Admission].
func (a *admission) Admit(w http.ResponseWriter, r *http.Request) bool {
	if a.b.Overloaded() {
		a.b.metrics.refused(ReasonOverloaded)
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		refuse(w, http.StatusServiceUnavailable, "the broker is short of memory; try again in a moment")
		return false
	}
	addresses, from := a.counted(r.RemoteAddr)
	switch addresses.Enter(from) {
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

// leave counts that a connection of the address has ended.
func (a *admission) leave(address string) {
	addresses, from := a.counted(address)
	addresses.Leave(from)
}

func (a *admission) refuse(w http.ResponseWriter, r *http.Request, name, reason, message string) {
	a.b.metrics.exceeded(name)
	a.b.metrics.refused(reason)
	now := a.b.uptime()
	if last := time.Duration(a.told.Load()); now-last >= refusalLogGap && a.told.CompareAndSwap(int64(last), int64(now)) {
		a.b.log.Info("client refused", "reason", reason, "limit", name, "address", r.RemoteAddr,
			"note", "further refusals within a second are only counted; if this is the address of a proxy, add it to the trusted proxies")
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	refuse(w, http.StatusTooManyRequests, message)
}
