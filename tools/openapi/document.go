package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

// document is the description while it is being made.
type document struct {
	parts   *parts
	schemas *schemas
	names   map[string]string // the fields' names in JSON by their names in the protos
	tags    []object
}

// fieldNames returns the names of all fields that are written differently in JSON.
func fieldNames(files []*protogen.File) map[string]string {
	names := map[string]string{}
	for _, file := range files {
		for _, m := range file.Messages {
			for _, field := range m.Fields {
				if proto := string(field.Desc.Name()); proto != field.Desc.JSONName() {
					names[proto] = field.Desc.JSONName()
				}
			}
		}
	}
	return names
}

// text returns a comment as Markdown, with the fields' names as in JSON and one line for each
// paragraph. Quoted names stay as they are.
func (d *document) text(comment protogen.Comments) string {
	var paragraphs []string
	for _, paragraph := range strings.Split(strings.TrimSpace(string(comment)), "\n\n") {
		paragraphs = append(paragraphs, strings.Join(strings.Fields(paragraph), " "))
	}
	namesAndQuotes := regexp.MustCompile("\"[^\"]*\"|`[^`]*`|\\b[a-z]+(?:_[a-z]+)+\\b")
	return namesAndQuotes.ReplaceAllStringFunc(strings.Join(paragraphs, "\n\n"), func(word string) string {
		if name, known := d.names[word]; known {
			return name
		}
		return word
	})
}

// paths returns the operations of all services, by their paths.
func (d *document) paths(files []*protogen.File, bindings map[string][]binding) (object, error) {
	var paths object
	left := maps.Clone(d.parts.Operations)
	for _, file := range files {
		if !file.Generate {
			continue
		}
		for _, service := range file.Services {
			var used bool
			for _, method := range service.Methods {
				for _, b := range bindings[string(method.Desc.FullName())] {
					if _, described := left[b.operation()]; !described {
						return nil, fmt.Errorf("the file of parts has no operation %q", b.operation())
					}
					delete(left, b.operation())
					o, err := d.operation(method, b)
					if err != nil {
						return nil, fmt.Errorf("%s: %w", b.operation(), err)
					}
					paths, used = addOperation(paths, b, o), true
				}
			}
			if used {
				d.tags = append(d.tags, object{{"name", service.GoName}, {"description", d.text(service.Comments.Leading)}})
			}
		}
	}
	return paths, unused("operations", slices.Sorted(maps.Keys(left)))
}

func addOperation(paths object, b binding, o object) object {
	method := strings.ToLower(b.method)
	for i, path := range paths {
		if operations, ok := path.value.(object); ok && path.name == b.path {
			paths[i].value = operations.with(method, o)
			return paths
		}
	}
	return paths.with(b.path, object{{method, o}})
}

// assemble returns the whole description.
func (d *document) assemble(paths object) (object, error) {
	if err := d.checkMessages(); err != nil {
		return nil, err
	}
	schemas := slices.Clone(object(d.schemas.defined))
	slices.SortFunc(schemas, func(a, b member) int { return strings.Compare(a.name, b.name) })
	for _, schema := range d.parts.Components.Schemas {
		schemas = schemas.with(schema.Name, schema.Value)
	}
	var responses object
	for _, e := range d.parts.Errors {
		responses = responses.with(e.Name, e.response())
	}
	return object{
		{"openapi", "3.1.0"},
		{"info", d.parts.Info},
		{"servers", []object{{{"url", "/"}}}},
		{"security", []object{{{d.parts.Scheme, []string{}}}}},
		{"tags", d.tags},
		{"paths", paths},
		{"components", object{
			{"securitySchemes", d.parts.Components.SecuritySchemes},
			{"responses", responses},
			{"schemas", schemas},
		}},
	}, nil
}

// checkMessages returns an error for parts of messages or fields that don't exist.
func (d *document) checkMessages() error {
	properties := map[string]object{}
	for _, schema := range d.schemas.defined {
		if o, ok := schema.value.(object); ok {
			for _, m := range o {
				if fields, ok := m.value.(object); ok && m.name == "properties" {
					properties[schema.name] = fields
				}
			}
		}
	}
	var missing []string
	for name, parts := range d.parts.Messages {
		for _, field := range slices.Concat(parts.Required, parts.Set) {
			if !slices.ContainsFunc(properties[name], func(m member) bool { return m.name == field }) {
				missing = append(missing, name+"."+field)
			}
		}
	}
	slices.Sort(missing)
	return unused("fields", missing)
}

func (e errorResponse) response() object {
	description := e.Description
	if len(e.Reasons) > 0 {
		description += " Reasons: `" + strings.Join(e.Reasons, "`, `") + "`."
	}
	return object{
		{"description", description},
		{"content", object{{"application/json", object{
			{"schema", reference("schemas", "Status")},
			{"example", e.Example},
		}}}},
	}
}
