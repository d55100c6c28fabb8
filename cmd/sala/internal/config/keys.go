package config

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/salabroker/sala/api"
)

// minAPIKey is how long an API key should be, in characters.
const minAPIKey = 16

// KeySecret is the part of an API key that callers send, of "key", "name=key"
// or "name=key:scope,scope" as [api.SplitKey] takes them apart.
func KeySecret(raw string) string {
	return api.SplitKey(raw).Secret
}

// readKeys parses the API keys; in development it makes one if there is none.
func (f *Flags) readKeys(p *problems) []api.Key {
	if len(f.APIKey) == 0 {
		if !f.Dev {
			p.addf("no API key, so nobody could call the control API: set --api-key, SALA_API_KEY or api_key: in the file (make one with: sala key new), or try Sala out with --dev")
			return nil
		}
		f.APIKey = List{"dev=" + rand.Text()}
	}
	keys := make([]api.Key, 0, len(f.APIKey))
	seen := make(map[int]api.Key)
	for i, raw := range f.APIKey {
		key, err := api.ParseKey(raw)
		if err != nil {
			p.addf("api_key[%d]: %s", i, err)
			continue
		}
		for other := range i {
			if same, ok := seen[other]; ok && same.SameSecret(key) {
				p.addf("api_key[%d]: the same key as api_key[%d]; each needs a key of its own", i, other)
			}
		}
		seen[i] = key
		f.checkScopes(p, i, key)
		keys = append(keys, key)
	}
	return keys
}

// checkScopes refuses scopes that are limited to what isn't there: they are
// misspelt, and nobody would notice.
func (f *Flags) checkScopes(p *problems, i int, key api.Key) {
	there := splitCommas(f.Namespaces)
	for _, name := range key.Namespaces() {
		if !slices.Contains(there, name) {
			p.addf("api_key[%d]: a scope is limited to the namespace %q, which --namespaces lacks; there are %s", i, name, strings.Join(there, ", "))
		}
	}
}

// shortKeys says which API keys could be guessed.
func (f *Flags) shortKeys() []string {
	var notes []string
	for i, raw := range f.APIKey {
		if n := len(KeySecret(raw)); n < minAPIKey && !api.SplitKey(raw).Hashed {
			notes = append(notes, fmt.Sprintf("api_key[%d]: a key of %d characters might be guessed, use at least %d; make one with: sala key new", i, n, minAPIKey))
		}
	}
	return notes
}

// devKey is the API key for the commands to paste: the first that may call
// everything or, failing that, the first that isn't a hash.
func devKey(raw List, keys []api.Key) string {
	if len(keys) != len(raw) || len(raw) == 0 {
		return ""
	}
	for i, key := range keys {
		if len(key.Scopes()) == len(api.AllScopes()) && !key.Limited() && KeySecret(raw[i]) != "" {
			return KeySecret(raw[i])
		}
	}
	for _, entry := range raw {
		if secret := KeySecret(entry); secret != "" {
			return secret
		}
	}
	return "YOUR-API-KEY" // only hashes are known
}

// maskKey shows a setting of an API key without the key.
func maskKey(raw string) string {
	parts := api.SplitKey(raw)
	switch {
	case parts.Name == "":
		return masked
	case parts.Hashed: // of which the secret can't be told, but the less is shown the better
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
