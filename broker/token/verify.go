package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// MaxBytes bounds a token.
const MaxBytes = 8 << 10

// skew is how far another machine's clock may be off where it doesn't matter
// much. It isn't granted to "exp".
const skew = 30 * time.Second

const maxUserBytes = 255

// Reasons of a [Refusal].
const (
	ReasonTooLarge    = "TOKEN_TOO_LARGE"
	ReasonInvalid     = "TOKEN_INVALID"
	ReasonExpired     = "TOKEN_EXPIRED"
	ReasonNotYetValid = "TOKEN_NOT_YET_VALID"
	ReasonRevoked     = "TOKEN_REVOKED"
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

// Verify returns what a token says. An error is always a *[Refusal].
func (r *Keyring) Verify(raw string) (Claims, error) {
	if len(raw) > MaxBytes {
		return Claims{}, &Refusal{
			Reason:  ReasonTooLarge,
			Message: fmt.Sprintf("the token has %d bytes, at most %d are read", len(raw), MaxBytes),
		}
	}
	values := jwt.MapClaims{}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithJSONNumber(),
		jwt.WithoutClaimsValidation(), // its leeway would hold for "exp" too
	)
	if _, err := parser.ParseWithClaims(raw, values, r.candidates); err != nil {
		return Claims{}, refusalOf(err)
	}
	claims, err := r.read(values)
	if err != nil {
		return Claims{}, err
	}
	if err := r.readTimes(&claims, values); err != nil {
		return Claims{}, err
	}
	if r.revoked.Revoked(claims) {
		return Claims{}, &Refusal{Reason: ReasonRevoked, Message: "the token has been revoked; get a new one"}
	}
	return claims, nil
}

// candidates returns the keys that may have signed t: the one that its header
// names or, if it names none of ours, all of them.
func (r *Keyring) candidates(t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, errors.New("the header demands extensions that are not known here")
	}
	set := jwt.VerificationKeySet{}
	if id, _ := t.Header["kid"].(string); id != "" {
		for _, k := range r.keys {
			if k.ID == id {
				return k.Secret, nil
			}
		}
	}
	for _, k := range r.keys {
		set.Keys = append(set.Keys, k.Secret)
	}
	return set, nil
}

// refusalOf puts the library's errors into words of ours, since its own may
// quote parts of the token.
func refusalOf(err error) *Refusal {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return invalid("the token is not a JWT")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return invalid("the token is not signed with HS256 and a secret of this broker")
	default:
		return invalid("the token can't be read")
	}
}

func (r *Keyring) read(values jwt.MapClaims) (Claims, error) {
	var c Claims
	switch user := values[r.userClaim].(type) {
	case string:
		c.User = user
	case json.Number: // user ids of databases are often numbers
		c.User = user.String()
	default:
		return c, invalid("the token has no claim %q that names the user", r.userClaim)
	}
	if c.User == "" || len(c.User) > maxUserBytes || !printable(c.User) {
		return c, invalid("the claim %q must be 1 to %d bytes of text", r.userClaim, maxUserBytes)
	}
	c.ID, _ = values["jti"].(string)
	grant, ok := values[grantClaim]
	if !ok {
		return c, nil
	}
	raw, err := json.Marshal(grant)
	if err == nil {
		err = json.Unmarshal(raw, &c.Grant)
	}
	if err != nil {
		return c, invalid("the claim %q is not what this broker writes into it", grantClaim)
	}
	c.Scoped = true
	return c, nil
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// readTimes fills in the times of c and compares them with the clock.
func (r *Keyring) readTimes(c *Claims, values jwt.MapClaims) error {
	now := r.now()
	expires, ok, err := instant(values, "exp")
	switch {
	case err != nil:
		return err
	case !ok:
		return invalid("the token has no claim \"exp\": it would never end")
	case !now.Before(expires):
		return &Refusal{Reason: ReasonExpired, Message: "the token has expired; get a new one"}
	}
	c.ExpiresAt = expires
	for _, name := range []string{"nbf", "iat"} {
		from, ok, err := instant(values, name)
		switch {
		case err != nil:
			return err
		case ok && now.Add(skew).Before(from):
			return &Refusal{
				Reason:  ReasonNotYetValid,
				Message: fmt.Sprintf("the claim %q lies in the future; compare the clocks of the machines", name),
			}
		}
		if name == "iat" {
			c.IssuedAt = from
		}
	}
	return nil
}

// instant reads a NumericDate. ok is false if it isn't there.
func instant(values jwt.MapClaims, name string) (t time.Time, ok bool, err error) {
	value, ok := values[name]
	if !ok {
		return time.Time{}, false, nil
	}
	number, isNumber := value.(json.Number)
	if !isNumber {
		return time.Time{}, false, invalid("the claim %q is not a time in seconds", name)
	}
	seconds, err := number.Float64()
	if err != nil || math.Abs(seconds) > 1e11 {
		return time.Time{}, false, invalid("the claim %q is out of range", name)
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true, nil
}
