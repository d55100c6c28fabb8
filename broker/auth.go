package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/salabroker/sala/broker/rawjson"
	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/socketio"
	"github.com/salabroker/sala/broker/token"
)

// Permissions says what a client may do.
type Permissions struct {
	// Namespaces limits where the client may connect; empty means anywhere.
	Namespaces []string
	// Rooms are joined when the client connects.
	Rooms []string
	// Join and Publish hold patterns of the rooms that the client may join
	// and relay into.
	Join, Publish []string
	// Broadcast says whether the client may relay to everyone.
	Broadcast bool
}

func (p Permissions) grant() token.Grant {
	return token.Grant{
		Namespaces: p.Namespaces,
		Rooms:      p.Rooms,
		Join:       p.Join,
		Publish:    p.Publish,
		Broadcast:  p.Broadcast,
	}
}

// validate adds to v whatever is wrong with p in a broker that serves the
// namespaces.
func (p *Permissions) validate(v *violations, prefix string, served []string) {
	for i, name := range p.Namespaces {
		if !slices.Contains(served, name) {
			v.add(fmt.Sprintf("%snamespaces[%d]", prefix, i), "%q is none of this broker's namespaces: %v", name, served)
		}
	}
	validateNames(v, prefix+"rooms", p.Rooms, validateRoom)
	validateNames(v, prefix+"join", p.Join, validatePattern)
	validateNames(v, prefix+"publish", p.Publish, validatePattern)
}

func validatePattern(v *violations, field, p string) {
	if _, err := room.ParsePattern(p); err != nil {
		v.add(field, "%s", err)
	}
}

// otherAuthBytes is how much a client may send as auth beside its token.
const otherAuthBytes = 8 << 10

// maxAuthBytes is how much a client may send as auth.
func (o *Options) maxAuthBytes() int { return o.Tokens.MaxBytes() + otherAuthBytes }

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

// connectOverhead is more than stands around the auth in a CONNECT packet: so much
// of one is enough to read it, or to see that what it carries is too large.
const connectOverhead = 1 << 10

// verify is VerifyToken with the error's type. It decides for everybody:
// connects, fresh tokens and callers who ask.
func (b *Broker) verify(raw string) (token.Claims, *Error) {
	if raw == "" {
		return token.Claims{}, &Error{
			Code:    CodeUnauthenticated,
			Reason:  ReasonTokenRequired,
			Message: "a token is needed: connect with io(url, {auth: {token}})",
		}
	}
	claims, err := b.opts.Tokens.Verify(raw)
	if err != nil {
		var refusal *token.Refusal
		if !errors.As(err, &refusal) {
			return token.Claims{}, &Error{Code: CodeInternal, Message: "the token could not be verified: " + err.Error()}
		}
		code := CodeUnauthenticated
		if refusal.Reason == token.ReasonKeysUnavailable {
			code = CodeUnavailable
		}
		return token.Claims{}, &Error{Code: code, Reason: refusal.Reason, Message: refusal.Message}
	}
	if !claims.Scoped {
		claims.Grant = b.opts.DefaultPermissions.grant()
	}
	if err := b.checkGrant(claims.Grant); err != nil {
		return token.Claims{}, err
	}
	return claims, nil
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
		if _, err := room.ParsePattern(pattern); err != nil {
			return invalidToken("the token has a pattern of rooms under join or publish that names none: a * stands at the end of a segment, ** at the end of the pattern")
		}
	}
	if !slices.ContainsFunc(b.namespaceNames, func(name string) bool { return allowsNamespace(g, name) }) {
		return denied(ReasonNamespaceDenied, "the token allows only namespaces that this broker doesn't have")
	}
	return nil
}

func allowsNamespace(g token.Grant, name string) bool {
	return len(g.Namespaces) == 0 || slices.Contains(g.Namespaces, name)
}

// checkNamespace refuses a token that is for other namespaces.
func checkNamespace(g token.Grant, name string) *Error {
	if !allowsNamespace(g, name) {
		return denied(ReasonNamespaceDenied, "the token doesn't allow the namespace %q", name)
	}
	return nil
}
