package broker

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/revocation"
	"github.com/salabroker/sala/broker/token"
)

// Limits of the tokens that the broker issues.
const (
	defaultTokenTTL = time.Hour
	maxTokenTTL     = token.MaxTTL
)

// TokenRequest says who a token is for and what it allows.
type TokenRequest struct {
	// User is the user of the clients that connect with the token.
	User string
	// TTL is how long the token is valid; zero means one hour.
	TTL time.Duration
	// Permissions is what the client may do.
	Permissions Permissions
	// Data is any JSON that backends see with the socket; empty for none.
	Data json.RawMessage
}

// IssuedToken is a new token.
type IssuedToken struct {
	// Token is the JWT. It is a credential and must not be logged.
	Token string
	// ID is the token's id.
	ID string
	// ExpiresAt is when it expires.
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
		v.add("rooms", "there are %d; a socket may be in at most %d rooms", n, b.opts.MaxRoomsPerSocket)
	}
	validateData(&v, "data", r.Data)
	if err := v.err(); err != nil {
		return IssuedToken{}, err
	}
	if !b.opts.Tokens.Issues() {
		return IssuedToken{}, &Error{
			Code: CodeFailedPrecondition, Reason: ReasonNoSigningKey,
			Message: "this broker only checks tokens that are issued elsewhere; to issue tokens, it needs a JWT secret",
		}
	}
	grant := r.Permissions.grant()
	grant.Data = r.Data
	raw, claims, err := b.opts.Tokens.Issue(r.User, r.TTL, grant)
	if err != nil {
		return IssuedToken{}, &Error{Code: CodeInternal, Reason: ReasonSigningFailed, Message: "the token could not be signed"}
	}
	if most := b.opts.Tokens.MaxBytes(); len(raw) > most {
		v.add("user", "the token would have %d bytes; at most %d are accepted; name fewer rooms and patterns", len(raw), most)
		return IssuedToken{}, v.err()
	}
	return IssuedToken{Token: raw, ID: claims.ID, ExpiresAt: claims.ExpiresAt}, nil
}

// VerifyToken returns the claims of a token, with the permissions of a client that
// connects with it. If the error is nil, a client can connect with it to at least
// one namespace. Otherwise the error is a *[Error] with the reason that such a
// client would get. It may be called concurrently.
func (b *Broker) VerifyToken(_ context.Context, raw string) (token.Claims, error) {
	claims, err := b.verify(raw)
	if err != nil {
		return token.Claims{}, err
	}
	return claims, nil
}

// RevokeTokens says which tokens to revoke. Either TokenID or User is set.
type RevokeTokens struct {
	// TokenID is the id of one token.
	TokenID string
	// User is the user whose tokens are revoked.
	User string
	// IssuedBefore limits the revocation to tokens of the user that were issued
	// earlier; zero or in the future means now.
	IssuedBefore time.Time
}

// RevokeOutcome is the result of a revocation.
type RevokeOutcome struct {
	Outcome
	// NotStored says that the table that nodes share doesn't have the revocation yet.
	// The running nodes know of it; one that starts meanwhile may not. The node keeps
	// trying to store it.
	NotStored bool
}

// RevokeTokens revokes tokens before they expire. Their sockets are disconnected at
// once with the code TOKEN_REVOKED and counted, and no client can connect with them
// any longer. It may be called concurrently; the error is a *[Error].
func (b *Broker) RevokeTokens(ctx context.Context, r RevokeTokens) (RevokeOutcome, error) {
	if err := r.validate(); err != nil {
		return RevokeOutcome{}, err
	}
	if now := time.Now(); r.User != "" && (r.IssuedBefore.IsZero() || r.IssuedBefore.After(now)) {
		r.IssuedBefore = now // the same on every node
	}
	n, failed := b.revokeLocal(token.Revocation{TokenID: r.TokenID, User: r.User, IssuedBefore: r.IssuedBefore})
	if failed != nil && failed.Reason != ReasonNotKept {
		return RevokeOutcome{}, failed
	}
	out := RevokeOutcome{Outcome: Outcome{Matched: n}}
	if b.mesh != nil {
		// First the table, then the nodes: one that joins in between learns of it
		// from either.
		v := token.Revocation{TokenID: r.TokenID, User: r.User, IssuedBefore: r.IssuedBefore, Until: time.Now().Add(token.Retention)}
		out.NotStored = !b.storeRevocation(ctx, v)
		var counts []*wire.Count
		counts, out.PartialResult = b.tellRevoked(ctx, v)
		for _, c := range counts {
			out.Matched += int(c.GetMatched())
		}
	}
	if failed != nil {
		return RevokeOutcome{}, failed
	}
	return out, nil
}

func (r *RevokeTokens) validate() error {
	var v violations
	switch {
	case r.TokenID == "" && r.User == "":
		v.add("token_id", "say which tokens to revoke: set token_id or user")
	case r.TokenID != "" && r.User != "":
		v.add("user", "token_id and user are both set; set one of them")
	case r.TokenID != "":
		validateName(&v, "token_id", "a token's id", r.TokenID)
	default:
		validateUser(&v, "user", r.User)
	}
	if r.User == "" && !r.IssuedBefore.IsZero() {
		v.add("issued_before", "is only allowed with user")
	}
	return v.err()
}

// revokeLocal revokes tokens on this node and disconnects their sockets. If the
// reason of the error is REVOCATION_NOT_KEPT, they are revoked until a restart.
func (b *Broker) revokeLocal(r token.Revocation) (disconnected int, failed *Error) {
	revocations := b.opts.Tokens.Revocations()
	var err error
	if r.User != "" {
		err = revocations.RevokeUser(r.User, r.IssuedBefore)
	} else {
		err = revocations.RevokeID(r.TokenID)
	}
	switch {
	case errors.Is(err, token.ErrNotKept):
		b.log.Error("a revocation can't be kept across a restart", "error", err)
		failed = &Error{Code: CodeUnavailable, Reason: ReasonNotKept, Message: token.ErrNotKept.Error()}
	case err != nil:
		return 0, &Error{Code: CodeResourceExhausted, Reason: ReasonTooManyRevoked, Message: err.Error()}
	}
	return b.disconnectRevoked(r.User), failed
}

// disconnectRevoked disconnects the sockets, of one user or of all, whose token is
// revoked, and counts them.
func (b *Broker) disconnectRevoked(user string) (disconnected int) {
	t := Target{Everyone: true}
	if user != "" {
		t = Target{Users: []string{user}}
	}
	for _, ns := range b.namespaces {
		for _, s := range ns.index.Select(nil, t) {
			if s.checkRevoked() {
				disconnected++
			}
		}
	}
	return disconnected
}

// shareRevocations makes this node share revocations with the others.
func (b *Broker) shareRevocations() {
	b.revoked = revocation.New(revocation.Options{
		Tokens: b.opts.Tokens.Revocations(),
		Mesh:   b.mesh,
		Tell: func(ctx context.Context, v token.Revocation) bool {
			_, partial := b.tellRevoked(ctx, v)
			return !partial.Partial
		},
		SyncOthers: func(ctx context.Context) error {
			op := &wire.Op{Op: &wire.Op_SyncRevocations{SyncRevocations: &wire.SyncRevocations{}}}
			result, _ := b.callOthers(ctx, everyNode(), callTimeout, op)
			if result.Unnamed > 0 {
				return cluster.ErrUnavailable
			}
			return nil
		},
		Learned:  func() int { return b.disconnectRevoked("") },
		Isolated: b.Isolated,
		Logger:   b.log,
	})
}

// storeRevocation adds a revocation to the table. It takes at most half of the
// caller's time, so that there is time left to tell the other nodes.
func (b *Broker) storeRevocation(ctx context.Context, v token.Revocation) (stored bool) {
	ctx, cancel := context.WithTimeout(ctx, min(callTimeout, waitAtMost(ctx, 2*callTimeout)/2))
	defer cancel()
	return b.revoked.Add(ctx, v)
}

// tellRevoked has the other nodes revoke tokens.
func (b *Broker) tellRevoked(ctx context.Context, v token.Revocation) ([]*wire.Count, PartialResult) {
	return callAll[wire.Count](ctx, b, &wire.Op{Op: &wire.Op_Revoke{Revoke: revocation.ToWire(v)}})
}
