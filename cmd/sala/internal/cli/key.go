package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/salabroker/sala/api/auth"
)

// Key groups the commands for API keys.
type Key struct {
	New KeyNew `cmd:"" help:"Create an API key. Print it, and its hash for the broker's configuration."`
}

// KeyNew creates an API key. It calls no broker.
type KeyNew struct {
	Name   string `required:"" placeholder:"NAME" help:"Name of the key in logs, such as the name of its owner."`
	Scopes string `placeholder:"SCOPE,..." help:"What the key may do, such as emit:/chat:room-*,rooms:read. By default everything."`
	Output string `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"Output format: text or json."`
}

// Help implements kong.HelpProvider.
func (KeyNew) Help() string {
	return "The key has 256 random bits. Give it to the caller; it is shown only once. The broker's configuration only needs the hash."
}

// Run implements the command.
func (k *KeyNew) Run(_ context.Context, s *Streams) error {
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
	_, err := fmt.Fprintf(s.Out, "For the caller (shown only once):\n  %s\nFor the broker, in --api-key, SALA_API_KEY or api_key:\n  %s\n", secret, entry)
	return err
}
