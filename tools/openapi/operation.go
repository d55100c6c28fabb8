package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

// operation describes one way to make a call.
func (d *document) operation(method *protogen.Method, b binding) (object, error) {
	if method.Desc.IsStreamingClient() {
		return nil, fmt.Errorf("%s takes a stream, which REST can't send", method.GoName)
	}
	parts := d.parts.Operations[b.operation()]
	id := parts.ID
	if id == "" {
		id = strings.ToLower(method.GoName[:1]) + method.GoName[1:]
	}
	text := d.text(method.Comments.Leading)
	o := object{
		{"tags", []string{method.Parent.GoName}},
		{"summary", parts.Summary},
		{"description", text},
		{"operationId", id},
	}
	scopes := scopesIn(text)
	if len(scopes) > 0 {
		o = o.with("security", []object{{{d.parts.Scheme, scopes}}})
	}
	parameters, err := d.parameters(method.Input, b, parts.Parameters)
	if err != nil {
		return nil, err
	}
	if len(parameters) > 0 {
		o = o.with("parameters", parameters)
	}
	if b.body {
		body, err := d.body(method.Input, b, parts.Request)
		if err != nil {
			return nil, err
		}
		o = o.with("requestBody", body)
	}
	success, err := d.success(method, parts.Response)
	if err != nil {
		return nil, err
	}
	responses := object{{"200", success}}
	for _, e := range d.parts.Errors {
		if e.appliesTo(method.Input, b, scopes) {
			responses = responses.with(e.Status, reference("responses", e.Name))
		}
	}
	return o.with("responses", responses), nil
}

// scopesIn returns the scope that the comment of a method ends with, in a list.
func scopesIn(text string) []string {
	if found := regexp.MustCompile(`\bScope: ([a-z:]+)\.`).FindStringSubmatch(text); found != nil {
		return found[1:]
	}
	return nil
}

// parameters describes the fields that are in the path or in the URL's query.
func (d *document) parameters(m *protogen.Message, b binding, examples map[string]ordered) ([]object, error) {
	left := maps.Clone(examples)
	var all []object
	add := func(in, prefix string, field *protogen.Field, required bool) error {
		schema, err := d.schemas.field(field, request, true)
		if err != nil {
			return err
		}
		name := prefix + field.Desc.JSONName()
		if in == "path" {
			name = string(field.Desc.Name()) // as the path writes it
		}
		p := object{{"name", name}, {"in", in}, {"description", d.text(field.Comments.Leading)}}
		if required {
			p = p.with("required", true)
		}
		schema = slices.DeleteFunc(schema, func(m member) bool { return m.name == "description" })
		p = p.with("schema", schema)
		if example, given := left[name]; given {
			p = p.with("example", example)
			delete(left, name)
		}
		all = append(all, p)
		return nil
	}
	variables := b.variables()
	for _, field := range m.Fields {
		inPath := slices.Contains(variables, string(field.Desc.Name()))
		switch {
		case inPath:
			if err := add("path", "", field, true); err != nil {
				return nil, err
			}
		case !b.body:
			required := slices.Contains(d.parts.Messages[m.GoIdent.GoName].Required, field.Desc.JSONName())
			for _, part := range inQuery(field) {
				if err := add("query", part.prefix, part.field, required); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, unused("parameters", slices.Sorted(maps.Keys(left)))
}

// queryPart is a field in the query of a URL.
type queryPart struct {
	prefix string // the message that it is in, with a dot
	field  *protogen.Field
}

// inQuery returns how a field is written in the query of a URL: as one parameter, or a message
// as one for each of its fields. The gateway takes no lists of any values there.
func inQuery(field *protogen.Field) []queryPart {
	if field.Message == nil || wellKnown(field.Message.Desc.FullName()) != nil {
		return []queryPart{{"", field}}
	}
	var parts []queryPart
	for _, inner := range field.Message.Fields {
		if inner.Message == nil {
			parts = append(parts, queryPart{field.Desc.JSONName() + ".", inner})
		}
	}
	return parts
}

func (d *document) body(m *protogen.Message, b binding, example *ordered) (object, error) {
	schema, err := d.schemas.ref(m, request, b.variables()...)
	if err != nil {
		return nil, err
	}
	content := object{{"schema", schema}}
	if example != nil {
		content = content.with("example", example)
	}
	body := object{{"content", object{{"application/json", content}}}}
	if len(d.parts.Messages[m.GoIdent.GoName].Required) > 0 {
		body = body.with("required", true)
	}
	return body, nil
}

// success describes the answer of a call that didn't fail.
func (d *document) success(method *protogen.Method, example *ordered) (object, error) {
	m := method.Output
	schema, err := d.schemas.ref(m, answer)
	if err != nil {
		return nil, err
	}
	if example == nil {
		return nil, fmt.Errorf("there is no example of a response")
	}
	description := d.text(m.Comments.Leading)
	if !method.Desc.IsStreamingServer() {
		return object{
			{"description", description},
			{"content", object{{"application/json", object{{"schema", schema}, {"example", example}}}}},
		}, nil
	}
	line := d.line(m, schema)
	content := object{{"schema", line}, {"example", object{{"result", example}}}}
	return object{
		{"description", "A stream. The schema is that of one line, or of the data of one server-sent event. " + description},
		{"content", object{{"application/x-ndjson", content}, {"text/event-stream", content}}},
	}, nil
}

// line defines the schema of one line of a stream: a message, or the error that ends the stream.
func (d *document) line(m *protogen.Message, message object) object {
	name := strings.TrimSuffix(m.GoIdent.GoName, "Response") + "Line"
	one := func(name string, value object) object {
		return object{{"type", "object"}, {"required", []string{name}}, {"properties", object{{name, value}}}}
	}
	d.schemas.defined = append(d.schemas.defined, member{name, object{
		{"description", "One line of the stream: a message or, as the last line of a stream that breaks, an error."},
		{"oneOf", []object{one("result", message), one("error", reference("schemas", "Status"))}},
	}})
	return reference("schemas", name)
}

// appliesTo reports whether a call can fail like that.
func (e errorResponse) appliesTo(m *protogen.Message, b binding, scopes []string) bool {
	switch e.When {
	case "body":
		return b.body
	case "scope":
		return len(scopes) > 0
	case "lookup": // of a namespace, or of what the path names
		named := func(field *protogen.Field) bool {
			return field.Desc.Name() == "namespace" || field.Desc.Name() == "namespaces" || field.Desc.Name() == "selector"
		}
		return len(b.variables()) > 0 || slices.ContainsFunc(m.Fields, named)
	}
	return true
}
