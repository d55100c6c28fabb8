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
	// Namespaces are those to which the client may connect; empty means all.
	Namespaces []string
	// Rooms are the rooms that the client joins when it connects.
	Rooms []string
	// Join and Publish are patterns of the rooms that the client may join and relay
	// messages to.
	Join, Publish []string
	// History and Presence are patterns of the rooms whose history the client may read,
	// and in which it may see who is there.
	History, Presence []string
	// Broadcast says whether the client may relay messages to everyone.
	Broadcast bool
}

func (p Permissions) grant() token.Grant {
	return token.Grant{
		Namespaces: p.Namespaces,
		Rooms:      p.Rooms,
		Join:       p.Join,
		Publish:    p.Publish,
		History:    p.History,
		Presence:   p.Presence,
		Broadcast:  p.Broadcast,
	}
}

// validate adds to v what is wrong with p in a broker that serves the namespaces.
func (p *Permissions) validate(v *violations, prefix string, served []string) {
	for i, name := range p.Namespaces {
		if !slices.Contains(served, name) {
			v.add(fmt.Sprintf("%snamespaces[%d]", prefix, i), "%q is not one of this broker's namespaces: %v", name, served)
		}
	}
	validateNames(v, prefix+"rooms", p.Rooms, validateRoom)
	validateNames(v, prefix+"join", p.Join, validatePattern)
	validateNames(v, prefix+"publish", p.Publish, validatePattern)
	validateNames(v, prefix+"history", p.History, validatePattern)
	validateNames(v, prefix+"presence", p.Presence, validatePattern)
}

func validatePattern(v *violations, field, p string) {
	if _, err := room.ParsePattern(p); err != nil {
		v.add(field, "%s", err)
	}
}

// otherAuthBytes bounds the auth of a client besides its token.
const otherAuthBytes = 8 << 10

// maxAuthBytes bounds the auth of a client.
func (o *Options) maxAuthBytes() int { return o.Tokens.MaxBytes() + otherAuthBytes }

// otherAuth returns the auth of a client without its token and other members that
// aren't meant for backends; nil if there is nothing else.
func otherAuth(p *socketio.Packet, secrets ...string) json.RawMessage {
	if len(p.Auth) <= len(`{"token":""}`)+len(p.Token) {
		return nil
	}
	others := make(map[string]json.RawMessage)
	for name, value := range rawjson.Members(p.Auth) {
		// A misspelt "Token" isn't meant for backends either.
		if !strings.EqualFold(string(name), "token") && !slices.Contains(secrets, string(name)) {
			others[string(name)] = value
		}
	}
	if len(others) == 0 {
		return nil
	}
	text, _ := json.Marshal(others) // it was JSON
	return text
}

// connectOverhead is more than a CONNECT packet takes besides the auth. So much of
// one is enough to read it, or to see that its auth is too large.
const connectOverhead = 1 << 10

// verify is [Broker.VerifyToken], returning the *Error itself. All tokens go through it: those of
// connects, new ones of connected clients, and those that callers check.
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
			return token.Claims{}, &Error{Code: CodeInternal, Reason: ReasonVerifyFailed, Message: "the token could not be verified: " + err.Error()}
		}
		code := CodeUnauthenticated
		if refusal.Reason == token.ReasonKeysUnavailable {
			code = CodeUnavailable
		}
		return token.Claims{User: claims.User}, &Error{Code: code, Reason: refusal.Reason, Message: refusal.Message}
	}
	if !claims.Scoped {
		claims.Grant = b.opts.DefaultPermissions.grant()
	}
	if err := b.checkGrant(claims.Grant); err != nil {
		return token.Claims{User: claims.User}, err
	}
	return claims, nil
}

// checkGrant refuses a token with which a client couldn't connect to any namespace.
// Tokens that are issued elsewhere can contain anything.
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
	for _, pattern := range slices.Concat(g.Join, g.Publish, g.History, g.Presence) {
		if _, err := room.ParsePattern(pattern); err != nil {
			return invalidToken("the token has an invalid pattern under join, publish, history or presence: * is only allowed at the end of a segment, and ** only at the end of the pattern")
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

// checkHistory refuses a token that doesn't allow reading the history of a room.
func checkHistory(g token.Grant, name string) *Error {
	if !room.AnyMatches(g.History, name) {
		return denied(ReasonHistoryDenied, "the token doesn't allow reading the history of the room %q", name)
	}
	return nil
}

// checkPresence refuses a token that doesn't allow seeing who is in a room.
func checkPresence(g token.Grant, name string) *Error {
	if !room.AnyMatches(g.Presence, name) {
		return denied(ReasonPresenceDenied, "the token doesn't allow seeing who is in the room %q", name)
	}
	return nil
}

// checkNamespace refuses a token that is for other namespaces.
func checkNamespace(g token.Grant, name string) *Error {
	if !allowsNamespace(g, name) {
		return denied(ReasonNamespaceDenied, "the token doesn't allow the namespace %q", name)
	}
	return nil
}
