package api

import (
	"context"
	"errors"
	"time"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/token"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

type tokenService struct {
	salav1.UnimplementedTokenServiceServer
	broker Broker
}

// IssueToken implements salav1.TokenServiceServer.
func (s *tokenService) IssueToken(ctx context.Context, req *salav1.IssueTokenRequest) (*salav1.IssueTokenResponse, error) {
	ttl, err := duration("ttl", req.GetTtl(), "must be above zero; leave ttl out for one hour")
	if err != nil {
		return nil, err
	}
	data, err := valueJSON("data", req.GetData())
	if err != nil {
		return nil, err
	}
	permissions := broker.Permissions{
		Namespaces: req.GetNamespaces(),
		Rooms:      req.GetRooms(),
		Join:       req.GetJoin(),
		Publish:    req.GetPublish(),
		History:    req.GetHistory(),
		Presence:   req.GetPresence(),
		Broadcast:  req.GetBroadcast(),
	}
	if err := reachOf(ctx).Permissions(permissions); err != nil {
		return nil, err
	}
	issued, err := s.broker.IssueToken(ctx, broker.TokenRequest{User: req.GetUser(), TTL: ttl, Permissions: permissions, Data: data})
	if err != nil {
		return nil, err
	}
	return &salav1.IssueTokenResponse{
		Token:      issued.Token,
		TokenId:    issued.ID,
		ExpireTime: timestamp(issued.ExpiresAt),
	}, nil
}

// VerifyToken implements salav1.TokenServiceServer.
func (s *tokenService) VerifyToken(ctx context.Context, req *salav1.VerifyTokenRequest) (*salav1.VerifyTokenResponse, error) {
	claims, err := s.broker.VerifyToken(ctx, req.GetToken())
	var refusal *broker.Error
	refused := errors.As(err, &refusal)
	if refused && isVerdict(refusal.Code) {
		return &salav1.VerifyTokenResponse{Reason: refusal.Reason, Message: refusal.Message}, nil
	}
	if err != nil {
		return nil, err
	}
	return &salav1.VerifyTokenResponse{Valid: true, Claims: tokenClaims(claims)}, nil
}

// isVerdict reports whether an error with this code is about the token. It is the answer
// then, and not an error of the call.
func isVerdict(code broker.Code) bool {
	switch code {
	case broker.CodeUnauthenticated, broker.CodePermissionDenied, broker.CodeResourceExhausted:
		return true
	}
	return false
}

func tokenClaims(claims token.Claims) *salav1.TokenClaims {
	return &salav1.TokenClaims{
		User:       claims.User,
		TokenId:    claims.ID,
		IssueTime:  timestamp(claims.IssuedAt),
		ExpireTime: timestamp(claims.ExpiresAt),
		Namespaces: claims.Namespaces,
		Rooms:      claims.Rooms,
		Join:       claims.Join,
		Publish:    claims.Publish,
		History:    claims.History,
		Presence:   claims.Presence,
		Broadcast:  claims.Broadcast,
		Data:       jsonValue(claims.Data),
	}
}

// RevokeTokens implements salav1.TokenServiceServer.
func (s *tokenService) RevokeTokens(ctx context.Context, req *salav1.RevokeTokensRequest) (*salav1.RevokeTokensResponse, error) {
	if err := reachOf(ctx).RequireEverywhere("tokens of all namespaces, which revoking affects"); err != nil {
		return nil, err
	}
	var before time.Time
	if at := req.GetIssuedBefore(); at != nil {
		if err := at.CheckValid(); err != nil {
			return nil, apierror.Invalid(broker.FieldViolation{
				Field:       "issued_before",
				Description: `is no valid time; in JSON one looks like "2030-01-02T03:04:05Z"`,
			})
		}
		before = at.AsTime()
	}
	out, err := s.broker.RevokeTokens(ctx, broker.RevokeTokens{
		TokenID:      req.GetTokenId(),
		User:         req.GetUser(),
		IssuedBefore: before,
	})
	if err != nil {
		return nil, err
	}
	return &salav1.RevokeTokensResponse{
		Disconnected: count(out.Matched), Partial: out.Partial, MissingNodes: out.Missing, NotStored: out.NotStored,
	}, nil
}
