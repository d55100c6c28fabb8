// Command openapi is a protoc plugin that writes the OpenAPI 3.1 description of the REST API.
// `make generate` runs it through buf.
//
// It reads the protos with their comments, the file that maps calls to REST (option http), and the
// parts of the description that neither has, such as examples (option parts). It describes JSON as
// the REST API writes it: answers have all fields, requests may have no others, 64-bit numbers are
// text. Existing plugins describe other things: protoc-gen-openapiv2 writes Swagger 2.0, and
// gnostic's and connect's need annotations in the protos and don't know streams of JSON lines.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"google.golang.org/protobuf/compiler/protogen"
)

func main() {
	var flags flag.FlagSet
	http := flags.String("http", "", "the YAML file that maps calls to REST")
	parts := flags.String("parts", "", "the YAML file with the parts that don't come from the protos")
	protogen.Options{ParamFunc: flags.Set}.Run(func(plugin *protogen.Plugin) error {
		return generate(plugin, *http, *parts)
	})
}

// generate writes the description of all services of the plugin's files.
func generate(plugin *protogen.Plugin, httpFile, partsFile string) error {
	bindings, err := readBindings(httpFile)
	if err != nil {
		return err
	}
	parts, err := readParts(partsFile)
	if err != nil {
		return err
	}
	doc := &document{parts: parts, names: fieldNames(plugin.Files), schemas: &schemas{parts: parts}}
	doc.schemas.text = doc.text
	paths, err := doc.paths(plugin.Files, bindings)
	if err != nil {
		return err
	}
	whole, err := doc.assemble(paths)
	if err != nil {
		return err
	}
	text, err := whole.indented()
	if err != nil {
		return err
	}
	_, err = plugin.NewGeneratedFile("openapi.json", "").Write(text)
	return err
}

// unused returns an error that names entries of the file of parts that describe nothing.
func unused(what string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s that don't exist: %q", what, names)
}

// readFile reads a file that an option names.
func readFile(option, name string) ([]byte, error) {
	if name == "" {
		return nil, errors.New("the option " + option + " is missing")
	}
	return os.ReadFile(name)
}
