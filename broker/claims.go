package broker

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/token"
)

// socketClaims are the claims that a socket keeps, in less memory than [token.Claims]: the user is
// the socket's, times take a third, and sockets with the same grant share it.
type socketClaims struct {
	id              string
	issued, expires int64        // in microseconds since 1970; the zero time for none
	grant           *token.Grant // shared: never changed
}

// keepClaims returns the claims for a socket.
func (b *Broker) keepClaims(c token.Claims) socketClaims {
	return socketClaims{id: c.ID, issued: c.IssuedAt.UnixMicro(), expires: c.ExpiresAt.UnixMicro(), grant: b.grants.share(c.Grant)}
}

// of returns the claims of the socket's user as they were.
func (c *socketClaims) of(user string) token.Claims {
	return token.Claims{
		User: user, ID: c.id, IssuedAt: time.UnixMicro(c.issued), ExpiresAt: c.expiresAt(), Grant: *c.grant,
	}
}

// expiresAt returns when the claims expire; zero if they don't.
func (c *socketClaims) expiresAt() time.Time { return time.UnixMicro(c.expires) }

// grants finds the grants that sockets share. Many clients have the same one: that of anonymous
// clients, the default, or one from a few kinds of tokens. It keeps the last of each hash.
type grants struct {
	seed   maphash.Seed // static
	shared [256]atomic.Pointer[token.Grant]
}

// share returns a grant that equals g, for several sockets.
func (x *grants) share(g token.Grant) *token.Grant {
	place := &x.shared[x.hash(&g)%uint64(len(x.shared))]
	if known := place.Load(); known != nil && sameGrant(known, &g) {
		return known
	}
	kept := g // here, so that the others need no memory
	place.Store(&kept)
	return &kept
}

func (x *grants) hash(g *token.Grant) uint64 {
	var h maphash.Hash
	h.SetSeed(x.seed)
	for _, names := range grantNames(g) {
		for _, name := range names {
			_, _ = h.WriteString(name)
			_ = h.WriteByte(0)
		}
		_ = h.WriteByte(1)
	}
	_, _ = h.Write(g.Data)
	return h.Sum64()
}

func sameGrant(a, b *token.Grant) bool {
	of := grantNames(b)
	for i, names := range grantNames(a) {
		if !slices.Equal(names, of[i]) {
			return false
		}
	}
	return a.Broadcast == b.Broadcast && slices.Equal(a.Data, b.Data)
}

// grantNames returns the lists of a grant.
func grantNames(g *token.Grant) [6][]string {
	return [...][]string{g.Namespaces, g.Rooms, g.Join, g.Publish, g.History, g.Presence}
}

// claimsToWire describes claims to other nodes.
func claimsToWire(c *token.Claims) *wire.SessionClaims {
	grant, _ := json.Marshal(c.Grant) // strings always encode
	return &wire.SessionClaims{Id: c.ID, IssuedUnixNs: unixNano(c.IssuedAt), ExpiresUnixNs: unixNano(c.ExpiresAt), Grant: grant}
}

// claimsFromWire is the inverse of claimsToWire.
func claimsFromWire(user string, w *wire.SessionClaims) token.Claims {
	c := token.Claims{User: user, ID: w.GetId(), IssuedAt: fromUnixNano(w.GetIssuedUnixNs()), ExpiresAt: fromUnixNano(w.GetExpiresUnixNs())}
	_ = json.Unmarshal(w.GetGrant(), &c.Grant) // a node has encoded it
	return c
}

// sameClaims reports whether two nodes, or one at two times, have described the same claims.
func sameClaims(a, b *wire.SessionClaims) bool {
	return a.GetId() == b.GetId() && a.GetIssuedUnixNs() == b.GetIssuedUnixNs() &&
		a.GetExpiresUnixNs() == b.GetExpiresUnixNs() && bytes.Equal(a.GetGrant(), b.GetGrant())
}

// unixNano returns a time between nodes: 0 for none, and the last that there is, in 2262, for later
// ones.
func unixNano(t time.Time) int64 {
	last := time.Unix(0, math.MaxInt64)
	switch {
	case t.IsZero():
		return 0
	case t.After(last):
		return math.MaxInt64
	}
	return t.UnixNano()
}

func fromUnixNano(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
