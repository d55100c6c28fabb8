package server

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// envPodIP is the variable in which Kubernetes tells a pod its address, if the manifest asks for it.
const envPodIP = "POD_IP"

// routeTimeout is how long it may take to resolve the name of the Redis.
const routeTimeout = 2 * time.Second

// advertise returns the URL at which other nodes reach the public listener, and logs it.
func (s *Server) advertise(ctx context.Context, c *config.Cluster) string {
	if s.public == nil {
		return ""
	}
	host, source := s.advertisedHost(ctx, c)
	scheme := "http"
	if s.public.TLS != nil {
		scheme = "https"
	}
	at := url.URL{
		Scheme: cmp.Or(c.Advertise.Scheme, scheme),
		Host:   net.JoinHostPort(host, cmp.Or(c.Advertise.Port, strconv.Itoa(s.public.Port()))),
	}
	s.log.Info("other nodes reach this one at", "url", at.String(), "from", source)
	if isLoopback(host) && !isLoopback(redisHost(c.RedisURL)) {
		s.log.Warn("only nodes on this machine reach this one, so clients that a load balancer sends to nodes on other machines have to connect again; listen on an address that they reach, and set " + config.AdvertiseFlag + " if it isn't the right one")
	}
	return at.String()
}

// advertisedHost returns the host at which other nodes reach this one, and which setting says so.
func (s *Server) advertisedHost(ctx context.Context, c *config.Cluster) (host, source string) {
	if c.Advertise.Host != "" {
		return c.Advertise.Host, config.AdvertiseFlag
	}
	bound, _, _ := net.SplitHostPort(s.public.Bound()) // a bound address has both
	if ip, err := netip.ParseAddr(bound); err == nil && !ip.IsUnspecified() {
		return bound, config.PublicFlag
	}
	if pod, err := netip.ParseAddr(os.Getenv(envPodIP)); err == nil {
		return pod.String(), envPodIP
	}
	// Other nodes usually reach a node over the network over which it reaches the Redis. If the
	// Redis is on this machine, the others may be elsewhere all the same.
	if ip := routeTo(ctx, redisHost(c.RedisURL)); ip.IsValid() && !ip.IsLoopback() {
		return ip.String(), "the route to the Redis"
	}
	if ip := routeTo(ctx, "192.0.2.1"); ip.IsValid() { // RFC 5737: nobody has this address
		return ip.String(), "the default route"
	}
	return "127.0.0.1", "no network but this machine"
}

// routeTo returns the address from which this machine sends to a host; the zero address if it
// doesn't. Nothing is sent.
func routeTo(ctx context.Context, host string) netip.Addr {
	if host == "" {
		return netip.Addr{}
	}
	dialer := net.Dialer{Timeout: routeTimeout}
	nc, err := dialer.DialContext(ctx, "udp", net.JoinHostPort(host, "9"))
	if err != nil {
		return netip.Addr{}
	}
	defer func() { _ = nc.Close() }() // it has sent nothing
	from, err := netip.ParseAddrPort(nc.LocalAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap().WithZone("")
}

// redisHost returns the host of the URL of a Redis; empty if it is a socket of this machine.
func redisHost(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || strings.HasPrefix(u.Scheme, "unix") {
		return ""
	}
	return cmp.Or(u.Hostname(), "127.0.0.1")
}

// isLoopback reports whether a host is this machine only. The Redis of a socket is.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || host == "localhost" || err == nil && ip.IsLoopback()
}
