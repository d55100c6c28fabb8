package token

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker/rawjson"
)

// Bounds of [Options.MaxBytes]: what is used if it is zero, and the most that it
// may be.
const (
	DefaultMaxBytes = 8 << 10
	MostMaxBytes    = 64 << 10
)

// skew is how far another machine's clock may be off where it doesn't matter
// much. It isn't granted to "exp".
const skew = 30 * time.Second

// Reasons of a [Refusal].
const (
	ReasonTooLarge    = "TOKEN_TOO_LARGE"
	ReasonInvalid     = "TOKEN_INVALID"
	ReasonExpired     = "TOKEN_EXPIRED"
	ReasonNotYetValid = "TOKEN_NOT_YET_VALID"
	ReasonRevoked     = "TOKEN_REVOKED"
	// ReasonKeysUnavailable: the token may be good, and its key isn't here yet.
	ReasonKeysUnavailable = "TOKEN_KEYS_UNAVAILABLE"
)

// Refusal says why a token isn't accepted. It contains nothing of the token.
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

// Verify returns what a token says. If it names a key that one of the sources
// may get only now, it waits for that, at most [missWait]. An error is always a
// *[Refusal].
func (r *Keyring) Verify(raw string) (Claims, error) {
	if len(raw) > r.maxBytes {
		return Claims{}, &Refusal{
			Reason:  ReasonTooLarge,
			Message: fmt.Sprintf("the token has %d bytes, at most %d are read", len(raw), r.maxBytes),
		}
	}
	claims, err := r.signed(raw)
	if err != nil {
		return Claims{}, err
	}
	if err := r.current(claims); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

// signed returns what a token says that one of the keys has signed, and that is
// for this broker. What depends on the time is not looked at.
func (r *Keyring) signed(raw string) (Claims, error) {
	if claims, ok := r.remembered(raw); ok {
		return claims, nil
	}
	values := jwt.MapClaims{}
	t, parts, err := r.parser.ParseUnverified(raw, values)
	if err == nil && strings.ContainsAny(raw, "\r\n") {
		err = jwt.ErrTokenMalformed // which decoding passes over
	}
	if err != nil {
		return Claims{}, refusalOf(err)
	}
	h, refusal := headerOf(t)
	if refusal != nil {
		return Claims{}, refusal
	}
	key, refusal := r.signer(t, h, raw[:len(parts[0])+1+len(parts[1])])
	if refusal != nil {
		return Claims{}, refusal
	}
	// Only now, since whoever has no key needn't be listened to for long.
	for _, part := range parts[:2] {
		if text, err := r.parser.DecodeSegment(part); err != nil || rawjson.CheckObject(text) != nil {
			return Claims{}, invalid("the token says something twice, or more than one thing")
		}
	}
	claims, err := r.read(values)
	if err != nil {
		return Claims{}, err
	}
	if err := r.checkParties(values, key); err != nil {
		return Claims{}, err
	}
	if key != nil {
		r.seen.put(raw, seenToken{h, key, claims})
	}
	return claims, nil
}

// current refuses what has ended, hasn't begun, or is revoked.
func (r *Keyring) current(c Claims) error {
	now := r.now()
	if !now.Before(c.ExpiresAt) {
		return &Refusal{Reason: ReasonExpired, Message: "the token has expired; get a new one"}
	}
	for _, from := range []struct {
		name string
		at   time.Time
	}{{"nbf", c.notBefore}, {"iat", c.IssuedAt}} {
		if now.Add(skew).Before(from.at) {
			return &Refusal{
				Reason:  ReasonNotYetValid,
				Message: fmt.Sprintf("the claim %q lies in the future; compare the clocks of the machines", from.name),
			}
		}
	}
	if r.revoked.Revoked(c) {
		return &Refusal{Reason: ReasonRevoked, Message: "the token has been revoked; get a new one"}
	}
	return nil
}

// refusalOf puts the library's errors into words of ours, since its own may
// quote parts of the token.
func refusalOf(err error) *Refusal {
	if errors.Is(err, jwt.ErrTokenMalformed) {
		return invalid("the token is not a JWT")
	}
	return invalid("the token's header has no algorithm (alg) that is known here")
}
