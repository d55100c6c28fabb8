package broker

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/salabroker/sala/broker/token"
)

// Limits of the tokens that the broker issues.
const (
	defaultTokenTTL = time.Hour
	maxTokenTTL     = token.MaxTTL
)

// TokenRequest says whom a token is for and what it allows.
type TokenRequest struct {
	// User is who the client will be.
	User string
	// TTL is how long the token lives; zero means one hour.
	TTL time.Duration
	// Permissions is what the client may do.
	Permissions Permissions
	// Data is any JSON that backends want to see again; empty for none.
	Data json.RawMessage
}

// IssuedToken is a new token.
type IssuedToken struct {
	// Token is the JWT. It is a credential: don't log it.
	Token string
	// ID is the token's id.
	ID string
	// ExpiresAt is when it ends.
	ExpiresAt time.Time
}

// IssueToken signs a token. It may be called concurrently. The error is a
// *[Error] that names the fields at fault.
func (b *Broker) IssueToken(_ context.Context, r TokenRequest) (IssuedToken, error) {
	if r.TTL == 0 {
		r.TTL = defaultTokenTTL
	}
	var v violations
	validateUser(&v, "user", r.User)
	if r.TTL < time.Second || r.TTL > maxTokenTTL {
		v.add("ttl", "%s is not between 1s and %s", r.TTL, maxTokenTTL)
	}
	r.Permissions.validate(&v, "", b.namespaceNames)
	if n := len(r.Permissions.Rooms); n > b.opts.MaxRoomsPerSocket {
		v.add("rooms", "there are %d, and a socket may be in %d (--max-rooms-per-socket)", n, b.opts.MaxRoomsPerSocket)
	}
	validateData(&v, "data", r.Data)
	if err := v.err(); err != nil {
		return IssuedToken{}, err
	}
	if !b.opts.Tokens.Issues() {
		return IssuedToken{}, &Error{
			Code: CodeFailedPrecondition, Reason: ReasonNoSigningKey,
			Message: "this broker only checks tokens that are made elsewhere; to have it issue some too, set --jwt-secret (SALA_JWT_SECRET, jwt_secret:)",
		}
	}
	raw, claims, err := b.opts.Tokens.Issue(r.User, r.TTL, token.Grant{
		Namespaces: r.Permissions.Namespaces,
		Rooms:      r.Permissions.Rooms,
		Join:       r.Permissions.Join,
		Publish:    r.Permissions.Publish,
		Broadcast:  r.Permissions.Broadcast,
		Data:       r.Data,
	})
	if err != nil {
		return IssuedToken{}, &Error{Code: CodeInternal, Reason: ReasonSigningFailed, Message: "the token could not be signed"}
	}
	if most := b.opts.Tokens.MaxBytes(); len(raw) > most {
		v.add("user", "the token would have %d bytes, at most %d are accepted (--max-token-bytes); name fewer rooms and patterns", len(raw), most)
		return IssuedToken{}, v.err()
	}
	return IssuedToken{Token: raw, ID: claims.ID, ExpiresAt: claims.ExpiresAt}, nil
}

// VerifyToken returns what a token says, with the permissions that a client
// has who connects with it. A client can connect with it, at least to one
// namespace, exactly if the error is nil. Otherwise the error is a *[Error] with
// the reason that such a client would get. It may be called concurrently.
func (b *Broker) VerifyToken(_ context.Context, raw string) (token.Claims, error) {
	claims, err := b.verify(raw)
	if err != nil {
		return token.Claims{}, err
	}
	return claims, nil
}

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

func (p Permissions) grant() token.Grant {
	return token.Grant{
		Namespaces: p.Namespaces,
		Rooms:      p.Rooms,
		Join:       p.Join,
		Publish:    p.Publish,
		Broadcast:  p.Broadcast,
	}
}
