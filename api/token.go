package api

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

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
	ttl, err := tokenTTL(req.GetTtl())
	if err != nil {
		return nil, err
	}
	data, err := valueJSON("data", req.GetData())
	if err != nil {
		return nil, err
	}
	issued, err := s.broker.IssueToken(ctx, broker.TokenRequest{
		User: req.GetUser(),
		TTL:  ttl,
		Permissions: broker.Permissions{
			Namespaces: req.GetNamespaces(),
			Rooms:      req.GetRooms(),
			Join:       req.GetJoin(),
			Publish:    req.GetPublish(),
			Broadcast:  req.GetBroadcast(),
		},
		Data: data,
	})
	if err != nil {
		return nil, err
	}
	return &salav1.IssueTokenResponse{
		Token:      issued.Token,
		TokenId:    issued.ID,
		ExpireTime: timestamp(issued.ExpiresAt),
	}, nil
}

// tokenTTL returns zero, which is the broker's default, only if ttl is unset.
func tokenTTL(ttl *durationpb.Duration) (time.Duration, error) {
	if ttl == nil {
		return 0, nil
	}
	if err := ttl.CheckValid(); err != nil {
		return 0, invalid(broker.FieldViolation{
			Field:       "ttl",
			Description: `is no valid duration; in JSON one looks like "3600s"`,
		})
	}
	if d := ttl.AsDuration(); d != 0 {
		return d, nil
	}
	return 0, invalid(broker.FieldViolation{
		Field:       "ttl",
		Description: "a token that lives for no time is of no use; leave ttl out for one hour",
	})
}

// VerifyToken implements salav1.TokenServiceServer.
func (s *tokenService) VerifyToken(ctx context.Context, req *salav1.VerifyTokenRequest) (*salav1.VerifyTokenResponse, error) {
	claims, err := s.broker.VerifyToken(ctx, req.GetToken())
	var refusal *broker.Error
	if errors.As(err, &refusal) && refusal.Code == broker.CodeUnauthenticated {
		return &salav1.VerifyTokenResponse{Reason: refusal.Reason, Message: refusal.Message}, nil
	}
	if err != nil {
		return nil, err
	}
	return &salav1.VerifyTokenResponse{Valid: true, Claims: tokenClaims(claims)}, nil
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
		Broadcast:  claims.Broadcast,
		Data:       jsonValue(claims.Data),
	}
}
