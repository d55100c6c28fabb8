package broker

import (
	"context"
	"encoding/json"
	"time"
)

// RevokeTokens says which tokens to revoke: exactly one of TokenID and User is
// set.
type RevokeTokens struct {
	// TokenID is the id of one token.
	TokenID string
	// User is whose tokens are revoked.
	User string
	// IssuedBefore limits it to the user's tokens that were issued earlier;
	// zero or in the future means now.
	IssuedBefore time.Time
}

// RevokeTokens is
func (b *Broker) RevokeTokens(_ context.Context, r RevokeTokens) (disconnected int, err error) {
	return 0, &Error{Code: CodeUnavailable, Reason: "TODO", Message: "not yet"}
}

// Update is
func (b *Broker) Update(_ context.Context, t Target, data json.RawMessage) (matched int, err error) {
	return 0, &Error{Code: CodeUnavailable, Reason: "TODO", Message: "not yet"}
}

// Drain is
func (b *Broker) Drain(_ context.Context, node string) (NodeInfo, error) {
	return NodeInfo{}, &Error{Code: CodeUnavailable, Reason: "TODO", Message: "not yet"}
}
