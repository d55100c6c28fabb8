// Command docgen writes the pages of docs/reference from what they describe: the flags of the
// broker, the help of its commands, the help of its metrics, the reasons of its errors, and the
// comments of the protos. notes.yaml adds what these don't know, such as links. `make generate` runs it.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/goccy/go-yaml"
)

// header begins every page. GitHub and the site don't show it.
const header = "<!-- `make generate` writes this page. Change what it is made from instead: %s. -->\n\n"

//go:embed notes.yaml
var notesYAML []byte

// notes are what the pages say beyond their sources, by name. A name that a source doesn't have is
// an error, so that nothing outlives what it is about.
type notes struct {
	// Settings have a page that says more.
	Settings map[string]string `yaml:"settings"`
	Metrics  map[string]struct {
		// Labels describes the values of all labels.
		Labels string `yaml:"labels"`
		// More follows the help.
		More string `yaml:"more"`
	} `yaml:"metrics"`
	// Reasons are those of the control API.
	Reasons map[string]struct {
		// Code is the gRPC code where the source doesn't show it; none means that gRPC has no such error.
		Code string `yaml:"code"`
		// HTTP is the status where it doesn't follow from the code; none means that REST has no such error.
		HTTP string `yaml:"http"`
		// Do says what the caller can do.
		Do string `yaml:"do"`
	} `yaml:"reasons"`
}

func main() {
	os.Exit(run())
}

// run returns the exit code.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root := flag.String("root", ".", "the repository")
	out := flag.String("out", "docs/reference", "the folder for the pages")
	image := flag.String("protos", "", "what buf build has written: a FileDescriptorSet with comments")
	sala := flag.String("sala", "", "the binary whose commands are described")
	flag.Parse()
	if err := generate(ctx, *root, *out, *image, *sala); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		return 1
	}
	return 0
}

func generate(ctx context.Context, root, out, image, sala string) error {
	var n notes
	if err := yaml.UnmarshalWithOptions(notesYAML, &n, yaml.Strict()); err != nil {
		return fmt.Errorf("notes.yaml: %w", err)
	}
	source, err := readSource(root, "api", "broker", "cmd")
	if err != nil {
		return err
	}
	rest, err := readREST(root)
	if err != nil {
		return err
	}
	protos, err := readProtos(image, rest)
	if err != nil {
		return err
	}
	guides, err := readGuides(filepath.Join(root, "docs"))
	if err != nil {
		return err
	}
	var failed error
	page := func(name, from string, text string, err error) {
		if err == nil {
			err = os.WriteFile(filepath.Join(out, name+".md"), []byte(fmt.Sprintf(header, from)+text), 0o644) //nolint:gosec // pages are for everyone
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s.md: %w", name, err))
		}
	}
	text, err := settingsPage(n.Settings)
	page("configuration", "cmd/sala/internal/config/flags.go", text, err)
	text, err = commandsPage(ctx, sala)
	page("cli", "the help texts in cmd/sala", text, err)
	text, err = metricsPage(source, n)
	page("metrics", "the help texts of the metrics, and cmd/sala/internal/docgen/notes.yaml", text, err)
	text, err = errorsPage(source, guides, n)
	page("errors", "the constants of the reasons, cmd/sala/internal/docgen/notes.yaml, and the tables of the guides", text, err)
	text, err = protos.apiPage()
	page("api", "the comments and http.yaml of proto/sala/v1", text, err)
	text, err = protos.eventsPage()
	page("events", "the comments of proto/sala/v1/event.proto", text, err)
	return failed
}
