package broker

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"

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
