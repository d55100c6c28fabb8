package token

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/rawjson"
)

// Bounds of [Options.MaxBytes]: its default and its maximum.
const (
	DefaultMaxBytes = 8 << 10
	MostMaxBytes    = 64 << 10
)

// skew is how far another machine's clock may be off for "nbf" and "iat". "exp" is exact.
const skew = 30 * time.Second

// Reasons of a [Refusal].
const (
	ReasonTooLarge    = "TOKEN_TOO_LARGE"
	ReasonInvalid     = "TOKEN_INVALID"
	ReasonExpired     = "TOKEN_EXPIRED"
	ReasonNotYetValid = "TOKEN_NOT_YET_VALID"
	ReasonRevoked     = "TOKEN_REVOKED"
	// ReasonKeysUnavailable means that the token may be valid, but its key couldn't be fetched yet.
	ReasonKeysUnavailable = "TOKEN_KEYS_UNAVAILABLE"
)

// Refusal says why a token isn't accepted. It contains no part of the token.
type Refusal struct {
	// Reason is one of the Reason constants.
	Reason string
	// Message is for people.
	Message string
}

// Error implements the error interface.
func (r *Refusal) Error() string { return r.Message }

func invalid(format string, args ...any) *Refusal {
	return &Refusal{Reason: ReasonInvalid, Message: fmt.Sprintf(format, args...)}
}

// Verify returns what a valid token says. If the token names a key that a source doesn't have yet,
// Verify waits up to 2 s for the source to fetch it. Errors are always a *[Refusal]. If the token is
// genuine and only its time has passed or hasn't come, or it is revoked, the claims say whose it is.
func (r *Keyring) Verify(raw string) (Claims, error) {
	if len(raw) > r.maxBytes {
		return Claims{}, &Refusal{
			Reason:  ReasonTooLarge,
			Message: fmt.Sprintf("the token has %d bytes; at most %d are allowed", len(raw), r.maxBytes),
		}
	}
	t, err := r.verifySigned(raw)
	if err != nil {
		return Claims{}, err
	}
	if err := r.checkValidity(t.claims, t.notBefore); err != nil {
		return Claims{User: t.claims.User}, err
	}
	return t.claims, nil
}

// verifySigned returns what a token says if one of the keys has signed it and it is for this
// broker. It ignores everything that depends on the time.
func (r *Keyring) verifySigned(raw string) (verified, error) {
	if t, ok := r.cached(raw); ok {
		return t, nil
	}
	c, refusal := parse(raw)
	if refusal != nil {
		return verified{}, refusal
	}
	h, refusal := readHeader(c.header)
	if refusal != nil {
		return verified{}, refusal
	}
	key, refusal := r.signerOf(c, h)
	if refusal != nil {
		return verified{}, refusal
	}
	// Decoded after the signature has been verified, so that forged tokens cost little.
	payload, refusal := decodeObject(c.payload)
	if refusal != nil {
		return verified{}, refusal
	}
	texts := r.claimTexts(payload)
	claims, notBefore, err := r.readClaims(texts)
	if err != nil {
		return verified{}, err
	}
	if err := r.checkParties(texts, key); err != nil {
		return verified{}, err
	}
	t := verified{h, key, claims, notBefore}
	if key != nil {
		r.verified.put(raw, t)
	}
	return t, nil
}

// checkValidity refuses tokens that have expired, aren't valid yet, or are revoked.
func (r *Keyring) checkValidity(c Claims, notBefore time.Time) error {
	now := r.now()
	if !now.Before(c.ExpiresAt) {
		return &Refusal{Reason: ReasonExpired, Message: "the token has expired; get a new one"}
	}
	for _, from := range []struct {
		name string
		at   time.Time
	}{{"nbf", notBefore}, {"iat", c.IssuedAt}} {
		if now.Add(skew).Before(from.at) {
			return &Refusal{
				Reason:  ReasonNotYetValid,
				Message: fmt.Sprintf("the claim %q is in the future; compare the clocks of the machines", from.name),
			}
		}
	}
	if r.revoked.Revoked(c) {
		return &Refusal{Reason: ReasonRevoked, Message: "the token has been revoked; get a new one"}
	}
	return nil
}

// checkParties refuses a token whose issuer isn't accepted for its key, or whose audience isn't
// accepted. key is nil for a secret.
func (r *Keyring) checkParties(t claimTexts, key *PublicKey) error {
	issuers := r.issuers
	if key != nil && key.issuer != "" {
		issuers = []string{key.issuer}
	}
	if issuer, _ := rawjson.String(t.issuer); len(issuers) > 0 && !slices.Contains(issuers, issuer) {
		return invalid("the token's issuer (\"iss\") is not one that this broker trusts with its key")
	}
	if len(r.audiences) > 0 && !r.isAudience(t.audience) {
		return invalid("the token's audience (\"aud\") is not this broker")
	}
	return nil
}

// isAudience reports whether "aud", which is a string or a list (RFC 7519, 4.1.3), has an accepted
// value.
func (r *Keyring) isAudience(aud json.RawMessage) bool {
	if name, ok := rawjson.String(aud); ok {
		return slices.Contains(r.audiences, name)
	}
	for entry := range rawjson.Elements(aud) {
		if name, ok := rawjson.String(entry); ok && slices.Contains(r.audiences, name) {
			return true
		}
	}
	return false
}
