package main

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// direction says whether JSON comes from the caller or from the broker.
type direction int

const (
	request direction = iota
	answer
)

// schemas collects the schemas of messages and enums that operations use.
type schemas struct {
	parts *parts
	text  func(protogen.Comments) string

	defined []member
	seen    map[protoreflect.FullName]direction
	enums   map[protoreflect.FullName]bool
}

// ref defines the schema of a message, if it isn't yet, and returns a reference to it. The
// fields that omit names aren't part of it.
func (s *schemas) ref(m *protogen.Message, d direction, omit ...string) (object, error) {
	name := m.Desc.FullName()
	if before, known := s.seen[name]; known {
		if before != d {
			return nil, fmt.Errorf("%s is part of requests and of answers, which differ in JSON", name)
		}
		return reference("schemas", m.GoIdent.GoName), nil
	}
	if s.seen == nil {
		s.seen = map[protoreflect.FullName]direction{}
	}
	s.seen[name] = d
	at := len(s.defined) // before those of its fields
	s.defined = append(s.defined, member{})
	schema, err := s.message(m, d, omit)
	if err != nil {
		return nil, err
	}
	s.defined[at] = member{m.GoIdent.GoName, schema}
	return reference("schemas", m.GoIdent.GoName), nil
}

func reference(kind, name string) object {
	return object{{"$ref", "#/components/" + kind + "/" + name}}
}

func (s *schemas) message(m *protogen.Message, d direction, omit []string) (object, error) {
	schema := object{}.with("description", s.text(m.Comments.Leading))
	if len(m.Oneofs) == 1 && len(m.Oneofs[0].Fields) == len(m.Fields) {
		return s.choice(schema, m, d)
	}
	parts := s.parts.Messages[m.GoIdent.GoName]
	var properties object
	required := []string{}
	for _, field := range m.Fields {
		name := field.Desc.JSONName()
		if slices.Contains(omit, string(field.Desc.Name())) {
			continue
		}
		value, err := s.field(field, d, slices.Contains(parts.Set, name))
		if err != nil {
			return nil, err
		}
		properties = properties.with(name, value)
		if d == answer && field.Oneof == nil || slices.Contains(parts.Required, name) {
			required = append(required, name)
		}
	}
	schema = schema.with("type", "object")
	if len(required) > 0 {
		schema = schema.with("required", required)
	}
	if len(properties) > 0 {
		schema = schema.with("properties", properties)
	}
	if d == request {
		schema = schema.with("additionalProperties", false)
	}
	return schema, nil
}

// choice is the schema of a message that is exactly one of its fields.
func (s *schemas) choice(schema object, m *protogen.Message, d direction) (object, error) {
	var choices []object
	for _, field := range m.Fields {
		value, err := s.field(field, d, true)
		if err != nil {
			return nil, err
		}
		name := field.Desc.JSONName()
		choices = append(choices, object{
			{"type", "object"},
			{"required", []string{name}},
			{"properties", object{{name, value}}},
		})
	}
	return schema.with("oneOf", choices), nil
}

// field is the schema of a field's value. set says that it is never null.
func (s *schemas) field(field *protogen.Field, d direction, set bool) (object, error) {
	if field.Desc.IsMap() {
		return nil, fmt.Errorf("%s: maps aren't supported", field.Desc.FullName())
	}
	value, err := s.value(field, d)
	if err != nil {
		return nil, err
	}
	text := s.text(field.Comments.Leading)
	switch {
	case field.Desc.IsList():
		return object{{"type", "array"}, {"items", value}, {"description", text}}, nil
	case field.Message != nil && d == answer && !set:
		value = orNull(value)
	}
	return value.with("description", text), nil
}

// orNull is the schema of a value that may be null.
func orNull(value object) object {
	if len(value) == 0 { // any value
		return value
	}
	if value[0].name == "type" {
		nullable := slices.Clone(value)
		nullable[0].value = []any{value[0].value, "null"}
		return nullable
	}
	return object{{"anyOf", []object{value, {{"type", "null"}}}}}
}

// value is the schema of one value of a field, as ProtoJSON writes it.
// https://protobuf.dev/programming-guides/json/
func (s *schemas) value(field *protogen.Field, d direction) (object, error) {
	switch field.Desc.Kind() {
	case protoreflect.MessageKind:
		if known := wellKnown(field.Message.Desc.FullName()); known != nil {
			return known, nil
		}
		return s.ref(field.Message, d)
	case protoreflect.EnumKind:
		return s.enum(field.Enum), nil
	case protoreflect.BoolKind:
		return object{{"type", "boolean"}}, nil
	case protoreflect.StringKind:
		return object{{"type", "string"}}, nil
	case protoreflect.BytesKind:
		return object{{"type", "string"}, {"contentEncoding", "base64"}}, nil
	case protoreflect.Int32Kind:
		return object{{"type", "integer"}, {"format", "int32"}}, nil
	case protoreflect.Uint32Kind:
		return object{{"type", "integer"}, {"format", "int64"}, {"minimum", 0}, {"maximum", uint32(1<<32 - 1)}}, nil
	case protoreflect.Uint64Kind:
		return object{{"type", "string"}, {"format", "uint64"}, {"pattern", "^[0-9]+$"}}, nil
	case protoreflect.FloatKind:
		return object{{"type", "number"}, {"format", "float"}}, nil
	default:
		return nil, fmt.Errorf("%s: fields of the type %s aren't supported", field.Desc.FullName(), field.Desc.Kind())
	}
}

// wellKnown returns the schema of a message with a JSON form of its own, or nil.
func wellKnown(name protoreflect.FullName) object {
	switch name {
	case "google.protobuf.Timestamp":
		return object{{"type", "string"}, {"format", "date-time"}}
	case "google.protobuf.Duration":
		return object{{"type", "string"}, {"pattern", `^-?[0-9]+(\.[0-9]{1,9})?s$`}, {"examples", []string{"2.5s"}}}
	case "google.protobuf.ListValue":
		return object{{"type", "array"}, {"items", object{}}}
	case "google.protobuf.Struct":
		return object{{"type", "object"}, {"additionalProperties", true}}
	case "google.protobuf.Value":
		return object{}
	}
	return nil
}

// enum defines the schema of an enum, if it isn't yet, and returns a reference to it. Its
// description lists what the values mean.
func (s *schemas) enum(e *protogen.Enum) object {
	name := e.GoIdent.GoName
	if s.enums[e.Desc.FullName()] {
		return reference("schemas", name)
	}
	if s.enums == nil {
		s.enums = map[protoreflect.FullName]bool{}
	}
	s.enums[e.Desc.FullName()] = true
	var values []string
	description := []string{s.text(e.Comments.Leading), ""}
	for _, v := range e.Values {
		values = append(values, string(v.Desc.Name()))
		description = append(description, fmt.Sprintf("- `%s`: %s", v.Desc.Name(), s.text(v.Comments.Leading)))
	}
	s.defined = append(s.defined, member{name, object{
		{"description", strings.Join(description, "\n")},
		{"type", "string"},
		{"enum", values},
	}})
	return reference("schemas", name)
}
