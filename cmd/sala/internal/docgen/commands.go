package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

const commandsIntro = `# Commands

What ` + "`sala --help`" + ` and ` + "`sala COMMAND --help`" + ` print. The settings of ` + "`sala serve`" + ` and
` + "`sala config check`" + ` have [a page of their own](configuration.md).

`

// commandLine finds a command in the help of the command above it.
var commandLine = regexp.MustCompile(`(?m)^  ([a-z-]+(?: [a-z-]+)*)(?: .*)?$`)

// commandsPage shows the help of every command of the binary.
func commandsPage(ctx context.Context, sala string) (string, error) {
	var page strings.Builder
	page.WriteString(commandsIntro)
	if err := describe(ctx, &page, sala, nil); err != nil {
		return "", err
	}
	return strings.TrimRight(page.String(), "\n") + "\n", nil
}

func describe(ctx context.Context, page *strings.Builder, sala string, command []string) error {
	out, err := exec.CommandContext(ctx, sala, append(append([]string{}, command...), "--help")...).Output() //nolint:gosec // the binary that was just built
	if err != nil {
		return fmt.Errorf("sala %s --help: %w", strings.Join(command, " "), err)
	}
	help := strings.TrimSpace(string(out))
	head, flags, _ := strings.Cut(help, "\n\nFlags:")
	if len(command) > 0 {
		fmt.Fprintf(page, "## sala %s\n\n", strings.Join(command, " "))
	}
	shown := head
	if !hasSettings(help) {
		shown = help
	} else if flags != "" {
		shown = head + "\n\nFlags: the settings of a broker."
	}
	fmt.Fprintf(page, "```text\n%s\n```\n\n", shown)
	_, list, found := strings.Cut(head, "\n\nCommands:\n")
	if !found {
		return nil
	}
	list, _, _ = strings.Cut(list, "\n\n")
	for _, match := range commandLine.FindAllStringSubmatch(list, -1) {
		words := strings.Fields(match[1])
		name := words[len(words)-1]
		if err := describe(ctx, page, sala, append(append([]string{}, command...), name)); err != nil {
			return err
		}
	}
	return nil
}

// hasSettings reports whether a command takes the settings of a broker, which have their own page.
func hasSettings(help string) bool { return strings.Contains(help, "--recovery-window") }
