package config

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// List is a flag that may be repeated. One value may hold several entries,
// separated by white space, as an environment variable must; commas don't
// separate, since the scopes of API keys contain them. Entries of a list in
// the file are taken as they are.
type List []string

// Decode implements kong.MapperValue: it adds to the list.
func (l *List) Decode(ctx *kong.DecodeContext) error {
	token, err := ctx.Scan.PopValue("text")
	if err != nil {
		return err
	}
	switch v := token.Value.(type) {
	case string:
		*l = append(*l, strings.Fields(v)...)
	case []string:
		*l = append(*l, v...)
	default:
		return fmt.Errorf("expected text or a list of texts, not %T", token.Value)
	}
	return nil
}

// Path is a flag that names a file. A relative path is relative to the working
// directory or, if it stands in the YAML file, to the folder of that file.
type Path string
