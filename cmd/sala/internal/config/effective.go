package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

// Effective writes the configuration as a YAML file, each setting with its source. Secrets are
// masked.
func (c *Config) Effective(out io.Writer, ctx *kong.Context) error {
	for _, flag := range ctx.Flags() {
		if !hasKey(flag) {
			continue
		}
		text, err := yaml.MarshalWithOptions(effectiveValue(flag), yaml.Flow(true))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %s  # %s\n", key(flag.Name), strings.TrimSpace(string(text)), c.source(flag))
	}
	sections, err := yaml.MarshalWithOptions(c.Flags.file.sections, yaml.Indent(2), yaml.IndentSequence(true))
	if err != nil {
		return err
	}
	_, err = out.Write(sections)
	return err
}

func (c *Config) source(flag *kong.Flag) string {
	switch c.Flags.origins[key(flag.Name)] {
	case originCommandLine:
		return "command line"
	case originEnvironment:
		return flag.Envs[0]
	case originFile:
		return c.Flags.file.path
	default:
		return "default"
	}
}

func effectiveValue(flag *kong.Flag) any {
	switch v := flag.Target.Interface().(type) {
	case List:
		return effectiveList(flag.Name, v)
	case time.Duration:
		return v.String()
	case Path:
		return string(v)
	case string:
		return effectiveText(flag.Name, v)
	default:
		return v
	}
}

func effectiveText(flag, text string) string {
	if flag == "redis-url" {
		return maskURL(text)
	}
	return text
}

func effectiveList(flag string, list List) []string {
	shown := make([]string, len(list))
	for i, entry := range list {
		switch flag {
		case "api-key":
			entry = maskKey(entry)
		case "jwt-secret":
			entry = maskSecret(entry)
		case "cluster-key":
			entry = masked
		case "jwt-jwks-url":
			entry = maskKeySet(entry)
		}
		shown[i] = entry
	}
	return shown
}

// yamlName is a field's key.
func yamlName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
	return name
}
