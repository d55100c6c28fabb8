package broker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/salabroker/sala/broker/rawjson"
	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/socketio"
	"github.com/salabroker/sala/broker/token"
)

// connect lets the client into a namespace or tells it why not: it gets
// connect_error with data {code, message}.
func (c *client) connect(p *socketio.Packet) {
	ns, ok := c.b.namespaces[p.Namespace]
	if !ok {
		c.refuse(p.Namespace, ReasonNamespaceNotFound, &Error{Code: CodeNotFound, Reason: ReasonNamespaceNotFound, Message: "Invalid namespace"})
		return
	}
	if c.full() {
		c.b.metrics.exceeded(limitNamespaces)
		c.refuse(ns.name, ReasonTooManyNamespaces, &Error{
			Code: CodeResourceExhausted, Reason: ReasonTooManyNamespaces,
			Message: fmt.Sprintf("a connection may be in %d namespaces; leave one first", c.b.opts.Limits.Namespaces),
		})
		return
	}
	claims, err := c.b.authenticate(ns, c.token, p)
	if err != nil {
		c.refuse(ns.name, err.Reason, err)
		return
	}
	c.decide(newSocket(c, ns, claims, p))
}

// admit lets a socket in. It reports false if the connection has ended, or if the
// user has too many sockets, which the client hears.
//
// In a cluster, before the socket is in, this node hears what others send to it:
// the first of a user or a room waits for that, as long as it takes to tell Redis.
func (c *client) admit(s *socket) bool {
	release := c.b.listen(append(s.topics(), roomTopics(s.ns.name, s.claims.Rooms)...)...)
	defer release()
	attached, refused := c.attach(s, s.enter)
	if refused != nil {
		c.b.metrics.exceeded(limitConnectionsPerUser)
		c.refuse(s.ns.name, refused.Reason, refused)
	}
	if !attached {
		return false
	}
	// What has changed since the token was checked may not have found the socket.
	s.checkRevoked()
	if c.b.draining.Load() {
		c.sendAway()
	}
	return true
}

// connectError is what a CONNECT_ERROR packet carries. Stock clients make
// message the error's, and data its data.
func connectError(err *Error) json.RawMessage {
	object, _ := json.Marshal(struct { // strings always encode
		Message string    `json:"message"`
		Data    errorBody `json:"data"`
	}{err.Message, errorBody{Code: err.Reason, Message: err.Message}})
	return object
}

// authenticate decides whether a client may connect to a namespace. fallback
// is the token that came with the connection, for clients that send none as
// auth.
func (b *Broker) authenticate(ns *namespace, fallback string, p *socketio.Packet) (token.Claims, *Error) {
	if b.draining.Load() {
		return token.Claims{}, &Error{
			Code: CodeUnavailable, Reason: ReasonDraining, Message: "the broker is shutting down; reconnect in a moment",
		}
	}
	if p.AuthTooLarge {
		return token.Claims{}, &Error{
			Code:    CodeUnauthenticated,
			Reason:  token.ReasonTooLarge,
			Message: fmt.Sprintf("what the client sent as auth is too large; a token has at most %d bytes", b.opts.Tokens.MaxBytes()),
		}
	}
	raw := p.Token
	if raw == "" {
		raw = fallback
	}
	claims, err := b.claimsOf(raw)
	if err != nil {
		return token.Claims{}, err
	}
	return claims, checkNamespace(ns, claims.Grant)
}

// checkNamespace refuses a token that is for other namespaces.
func checkNamespace(ns *namespace, g token.Grant) *Error {
	if !allowsNamespace(g, ns.name) {
		return denied(ReasonNamespaceDenied, "the token doesn't allow the namespace %q", ns.name)
	}
	return nil
}

func allowsNamespace(g token.Grant, name string) bool {
	return len(g.Namespaces) == 0 || slices.Contains(g.Namespaces, name)
}

// otherAuthBytes is how much a client may send as auth beside its token.
const otherAuthBytes = 8 << 10

// maxAuthBytes is how much a client may send as auth.
func (o *Options) maxAuthBytes() int { return o.Tokens.MaxBytes() + otherAuthBytes }

// connectOverhead is more than stands around the auth in a CONNECT packet: so much
// of one is enough to read it, or to see that what it carries is too large.
const connectOverhead = 1 << 10

// otherAuth returns what a client has sent as auth beside its token; nil if
// that is nothing.
func otherAuth(p *socketio.Packet) json.RawMessage {
	if len(p.Auth) <= len(`{"token":""}`)+len(p.Token) {
		return nil
	}
	others := make(map[string]json.RawMessage)
	for name, value := range rawjson.Members(p.Auth) {
		// Who has misspelt it hasn't meant it for backends either.
		if !strings.EqualFold(string(name), "token") {
			others[string(name)] = value
		}
	}
	if len(others) == 0 {
		return nil
	}
	text, _ := json.Marshal(others) // it was JSON
	return text
}

// checkGrant refuses a token with which no client could connect, whatever the
// namespace. Tokens that are made elsewhere can hold anything.
func (b *Broker) checkGrant(g token.Grant) *Error {
	var v violations
	for _, room := range g.Rooms {
		validateRoom(&v, "rooms", room)
	}
	if len(v) > 0 {
		return invalidToken("the token names a room that can't exist")
	}
	if len(g.Rooms) > b.opts.MaxRoomsPerSocket {
		return tooManyRooms(b.opts.MaxRoomsPerSocket)
	}
	for _, pattern := range slices.Concat(g.Join, g.Publish) {
		if _, err := room.Parse(pattern); err != nil {
			return invalidToken("the token has a pattern of rooms under join or publish that names none: a * stands at the end of a segment, ** at the end of the pattern")
		}
	}
	if !slices.ContainsFunc(b.namespaceNames, func(name string) bool { return allowsNamespace(g, name) }) {
		return denied(ReasonNamespaceDenied, "the token allows only namespaces that this broker doesn't have")
	}
	return nil
}

func invalidToken(message string) *Error {
	return &Error{Code: CodeUnauthenticated, Reason: token.ReasonInvalid, Message: message}
}

// claimsOf returns what the token grants or, if there is none, what clients
// without one may do.
func (b *Broker) claimsOf(raw string) (token.Claims, *Error) {
	if raw == "" && b.opts.Anonymous != nil {
		claims := token.Claims{Grant: b.opts.Anonymous.grant()}
		return claims, b.checkGrant(claims.Grant)
	}
	return b.verify(raw)
}
