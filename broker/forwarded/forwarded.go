// Package forwarded finds out from whom a request comes that proxies have passed
// on.
package forwarded

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
// brackets.
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
		restored.RemoteAddr = Address(p.client(r.RemoteAddr, r.Header.Values(headerFor))).String()
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
// far as the hops can be believed. Each proxy has added whom it got it from.
func (p Proxies) client(peer string, lines []string) string {
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			var hop string
			if i := strings.LastIndexByte(line, ','); i >= 0 {
				line, hop = line[:i], line[i+1:]
			} else {
				hop, more = line, false
			}
			hop = strings.TrimSpace(hop)
			addr := Address(hop)
			if !addr.IsValid() {
				return peer // a proxy that says nothing of use: nobody behind it is known
			}
			peer = hop
			if !p.trust(addr) {
				return peer
			}
		}
	}
	return peer
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
