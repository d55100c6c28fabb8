package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// completionCommand prints what a shell needs to complete commands and flags.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"One of bash, zsh and fish."`
}

// Help is shown below the usage.
func (*completionCommand) Help() string {
	return `Add the line for your shell to its start-up file:

  bash  source <(sala completion bash)     # ~/.bashrc
  zsh   source <(sala completion zsh)      # ~/.zshrc, after compinit
  fish  sala completion fish | source      # ~/.config/fish/config.fish`
}

// Run implements the command.
func (c *completionCommand) Run(streams *cli.Streams) error {
	_, err := fmt.Fprint(streams.Out, completionScripts()[c.Shell])
	return err
}

// completionScripts have the shell ask "sala complete" about the words that are
// there. Where it knows of nothing, a file may be meant.
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

// completeCommand prints what the last of the words of a command line can become,
// one a line. Shells call it, see [completionCommand].
type completeCommand struct {
	Words []string `arg:"" optional:"" help:"The words after \"sala\"; the last may be empty or unfinished."`
}

// Run implements the command.
func (c *completeCommand) Run(command *kong.Context, streams *cli.Streams) error {
	for _, candidate := range candidates(command.Model.Node, c.Words) {
		if _, err := fmt.Fprintln(streams.Out, candidate); err != nil {
			return err
		}
	}
	return nil
}

// candidates returns what the last of words can become, in order.
func candidates(root *kong.Node, words []string) []string {
	if len(words) == 0 || words[len(words)-1] == "=" {
		words = append(words, "")
	}
	// bash makes three words of --flag=value.
	words = slices.DeleteFunc(slices.Clone(words), func(word string) bool { return word == "=" })
	typed, last := words[:len(words)-1], words[len(words)-1]
	node, given := root, 0 // how many positional arguments there are
	for i := 0; i < len(typed); i++ {
		word := typed[i]
		if word == "--" {
			return nil
		}
		if strings.HasPrefix(word, "-") {
			if flag := findFlag(node, word); flag != nil && !flag.IsBool() {
				if i == len(typed)-1 {
					return matching(enum(flag.Value), last)
				}
				i++ // its value
			}
			continue
		}
		if child := findChild(node, word); child != nil {
			node, given = child, 0
			continue
		}
		given++
	}
	if name, start, assigned := strings.Cut(last, "="); assigned {
		var all []string
		if flag := findFlag(node, name); flag != nil {
			for _, value := range matching(enum(flag.Value), start) {
				all = append(all, name+"="+value)
			}
		}
		return all
	}
	if strings.HasPrefix(last, "-") {
		return matching(flagNames(node), last)
	}
	var all []string
	for _, child := range node.Children {
		if !child.Hidden {
			all = append(all, child.Name)
		}
	}
	if given < len(node.Positional) {
		all = append(all, enum(node.Positional[given])...)
	}
	return matching(all, last)
}

func findChild(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

// flags are those that may follow a command, with those of the one that it is
// short for.
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

// findFlag finds the flag of a word without a value behind a "=".
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

// enum returns the values that one may have, if they are few. A file's name is
// for the shell to complete.
func enum(value *kong.Value) []string {
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
