package sala

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// TokenOptions say who a token is for and what it allows. Permissions that are left out aren't
// granted: a client with only a user receives events and can do nothing else.
type TokenOptions struct {
	// User is the user, 1 to 255 bytes. Events to the user reach all of the user's sockets.
	User string
	// TTL is how long the token is valid: 1 s to 30 days. The default is one hour.
	TTL time.Duration
	// Namespaces are the namespaces that the client may connect to. Empty means all.
	Namespaces []string
	// Rooms are the rooms that the client joins when it connects.
	Rooms []string
	// Join are patterns of the rooms that the client may join itself, such as "chat:*".
	Join []string
	// Publish are patterns of the rooms that the client may relay events into.
	Publish []string
	// History are patterns of the rooms whose history the client may read.
	History []string
	// Presence are patterns of the rooms in which the client may see who is there.
	Presence []string
	// Broadcast lets the client relay events to everyone in its namespace.
	Broadcast bool
	// Data is what backends see with the client's sockets, for encoding/json, at most 4 KiB. The
	// client can read it.
	Data any
}

// Token is a token with which a client connects.
type Token struct {
	// Token is what the client sends in auth: {token}.
	Token string
	// ID is the token's id, its "jti" claim.
	ID string
	// ExpireTime is when the token expires. Sockets that still use it are then disconnected.
	ExpireTime time.Time
}

// IssueToken makes a token for a user.
func (c *Client) IssueToken(ctx context.Context, options TokenOptions) (*Token, error) {
	data, err := encodeValue(options.Data)
	if err != nil {
		return nil, invalid("the data of the token: %v", err)
	}
	request := &salav1.IssueTokenRequest{
		User:       options.User,
		Namespaces: options.Namespaces,
		Rooms:      options.Rooms,
		Join:       options.Join,
		Publish:    options.Publish,
		History:    options.History,
		Presence:   options.Presence,
		Broadcast:  options.Broadcast,
		Data:       data,
	}
	if options.TTL != 0 {
		request.Ttl = durationpb.New(options.TTL)
	}
	// Another token does no harm.
	response, err := call(ctx, c, true, func(ctx context.Context) (*salav1.IssueTokenResponse, error) {
		return c.tokens.IssueToken(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	return &Token{Token: response.GetToken(), ID: response.GetTokenId(), ExpireTime: response.GetExpireTime().AsTime()}, nil
}

// TokenCheck is what a token grants, or why a client that connects with it would be refused.
type TokenCheck struct {
	// Valid says whether a client could connect with the token now.
	Valid bool
	// Claims is what the token grants. It is nil if the token isn't valid.
	Claims *TokenClaims
	// Reason is the code that a client would get, such as "TOKEN_EXPIRED". Empty if the token is valid.
	Reason string
	// Message describes the reason to people.
	Message string
}

// TokenClaims is what a token says.
type TokenClaims struct {
	// TokenOptions are the user and the permissions. TTL is 0.
	TokenOptions
	// ID is the token's id. Empty if the token was made elsewhere without one.
	ID string
	// IssueTime is when the token was issued. Zero if the token doesn't say.
	IssueTime time.Time
	// ExpireTime is when the token expires.
	ExpireTime time.Time
}

// VerifyToken returns what a token grants. A token that is refused is a result, not an error.
func (c *Client) VerifyToken(ctx context.Context, token string) (*TokenCheck, error) {
	response, err := call(ctx, c, true, func(ctx context.Context) (*salav1.VerifyTokenResponse, error) {
		return c.tokens.VerifyToken(ctx, &salav1.VerifyTokenRequest{Token: token})
	})
	if err != nil {
		return nil, err
	}
	check := &TokenCheck{Valid: response.GetValid(), Reason: response.GetReason(), Message: response.GetMessage()}
	if claims := response.GetClaims(); claims != nil {
		check.Claims = &TokenClaims{
			TokenOptions: TokenOptions{
				User:       claims.GetUser(),
				Namespaces: claims.GetNamespaces(),
				Rooms:      claims.GetRooms(),
				Join:       claims.GetJoin(),
				Publish:    claims.GetPublish(),
				History:    claims.GetHistory(),
				Presence:   claims.GetPresence(),
				Broadcast:  claims.GetBroadcast(),
				Data:       claims.GetData().AsInterface(),
			},
			ID:         claims.GetTokenId(),
			IssueTime:  timeOf(claims.GetIssueTime()),
			ExpireTime: timeOf(claims.GetExpireTime()),
		}
	}
	return check, nil
}

// Revocation counts the sockets that a revocation has disconnected.
type Revocation struct {
	// Disconnected is the number of sockets that used one of the tokens.
	Disconnected int
	// Partial says that a node didn't answer, so that it may still accept the tokens.
	Partial bool
	// MissingNodes are the ids of these nodes.
	MissingNodes []string
	// NotStored says that a node that starts later may accept the tokens until the broker, which keeps
	// trying, has stored the revocation.
	NotStored bool
}

// RevokeToken invalidates one token by its id.
func (c *Client) RevokeToken(ctx context.Context, tokenID string) (*Revocation, error) {
	return c.revoke(ctx, true, &salav1.RevokeTokensRequest{TokenId: tokenID})
}

// RevokeTokensOf invalidates the tokens of a user that were issued before a time; with a zero time,
// those issued before now. Without a time the call isn't repeated: a repeat would revoke tokens that
// were issued in between.
func (c *Client) RevokeTokensOf(ctx context.Context, user string, issuedBefore time.Time) (*Revocation, error) {
	request := &salav1.RevokeTokensRequest{User: user}
	if !issuedBefore.IsZero() {
		request.IssuedBefore = timestamppb.New(issuedBefore)
	}
	return c.revoke(ctx, repeatable(!issuedBefore.IsZero()), request)
}

func (c *Client) revoke(ctx context.Context, repeat repeatable, request *salav1.RevokeTokensRequest) (*Revocation, error) {
	response, err := call(ctx, c, repeat, func(ctx context.Context) (*salav1.RevokeTokensResponse, error) {
		return c.tokens.RevokeTokens(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	return &Revocation{
		Disconnected: int(response.GetDisconnected()),
		Partial:      response.GetPartial(),
		MissingNodes: response.GetMissingNodes(),
		NotStored:    response.GetNotStored(),
	}, nil
}

// timeOf returns the time of a timestamp, and a zero time for one that isn't set.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
