package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/salabroker/sala/cmd/sala/internal/cli"
)

func TestManualPage(t *testing.T) {
	code, page, stderr := sala(t, "man")
	if code != exitOK {
		t.Fatal(stderr)
	}
	parser, err := newParser(&commands{}, cli.Streams{})
	if err != nil {
		t.Fatal(err)
	}
	_ = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		command, ok := node.(*kong.Node)
		if !ok || command.Type != kong.CommandNode || command.Hidden {
			return next(nil)
		}
		heading := `.SS "` + escape(command.FullPath())
		_, section, found := strings.Cut(page, heading+`"`)
		if !found {
			_, section, found = strings.Cut(page, heading+" ")
		}
		if !found {
			t.Errorf("the page lacks %s", command.FullPath())
		}
		section, _, _ = strings.Cut(section, "\n.SS ")
		for _, flag := range command.Flags {
			if flag.Hidden {
				continue
			}
			shared := command.FullPath() != manSettings && isSetting(command, flag)
			if flag.Name != "help" && !shared && !strings.Contains(section, escape("--"+flag.Name)) {
				t.Errorf("%s lacks --%s", command.FullPath(), flag.Name)
			}
			if len(flag.Envs) > 0 && !shared && !strings.Contains(section, "$"+flag.Envs[0]) {
				t.Errorf("%s lacks $%s", command.FullPath(), flag.Envs[0])
			}
		}
		return next(nil)
	})
}

func TestEscape(t *testing.T) {
	if got, want := escape("a-b\n.c \\ 'd'"), "a\\-b\n\\&.c \\e \\(aqd\\(aq"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
