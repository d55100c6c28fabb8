// Package realip finds the client behind trusted proxies, and reads addresses.
package realip

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// The headers of proxies. No address is read from Forwarded (RFC 7239): a proxy that writes one kind
// of header passes on the other as the client sent it.
const (
	headerFor       = "X-Forwarded-For"
	headerProto     = "X-Forwarded-Proto"
	headerForwarded = "Forwarded"
)

// forwardedKey is the key of a request's context that says that X-Forwarded-For was removed.
type forwardedKey struct{}

// Proxies are the networks of the proxies whose X-Forwarded-* headers are trusted.
type Proxies []netip.Prefix

// Handler returns a handler that calls next with requests whose RemoteAddr is the client's: the
// last address in X-Forwarded-For that isn't a trusted proxy's. It has no port, because the port of
// a connection between proxies says nothing about the client, and IPv6 addresses have no brackets.
//
// If a proxy names its client by something other than an address, RemoteAddr is the last known hop
// with port 0: see [Unnamed].
//
// A peer that isn't a trusted proxy is itself the client. Its X-Forwarded-* headers are removed, so
// next can trust those that it sees.
func (p Proxies) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, p.resolve(r))
	})
}

// resolve returns r, or a changed copy.
func (p Proxies) resolve(r *http.Request) *http.Request {
	if p.trust(Address(r.RemoteAddr)) {
		resolved := r.WithContext(r.Context())
		client, named := p.client(Address(r.RemoteAddr), r.Header.Values(headerFor))
		resolved.RemoteAddr = client.String()
		if !named {
			resolved.RemoteAddr = netip.AddrPortFrom(client, unnamedPort).String()
		}
		return resolved
	}
	if len(r.Header.Values(headerFor)) == 0 && len(r.Header.Values(headerProto)) == 0 {
		return r
	}
	ctx := r.Context()
	if r.Header.Get(headerFor) != "" {
		ctx = context.WithValue(ctx, forwardedKey{}, true)
	}
	resolved := r.WithContext(ctx)
	resolved.Header = r.Header.Clone()
	resolved.Header.Del(headerFor)
	resolved.Header.Del(headerProto)
	return resolved
}

// Forwarded reports whether a request comes through a proxy, trusted or not, as far as the proxy says
// so. Clients can say so as well, so it must give them no advantage.
func Forwarded(r *http.Request) bool {
	return r.Header.Get(headerFor) != "" || r.Header.Get(headerForwarded) != "" || r.Context().Value(forwardedKey{}) != nil
}

// client follows X-Forwarded-For from the proxy that sent the request towards the client, as far as
// the hops are trusted proxies: each appends the address that it got the request from. named is
// false if it ends at a hop that isn't an address. The client is then somewhere behind the last
// known one.
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

// unnamedPort is a port that no connection has.
const unnamedPort = 0

// Unnamed returns the proxy in front of a client whose proxy doesn't give its address. remoteAddr
// is one that [Proxies.Handler] has set. Such a client must not get what is allowed to the proxy
// itself, such as an exemption from limits.
func Unnamed(remoteAddr string) (proxy netip.Addr, ok bool) {
	at, err := netip.ParseAddrPort(remoteAddr)
	return at.Addr(), err == nil && at.Port() == unnamedPort
}

func (p Proxies) trust(addr netip.Addr) bool {
	return addr.IsValid() && slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// Secure reports whether the client's own connection uses TLS. The request must have passed through
// [Proxies.Handler].
func Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	lines := r.Header.Values(headerProto)
	return len(lines) > 0 && strings.EqualFold(strings.TrimSpace(lines[len(lines)-1]), "https")
}

// Address parses an address with or without a port, as in RemoteAddr. The result isn't valid if
// text is no address. IPv4 addresses written as IPv6 become IPv4; zones are dropped.
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

// Network returns the addresses that are taken for one client: an IPv4 address alone, or the /64 of
// an IPv6 address, which is the least that a subscriber has (RFC 6177). It is the zero Prefix for
// an address that isn't valid.
func Network(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits) // fails only for an invalid address
	return network
}
