package config

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/salabroker/sala/api/auth"
)

// minAPIKey is the length from which an API key can't be guessed, in characters.
const minAPIKey = 16

// KeySecret returns the part of "key", "name=key" or "name=key:scope,scope" that callers send.
func KeySecret(raw string) string { return auth.SplitKey(raw).Secret }

// readKeys parses the API keys. With --dev it makes one if none is set.
func (f *Flags) readKeys(p *problems) []auth.Key {
	if len(f.APIKey) == 0 {
		if !f.Dev {
			p.addf("no API key is set, so nobody could call the control API: make one with \"sala key new\" and set --api-key, SALA_API_KEY or api_key: in the file, or try Sala with --dev")
			return nil
		}
		f.APIKey = List{"dev=" + rand.Text()}
	}
	keys := make([]auth.Key, 0, len(f.APIKey))
	seen := make(map[int]auth.Key)
	for i, raw := range f.APIKey {
		key, err := auth.ParseKey(raw)
		if err != nil {
			p.addf("api_key[%d]: %s", i, err)
			continue
		}
		for other := range i {
			if same, ok := seen[other]; ok && same.SameSecret(key) {
				p.addf("api_key[%d]: this is the same key as api_key[%d]; give each caller a key of its own", i, other)
			}
		}
		seen[i] = key
		f.checkScopes(p, i, key)
		keys = append(keys, key)
	}
	return keys
}

// checkScopes refuses scopes that are limited to a namespace that doesn't exist. They are misspelt,
// and nobody would notice.
func (f *Flags) checkScopes(p *problems, i int, key auth.Key) {
	for _, name := range key.Namespaces() {
		if !slices.Contains(f.Namespaces, name) {
			p.addf("api_key[%d]: a scope is limited to the namespace %q, which --namespaces doesn't list; it lists %s", i, name, strings.Join(f.Namespaces, ", "))
		}
	}
}

// shortKeys warns of API keys that could be guessed.
func (f *Flags) shortKeys() []string {
	var warnings []string
	for i, raw := range f.APIKey {
		if n := len(KeySecret(raw)); n < minAPIKey && !auth.SplitKey(raw).Hashed {
			warnings = append(warnings, fmt.Sprintf("api_key[%d]: a key of %d characters can be guessed, use at least %d; make one with \"sala key new\"", i, n, minAPIKey))
		}
	}
	return warnings
}

// devKey is the API key for the printed commands: the first that may call everything, or else the
// first whose secret is known.
func devKey(raw List, keys []auth.Key) string {
	if len(keys) != len(raw) || len(raw) == 0 {
		return ""
	}
	for i, key := range keys {
		if len(key.Scopes()) == len(auth.AllScopes()) && !key.Limited() && KeySecret(raw[i]) != "" {
			return KeySecret(raw[i])
		}
	}
	for _, entry := range raw {
		if secret := KeySecret(entry); secret != "" {
			return secret
		}
	}
	return "YOUR-API-KEY" // only hashes are set
}

// maskKey shows an API key setting without the secret.
func maskKey(raw string) string {
	parts := auth.SplitKey(raw)
	switch {
	case parts.Name == "":
		return masked
	case parts.Hashed: // the hash doesn't reveal the secret, but there is no need to show it
		parts.Name += "=sha256:" + masked
	default:
		parts.Name += "=" + masked
	}
	if !parts.Limited {
		return parts.Name
	}
	return parts.Name + ":" + parts.Scopes
}

const masked = "***"
