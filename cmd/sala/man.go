package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
)

// manCommand prints the manual page, sala(1), which packages contain.
type manCommand struct{}

// Run implements the command.
func (*manCommand) Run(_ context.Context, parsed *kong.Context, streams *cli.Streams) error {
	page := &manPage{}
	page.write(parsed.Model.Node)
	_, err := io.WriteString(streams.Out, page.String())
	return err
}

// manPage is a page in the macros of man(7).
type manPage struct{ strings.Builder }

// manSettings is the command whose flags "sala config check" shares.
const manSettings = "sala serve"

func (p *manPage) write(root *kong.Node) {
	p.macro(".TH", "SALA", "1", "", "Sala", "User Commands")
	p.macro(".SH", "NAME")
	p.line(`sala \- realtime broker for Socket.IO clients`)
	p.macro(".SH", "SYNOPSIS")
	p.line(`.B sala`)
	p.line(`.I command`)
	p.line(`.RI [ argument ...]`)
	p.line(`.RI [ flag ...]`)
	p.macro(".SH", "DESCRIPTION")
	p.paragraphs(".PP", description)
	p.macro(".SH", "COMMANDS")
	p.commands(root)
	p.macro(".SH", "EXIT STATUS")
	p.text(strings.TrimPrefix(exitCodes, "Exit codes: "))
	p.macro(".SH", "FILES")
	p.term(".I", "/etc/sala/sala.yaml")
	p.text("The settings of the broker that the packages install.")
	p.term(".I", "/etc/sala/secrets.env")
	p.text("Its secrets, as variables. Only root can read them.")
	p.macro(".SH", "SEE ALSO")
	p.line(`.UR https://github.com/salabroker/sala`)
	p.line(`.UE`)
}

// commands describes the commands below a node, each with those below it.
func (p *manPage) commands(node *kong.Node) {
	for _, child := range node.Children {
		if child.Hidden {
			continue
		}
		p.macro(".SS", synopsis(child))
		p.paragraphs(".PP", child.Help+"\n\n"+strings.Replace(child.Detail, exitCodes, "", 1))
		for _, argument := range child.Positional {
			p.term(".I", argument.Name)
			p.text(describeValue(argument))
		}
		p.flags(child)
		p.commands(child)
	}
}

// flags describes the flags of a command. Settings of a broker are described once.
func (p *manPage) flags(node *kong.Node) {
	shared, group := false, ""
	for _, flag := range node.Flags {
		switch {
		case flag.Hidden || flag.Name == "help":
		case node.FullPath() != manSettings && flag.Group != nil && flag.Group.Key != "server" && isSetting(node, flag):
			shared = true
		default:
			if flag.Group != nil && flag.Group.Title != group {
				group = flag.Group.Title
				p.line(".PP")
				p.text(group)
			}
			p.term(".B", flagSynopsis(flag))
			flag.Tag.Envs = flag.Envs // parsing has cleared those of other commands
			p.text(describeValue(flag.Value))
		}
	}
	if shared {
		p.line(".PP")
		p.text("It takes all flags of " + manSettings + ".")
	}
}

// isSetting reports whether a flag is one of the settings of a broker.
func isSetting(node *kong.Node, flag *kong.Flag) bool {
	root := node
	for root.Parent != nil {
		root = root.Parent
	}
	serve := findChild(root, strings.TrimPrefix(manSettings, "sala "))
	return serve != nil && slices.ContainsFunc(serve.Flags, func(setting *kong.Flag) bool {
		return setting.Name == flag.Name && slices.Equal(setting.Envs, flag.Envs) && len(flag.Envs) > 0
	})
}

func synopsis(node *kong.Node) string {
	words := []string{node.FullPath()}
	for _, argument := range node.Positional {
		words = append(words, argument.Summary())
	}
	return strings.Join(words, " ")
}

func flagSynopsis(flag *kong.Flag) string {
	name := "--" + flag.Name
	if flag.Short != 0 {
		name = "-" + string(flag.Short) + ", " + name
	}
	if !flag.IsBool() {
		name += " " + flag.FormatPlaceHolder()
	}
	return name
}

// text writes the text of an item, or of a section.
func (p *manPage) text(text string) { p.paragraphs(".IP", text) }

// paragraphs puts a macro between paragraphs. Lines that are indented stay as they are.
func (p *manPage) paragraphs(between, text string) {
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			p.line(between)
		}
		if !strings.HasPrefix(paragraph, "  ") {
			p.line(escape(paragraph))
			continue
		}
		p.line(".EX")
		p.line(escape(paragraph))
		p.line(".EE")
	}
}

// term begins an item of a list.
func (p *manPage) term(font, name string) {
	p.line(".TP")
	p.macro(font, name)
}

func (p *manPage) macro(name string, words ...string) {
	line := name
	for _, word := range words {
		line += ` "` + strings.ReplaceAll(escape(word), `"`, `\(dq`) + `"`
	}
	p.line(line)
}

func (p *manPage) line(line string) { fmt.Fprintln(p, line) }

// escape makes text of what would be a command of roff. Dashes stay what users type.
func escape(text string) string {
	lines := strings.Split(strings.NewReplacer(`\`, `\e`, `-`, `\-`, "`", `\(ga`, `'`, `\(aq`, `^`, `\(ha`, `~`, `\(ti`).Replace(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
