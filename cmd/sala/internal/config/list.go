package config

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// List is a flag that may be repeated. In an environment variable, white space separates the
// entries; commas don't, because the scopes of API keys contain them. On the command line and in
// the file, each value is one entry.
type List []string

// Decode implements kong.MapperValue. It adds to the list.
func (l *List) Decode(ctx *kong.DecodeContext) error {
	token, err := ctx.Scan.PopValue("text")
	if err != nil {
		return err
	}
	switch v := token.Value.(type) {
	case string:
		if fromEnvironment(ctx, v) {
			*l = append(*l, strings.Fields(v)...)
		} else {
			*l = append(*l, v)
		}
	case []string:
		*l = append(*l, v...)
	default:
		return fmt.Errorf("expected text or a list of texts, not %T", token.Value)
	}
	return nil
}

// fromEnvironment reports whether a value comes from an environment variable. kong doesn't tell, so
// this compares the texts.
func fromEnvironment(ctx *kong.DecodeContext, text string) bool {
	return ctx.Value != nil && ctx.Value.Tag != nil && slices.ContainsFunc(ctx.Value.Tag.Envs, func(name string) bool {
		value, set := os.LookupEnv(name)
		return set && value == text
	})
}

// Path is a flag that names a file. A relative path is relative to the working directory or, in the
// YAML file, to the folder of that file.
type Path string
