package main

import (
	"context"
	"crypto/rand"
	_ "embed" // the file to write
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/cmd/sala/internal/cli"
)

// configTemplate is the file that configInit writes. <secret> and <key> stand for the secrets.
// A line that begins with "#" and no space is a setting that is turned off.
//
//go:embed config_init.yaml
var configTemplate string

// jwtSecretBytes is the length of a new secret.
const jwtSecretBytes = 32

// configInit writes a configuration file to begin with.
type configInit struct {
	File string `arg:"" optional:"" default:"sala.yaml" help:"File to write. It must not exist."`
}

// Help implements kong.HelpProvider.
func (*configInit) Help() string {
	return `The file has a new secret for tokens, the hash of a new API key, and the settings that most brokers need, with ` +
		`comments. Only its owner can read it. The command prints the API key; it is shown only once.

  sala config init sala.yaml
  sala serve --config sala.yaml`
}

// Run implements the command.
func (c *configInit) Run(_ context.Context, streams *cli.Streams) error {
	secret := make([]byte, jwtSecretBytes)
	_, _ = rand.Read(secret) // it never fails
	key, hashed := auth.NewKey()
	text := strings.NewReplacer("<secret>", hex.EncodeToString(secret), "<key>", "backend="+hashed).Replace(configTemplate)
	if err := writeNew(c.File, text); err != nil {
		return err
	}
	_, err := fmt.Fprintf(streams.Out, `Wrote %s. Start the broker:
  sala serve --config %s
In another terminal, the key for callers of the control API (shown only once):
  export SALA_API_KEY=%s
`, c.File, c.File, key)
	return err
}

// writeNew writes a file that only its owner may read. If that fails, it leaves no file behind.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &cli.UsageError{Message: fmt.Sprintf("%s exists already; name another file, or remove it", path)}
	}
	if err != nil {
		return fmt.Errorf("can't write the file: %w", err)
	}
	_, err = file.WriteString(text)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(path) // it is incomplete
		return fmt.Errorf("can't write %s: %w", path, err)
	}
	return nil
}
