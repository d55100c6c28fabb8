package config

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/salabroker/sala/broker/token"
	"github.com/salabroker/sala/broker/token/jwks"
	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
)

// readTokens reads the keys that sign and verify tokens. With --dev it makes a secret if none is
// set. The sets are the keys that have to be fetched.
func (f *Flags) readTokens(p *problems) (ring *token.Keyring, sets []*jwks.Set) {
	if len(f.JWTSecret) == 0 && f.Dev {
		f.JWTSecret = List{rand.Text() + rand.Text()}
	}
	if len(f.JWTSecret)+len(f.JWTPublicKey)+len(f.JWTJWKSURL) == 0 {
		p.addf("no secret to sign and verify tokens is set: make one with \"openssl rand -hex 32\" and set --jwt-secret, SALA_JWT_SECRET or jwt_secret: in the file, or, if all tokens are issued elsewhere, set --jwt-public-key or --jwt-jwks-url, or try Sala with --dev")
		return nil, nil
	}
	before := len(*p)
	options := token.Options{
		Keys:              f.readSecrets(p),
		PublicKeys:        f.readPublicKeys(p),
		UserClaim:         f.JWTUserClaim,
		Issuers:           f.JWTIssuer,
		Audiences:         f.JWTAudience,
		MaxBytes:          int(f.MaxToken),
		AllowShortSecrets: f.Dev,
	}
	if slices.Contains(f.JWTIssuer, "") || slices.Contains(f.JWTAudience, "") {
		p.addf("jwt_issuer or jwt_audience has an empty entry, perhaps from an unset shell variable; leave the setting out to accept any")
	}
	sets = f.keySets(p)
	for _, set := range sets {
		options.Sources = append(options.Sources, set)
	}
	if len(*p) > before {
		return nil, nil
	}
	ring, err := token.NewKeyring(options)
	if err != nil {
		p.addf("jwt_secret: %s", err)
		return nil, nil
	}
	return ring, sets
}

func (f *Flags) readSecrets(p *problems) []token.Key {
	var keys []token.Key
	for i, raw := range f.JWTSecret {
		key, err := token.ParseKey(raw)
		if err != nil && strings.Contains(raw, "-----BEGIN") {
			err = fmt.Errorf("%w (--jwt-public-key)", err)
		}
		if err != nil {
			p.addf("jwt_secret[%d]: %s", i, err)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

func (f *Flags) readPublicKeys(p *problems) []*token.PublicKey {
	var keys []*token.PublicKey
	for i, entry := range f.JWTPublicKey {
		id, path := splitKeyFile(entry)
		text, err := os.ReadFile(path)
		if err != nil {
			p.addf("jwt_public_key[%d]: can't read the file: %s", i, err)
			continue
		}
		key, err := token.ParsePublicKey(text, id)
		if err != nil {
			p.addf("jwt_public_key[%d]: %s: %s", i, path, err)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

var keyFile = regexp.MustCompile(`^([A-Za-z0-9_.-]+)=(.+)$`)

// splitKeyFile splits "KID=FILE". A file name that contains a "=" needs a "/" before it, as in
// "./a=b.pem".
func splitKeyFile(entry string) (id, path string) {
	if parts := keyFile.FindStringSubmatch(entry); parts != nil {
		return parts[1], parts[2]
	}
	return "", entry
}

// resolveKeyFile is resolvePath for "[KID=]FILE".
func (f *File) resolveKeyFile(entry string) string {
	id, path := splitKeyFile(entry)
	if id == "" {
		return f.resolvePath(path)
	}
	return id + "=" + f.resolvePath(path)
}

func (f *Flags) keySets(p *problems) []*jwks.Set {
	var sets []*jwks.Set
	seen := make(map[string]bool)
	for i, entry := range f.JWTJWKSURL {
		issuer, url, err := splitKeySet(entry)
		// Metrics tell the sets apart by this.
		shown, _, _ := strings.Cut(maskKeySet(entry), "?")
		if err == nil && seen[shown] {
			err = errors.New("this URL is set twice, or differs only in its query; give each its issuer (ISSUER=URL)")
		}
		seen[shown] = true
		var set *jwks.Set
		if err == nil {
			set, err = jwks.New(jwks.Options{URL: url, Issuer: issuer, UserAgent: buildinfo.Get().UserAgent()})
		}
		if err != nil {
			p.addf("jwt_jwks_url[%d]: %s", i, err)
			continue
		}
		sets = append(sets, set)
	}
	return sets
}

// splitKeySet splits "ISSUER=URL". Both may contain a "=", so the URL begins at the first one that
// its scheme follows.
func splitKeySet(entry string) (issuer, url string, err error) {
	at := -1
	for _, scheme := range []string{"=https://", "=http://"} {
		if i := strings.Index(entry, scheme); i >= 0 && (at < 0 || i < at) {
			at = i
		}
	}
	switch {
	case at == 0:
		return "", "", errors.New("the issuer before \"=\" is missing")
	case at > 0:
		return entry[:at], entry[at+1:], nil
	default:
		return "", entry, nil
	}
}

// maskSecret shows a JWT secret setting without the secret.
func maskSecret(raw string) string {
	if key, err := token.ParseKey(raw); err == nil && key.ID != "" {
		return key.ID + "=" + masked
	}
	return masked
}

// maskKeySet shows a key set setting without the URL's query, which may be secret.
func maskKeySet(entry string) string {
	issuer, url, err := splitKeySet(entry)
	if err != nil || issuer == "" {
		return maskURL(entry)
	}
	return issuer + "=" + maskURL(url)
}
