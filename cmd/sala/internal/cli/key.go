package cli

import (
	"encoding/json"
	"fmt"

	"github.com/salabroker/sala/api/auth"
)

// Key groups the commands about API keys.
type Key struct {
	New KeyNew `cmd:"" help:"Make an API key, and print it with what the broker's configuration needs to know of it."`
}

// KeyNew makes an API key. It calls no broker.
type KeyNew struct {
	Name   string `required:"" placeholder:"NAME" help:"What logs call the key: whose it is."`
	Scopes string `placeholder:"SCOPE,..." help:"What it may do, such as emit:/chat:room-*,rooms:read; everything if not given."`
	Output string `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"One of text and json."`
}

// Help is shown below the usage.
func (KeyNew) Help() string {
	return "The key has 256 random bits. It is for the caller, and shown this once: the broker's configuration gets only the hash of it. "
}

// Run implements the command.
func (k *KeyNew) Run(s *Streams) error {
	secret, hashed := auth.NewKey()
	entry := k.Name + "=" + hashed
	if k.Scopes != "" {
		entry += ":" + k.Scopes
	}
	if _, err := auth.ParseKey(entry); err != nil {
		return &UsageError{Message: err.Error()}
	}
	if k.Output == "json" {
		return json.NewEncoder(s.Out).Encode(map[string]string{"key": secret, "apiKey": entry})
	}
	_, err := fmt.Fprintf(s.Out, "For the caller, shown this once:\n  %s\nFor the broker, as --api-key, in SALA_API_KEY or under api_key:\n  %s\n", secret, entry)
	return err
}
