package config

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// List is a flag that may be repeated. An environment variable holds several
// entries, separated by white space; commas don't separate, since the scopes of
// API keys contain them. On the command line and in the file an entry is taken
// as it is.
type List []string

// Decode implements kong.MapperValue: it adds to the list.
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

// fromEnvironment tells a variable's value from one on the command line, of
// which kong says nothing: they would have to be the same text.
func fromEnvironment(ctx *kong.DecodeContext, text string) bool {
	return ctx.Value != nil && ctx.Value.Tag != nil && slices.ContainsFunc(ctx.Value.Tag.Envs, func(name string) bool {
		value, set := os.LookupEnv(name)
		return set && value == text
	})
}

// Path is a flag that names a file. A relative path is relative to the working
// directory or, if it stands in the YAML file, to the folder of that file.
type Path string
