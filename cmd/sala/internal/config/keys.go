package config

import (
	"crypto/rand"
	"fmt"

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
			p.addf("no API key, so nobody could call the control API: set --api-key, SALA_API_KEY or api_key: in the file (make one with: openssl rand -hex 32), or try Sala out with --dev")
			return nil
		}
		f.APIKey = List{"dev=" + rand.Text()}
	}
	keys := make([]api.Key, 0, len(f.APIKey))
	seen := make(map[string]int)
	for i, raw := range f.APIKey {
		key, err := api.ParseKey(raw)
		if err != nil {
			p.addf("api_key[%d]: %s", i, err)
			continue
		}
		if other, ok := seen[KeySecret(raw)]; ok {
			p.addf("api_key[%d]: the same key as api_key[%d]; each needs a key of its own", i, other)
			continue
		}
		seen[KeySecret(raw)] = i
		keys = append(keys, key)
	}
	return keys
}

// shortKeys says which API keys could be guessed.
func (f *Flags) shortKeys() []string {
	var notes []string
	for i, raw := range f.APIKey {
		if n := len(KeySecret(raw)); n < minAPIKey {
			notes = append(notes, fmt.Sprintf("api_key[%d]: a key of %d characters might be guessed, use at least %d; make one with: openssl rand -hex 32", i, n, minAPIKey))
		}
	}
	return notes
}

// devKey is the API key for the commands to paste: the first that may call
// everything or, failing that, the first.
func devKey(raw List, keys []api.Key) string {
	if len(keys) != len(raw) || len(raw) == 0 {
		return ""
	}
	for i, key := range keys {
		if len(key.Scopes()) == len(api.AllScopes()) {
			return KeySecret(raw[i])
		}
	}
	return KeySecret(raw[0])
}

// maskKey shows a setting of an API key without the key.
func maskKey(raw string) string {
	parts := api.SplitKey(raw)
	switch {
	case parts.Name == "":
		return masked
	case !parts.Limited:
		return parts.Name + "=" + masked
	default:
		return parts.Name + "=" + masked + ":" + parts.Scopes
	}
}

const masked = "***"
