package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// binding is one way to make a call over REST.
type binding struct {
	method string // GET, POST or DELETE
	path   string // with variables in braces
	body   bool   // whether all fields that aren't in the path are in the body; else in the URL
}

// operation names the binding in the file of parts.
func (b binding) operation() string { return b.method + " " + b.path }

// variables returns the names, in the protos, of the fields in the path.
func (b binding) variables() []string {
	var names []string
	for _, found := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(b.path, -1) {
		names = append(names, found[1])
	}
	return names
}

// rule is a google.api.HttpRule, as far as this API uses it.
type rule struct {
	Selector string
	Get      string
	Post     string
	Delete   string
	Body     string
	Others   []rule `yaml:"additional_bindings"`
}

// readBindings reads a google.api.Service. The keys are the full names of methods.
func readBindings(name string) (map[string][]binding, error) {
	text, err := readFile("http", name)
	if err != nil {
		return nil, err
	}
	var service struct {
		Type    string
		Version int `yaml:"config_version"`
		HTTP    struct{ Rules []rule }
	}
	if err := yaml.UnmarshalWithOptions(text, &service, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	bindings := map[string][]binding{}
	for _, r := range service.HTTP.Rules {
		for _, one := range append([]rule{r}, r.Others...) {
			b, err := one.binding()
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, r.Selector, err)
			}
			bindings[r.Selector] = append(bindings[r.Selector], b)
		}
	}
	return bindings, nil
}

func (r rule) binding() (binding, error) {
	var found []binding
	for _, b := range []binding{{"GET", r.Get, false}, {"POST", r.Post, true}, {"DELETE", r.Delete, false}} {
		if b.path != "" {
			found = append(found, b)
		}
	}
	if len(found) != 1 || (r.Body == "*") != found[0].body {
		return binding{}, fmt.Errorf("a rule needs one path: a get or a delete, or a post with the body %q", "*")
	}
	if strings.Contains(found[0].path, "=") {
		return binding{}, fmt.Errorf("variables with patterns, as in %s, aren't supported", found[0].path)
	}
	return found[0], nil
}
