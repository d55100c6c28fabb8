package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/salabroker/sala/cmd/sala/internal/config"
)

const settingsIntro = `# Settings

Every setting of ` + "`sala serve`" + `, as a flag. Each is also an environment variable and, except
` + "`--config`" + `, a key of the YAML file: the flag's name with underscores. A flag overrides a variable,
and a variable overrides the file. [Configuration](../configuration.md) explains the file and its
sections, keys and secrets.

- Durations look like ` + "`500ms`, `25s` or `1m30s`" + `.
- A *repeatable* setting takes several values: repeat the flag, separate the values with spaces in
  the variable, or write a list in the file.
- A setting without a value in its row is a switch. Turn it off with ` + "`=false`" + `.
`

// settingsPage describes the flags of a broker. see has the page that says more about a flag.
func settingsPage(see map[string]string) (string, error) {
	parser, err := kong.New(&struct{ config.Flags }{}, kong.ExplicitGroups(config.Groups()),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), config.DurationMapper()))
	if err != nil {
		return "", fmt.Errorf("reading the flags: %w", err)
	}
	var page strings.Builder
	page.WriteString(settingsIntro)
	var described []string
	for _, group := range config.Groups() {
		fmt.Fprintf(&page, "\n## %s\n\n| setting | variable | default | |\n|---|---|---|---|\n", strings.TrimSuffix(group.Title, ":"))
		for _, flag := range parser.Model.Flags {
			if flag.Group == nil || flag.Group.Key != group.Key {
				continue
			}
			described = append(described, flag.Name)
			name := "--" + flag.Name
			if flag.PlaceHolder != "" && !flag.IsBool() {
				name += " " + flag.PlaceHolder
			}
			text := plain(flag.Help)
			if target := see[flag.Name]; target != "" {
				text += " [More](" + target + ")"
			}
			fmt.Fprintf(&page, "| %s | `%s` | %s | %s |\n", code(name), strings.Join(flag.Envs, ", "), defaultOf(flag), text)
		}
	}
	return page.String(), unknown("settings", see, described)
}

func defaultOf(flag *kong.Flag) string {
	switch {
	case flag.HasDefault && flag.Default != "":
		return code(flag.Default)
	case flag.IsBool():
		return "off"
	}
	return ""
}

// unknown fails if notes are about names that their source doesn't have.
func unknown[N any](section string, notes map[string]N, known []string) error {
	for name := range notes {
		if !slices.Contains(known, name) {
			return fmt.Errorf("notes.yaml: %s.%s doesn't exist", section, name)
		}
	}
	return nil
}
