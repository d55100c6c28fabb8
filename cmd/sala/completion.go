package main

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// completionCommand prints a shell script that completes commands and flags.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Your shell: bash, zsh or fish."`
}

// Help implements kong.HelpProvider.
func (*completionCommand) Help() string {
	return `Add the line of your shell to its start-up file:

  bash  source <(sala completion bash)     # ~/.bashrc
  zsh   source <(sala completion zsh)      # ~/.zshrc, after compinit
  fish  sala completion fish | source      # ~/.config/fish/config.fish`
}

// Run implements the command.
func (c *completionCommand) Run(_ context.Context, streams *cli.Streams) error {
	_, err := fmt.Fprint(streams.Out, completionScripts()[c.Shell])
	return err
}

// completionScripts make the shell call "sala complete" with the words typed so far. If that prints
// nothing, the shell completes file names.
func completionScripts() map[string]string {
	return map[string]string{
		"bash": `_sala() {
  local IFS=$'\n'
  COMPREPLY=($(sala complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _sala sala
`,
		"zsh": `_sala() {
  local -a found
  found=("${(@f)$(sala complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n $found ]]; then compadd -- $found; else _files; fi
}
compdef _sala sala
`,
		"fish": `function __sala_complete
  set -l words (commandline -opc) (commandline -ct)
  sala complete -- $words[2..-1] 2>/dev/null
end
complete -c sala -a '(__sala_complete)'
`,
	}
}

// completeCommand prints the completions of the last word of a command line, one per line. The
// scripts of [completionCommand] call it.
type completeCommand struct {
	Words []string `arg:"" optional:"" help:"Words after \"sala\"; the last may be empty or incomplete."`
}

// Run implements the command.
func (c *completeCommand) Run(_ context.Context, parsed *kong.Context, streams *cli.Streams) error {
	for _, candidate := range candidates(parsed.Model.Node, c.Words) {
		if _, err := fmt.Fprintln(streams.Out, candidate); err != nil {
			return err
		}
	}
	return nil
}

// candidates returns the sorted completions of the last word.
func candidates(root *kong.Node, words []string) []string {
	if len(words) == 0 || words[len(words)-1] == "=" {
		words = append(words, "")
	}
	// bash splits --flag=value into three words.
	words = slices.DeleteFunc(slices.Clone(words), func(word string) bool { return word == "=" })
	last := words[len(words)-1]
	at, ok := parseTyped(root, words[:len(words)-1])
	switch name, start, assigned := strings.Cut(last, "="); {
	case !ok:
		return nil
	case at.flag != nil:
		return matching(enum(at.flag.Value), last)
	case assigned:
		return assignments(findFlag(at.node, name), name, start)
	case strings.HasPrefix(last, "-"):
		return matching(flagNames(at.node), last)
	}
	var all []string
	for _, child := range at.node.Children {
		if !child.Hidden {
			all = append(all, child.Name)
		}
	}
	if at.arguments < len(at.node.Positional) {
		all = append(all, enum(at.node.Positional[at.arguments])...)
	}
	return matching(all, last)
}

// position is where the last word of a command line stands.
type position struct {
	node      *kong.Node // the command
	flag      *kong.Flag // the flag whose value the last word is, nil for none
	arguments int        // positional arguments of the command so far
}

// parseTyped parses the words before the last. It returns false after "--", where anything may
// follow.
func parseTyped(root *kong.Node, typed []string) (position, bool) {
	at := position{node: root}
	for _, word := range typed {
		child := findChild(at.node, word)
		switch {
		case at.flag != nil:
			at.flag = nil // the word is its value
		case word == "--":
			return at, false
		case strings.HasPrefix(word, "-"):
			if flag := findFlag(at.node, word); flag != nil && !flag.IsBool() {
				at.flag = flag
			}
		case child != nil:
			at.node, at.arguments = child, 0
		default:
			at.arguments++
		}
	}
	return at, true
}

// assignments completes the value in --flag=value.
func assignments(flag *kong.Flag, name, start string) []string {
	if flag == nil {
		return nil
	}
	var all []string
	for _, value := range matching(enum(flag.Value), start) {
		all = append(all, name+"="+value)
	}
	return all
}

func findChild(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

// flags returns the flags that a command accepts, including those of its default subcommand.
func flags(node *kong.Node) []*kong.Flag {
	var all []*kong.Flag
	for _, group := range node.AllFlags(true) {
		all = append(all, group...)
	}
	if node.DefaultCmd != nil {
		all = append(all, node.DefaultCmd.Flags...)
	}
	return all
}

// findFlag finds the flag that a word without "=" names.
func findFlag(node *kong.Node, word string) *kong.Flag {
	for _, flag := range flags(node) {
		if word == "--"+flag.Name || flag.Short != 0 && word == "-"+string(flag.Short) {
			return flag
		}
	}
	return nil
}

func flagNames(node *kong.Node) []string {
	var names []string
	for _, flag := range flags(node) {
		names = append(names, "--"+flag.Name)
	}
	return names
}

// enum returns the values that a flag or argument accepts, nil if it accepts any. The shell
// completes file names.
func enum(value *kong.Value) []string {
	if value.Tag.PlaceHolder == "KIND" {
		return strings.Split(cli.KindNames(), ", ")
	}
	if value.Target.Type() == reflect.TypeFor[config.Path]() || value.Enum == "" {
		return nil
	}
	return value.EnumSlice()
}

func matching(all []string, start string) []string {
	found := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return !strings.HasPrefix(s, start) })
	slices.Sort(found)
	return slices.Compact(found)
}
