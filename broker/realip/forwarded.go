// Package realip finds out from whom a request comes that proxies have passed
// on.
package realip

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// The headers of proxies that are understood. The one of RFC 7239 isn't: a proxy
// that writes one kind passes the other on as the client has made it up.
const (
	headerFor   = "X-Forwarded-For"
	headerProto = "X-Forwarded-Proto"
)

// Proxies are the networks of proxies that are believed what they say about their
// clients.
type Proxies []netip.Prefix

// Handler gives next requests whose RemoteAddr is the client's: the last address
// in X-Forwarded-For that isn't a proxy's. It has no port, as the port of a
// connection between proxies says nothing about the client, and IPv6 has no
// brackets. If a proxy says of its client what is no address, the client is the
// last hop that is known, written with the port 0: see [Unnamed].
// Whoever isn't such a proxy is the client, and the headers that it has sent are
// left out: next may believe those that it sees.
func (p Proxies) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, p.restore(r))
	})
}

// restore returns r, or a copy if something about it has to change.
func (p Proxies) restore(r *http.Request) *http.Request {
	if p.trust(Address(r.RemoteAddr)) {
		restored := r.WithContext(r.Context())
		client, named := p.client(Address(r.RemoteAddr), r.Header.Values(headerFor))
		restored.RemoteAddr = client.String()
		if !named {
			restored.RemoteAddr = netip.AddrPortFrom(client, unnamedPort).String()
		}
		return restored
	}
	if len(r.Header.Values(headerFor)) == 0 && len(r.Header.Values(headerProto)) == 0 {
		return r
	}
	restored := r.WithContext(r.Context())
	restored.Header = r.Header.Clone()
	restored.Header.Del(headerFor)
	restored.Header.Del(headerProto)
	return restored
}

// client walks from the proxy that has sent the request towards the client, as
// far as the hops can be believed. Each proxy has added whom it got it from. It
// is not named if the walk ended at a hop that can't be read: then the client is
// somebody behind the last one.
func (p Proxies) client(peer netip.Addr, lines []string) (client netip.Addr, named bool) {
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			var hop string
			if i := strings.LastIndexByte(line, ','); i >= 0 {
				line, hop = line[:i], line[i+1:]
			} else {
				hop, more = line, false
			}
			addr := Address(strings.TrimSpace(hop))
			if !addr.IsValid() {
				return peer, false
			}
			peer = addr
			if !p.trust(addr) {
				return peer, true
			}
		}
	}
	return peer, true
}

// unnamedPort is one that no connection has.
const unnamedPort = 0

// Unnamed returns the proxy that a client is behind, of a RemoteAddr that
// [Proxies.Handler] has written, if the proxy doesn't say who the client is.
// Whatever is allowed to proxies isn't meant for such a client.
func Unnamed(remoteAddr string) (proxy netip.Addr, ok bool) {
	at, err := netip.ParseAddrPort(remoteAddr)
	return at.Addr(), err == nil && at.Port() == unnamedPort
}

func (p Proxies) trust(addr netip.Addr) bool {
	return addr.IsValid() && slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// Secure reports whether the client's own connection is known to be encrypted, of
// a request that has passed through [Proxies.Handler].
func Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	lines := r.Header.Values(headerProto)
	return len(lines) > 0 && strings.EqualFold(strings.TrimSpace(lines[len(lines)-1]), "https")
}

// Address reads an address with or without a port, as in RemoteAddr; what can't
// be read isn't valid. An IPv4 address is one, also where it is written as IPv6, and
// none has a zone.
func Address(text string) netip.Addr {
	if full, err := netip.ParseAddrPort(text); err == nil {
		return full.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
