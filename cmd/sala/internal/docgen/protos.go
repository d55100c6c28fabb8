package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/salabroker/sala/api/auth"
)

const (
	apiIntro = `# API

Every call of the control API and every message, from the comments of the
[protos](../../proto/sala/v1). [Control API](../api.md) is the guide: it has examples, and says what
[all calls have in common](../api.md#names-and-json). The event stream has [a page of its
own](events.md).

Fields have their names of the protos here. JSON, and so REST, writes them in camelCase:
` + "`args_json`" + ` is ` + "`argsJson`" + `.
`
	eventsIntro = `# Events

What the broker tells backends, from the comments of the [protos](../../proto/sala/v1/event.proto).
[Events to backends](../events.md) is the guide.
`
	apiPackage  = "sala.v1"
	eventsProto = "sala/v1/event.proto"
)

type protos struct {
	files []protoreflect.FileDescriptor
	rest  map[string][]string // the addresses of calls, by their full names
}

// readProtos reads a FileDescriptorSet with comments.
func readProtos(image string, rest map[string][]string) (*protos, error) {
	raw, err := os.ReadFile(image)
	if err != nil {
		return nil, fmt.Errorf("reading the protos: %w", err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("reading the protos: %w", err)
	}
	registry, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("reading the protos: %w", err)
	}
	p := &protos{rest: rest}
	registry.RangeFilesByPackage(apiPackage, func(file protoreflect.FileDescriptor) bool {
		p.files = append(p.files, file)
		return true
	})
	slices.SortFunc(p.files, func(a, b protoreflect.FileDescriptor) int { return strings.Compare(a.Path(), b.Path()) })
	if len(p.files) == 0 {
		return nil, fmt.Errorf("reading the protos: %w", protoregistry.NotFound)
	}
	return p, nil
}

// apiPage describes all services but that of events.
func (p *protos) apiPage() (string, error) {
	page := &protoPage{rest: p.rest}
	page.WriteString(apiIntro)
	for _, file := range p.files {
		if file.Path() == eventsProto {
			continue
		}
		for i := range file.Services().Len() {
			page.service(file.Services().Get(i))
		}
	}
	for _, file := range p.files {
		if file.Path() != eventsProto {
			page.types(file)
		}
	}
	return page.String(), page.failed
}

// eventsPage describes the kinds of events, and the service and the messages that carry them.
func (p *protos) eventsPage() (string, error) {
	page := &protoPage{inEvents: true, rest: p.rest}
	page.WriteString(eventsIntro)
	for _, file := range p.files {
		if file.Path() != eventsProto {
			continue
		}
		for i := range file.Services().Len() {
			page.service(file.Services().Get(i))
		}
		page.types(file)
	}
	return page.String(), page.failed
}

// protoPage is a page about descriptors.
type protoPage struct {
	strings.Builder
	inEvents bool
	rest     map[string][]string
	failed   error
}

func (p *protoPage) service(s protoreflect.ServiceDescriptor) {
	fmt.Fprintf(p, "\n## %s\n\n%s\n", s.Name(), paragraphs(comment(s)))
	for i := range s.Methods().Len() {
		method := s.Methods().Get(i)
		scope, known := auth.ScopeOf(fmt.Sprintf("/%s/%s", s.FullName(), method.Name()))
		if !known {
			p.failed = errors.Join(p.failed, fmt.Errorf("%s has no scope", method.FullName()))
		}
		needs := "any key"
		if scope != auth.NoScope {
			needs = "`" + string(scope) + "`"
		}
		text := strings.TrimSpace(strings.Replace(comment(method), "Scope: "+string(scope)+".", "", 1))
		over := "gRPC only"
		if addresses := p.rest[string(method.FullName())]; len(addresses) > 0 {
			over = "`" + strings.Join(addresses, "`, `") + "`"
		}
		fmt.Fprintf(p, "\n### %s.%s\n\n%s\n\n| REST | takes | returns | needs |\n|---|---|---|---|\n| %s | %s | %s | %s |\n", s.Name(), method.Name(),
			paragraphs(text), over, p.streamed(method.IsStreamingClient(), method.Input()), p.streamed(method.IsStreamingServer(), method.Output()), needs)
	}
}

func (p *protoPage) streamed(stream bool, m protoreflect.MessageDescriptor) string {
	if stream {
		return "a stream of " + p.link(m)
	}
	return p.link(m)
}

// types describes the messages and enums of a file.
func (p *protoPage) types(file protoreflect.FileDescriptor) {
	for i := range file.Enums().Len() {
		p.enum(file.Enums().Get(i))
	}
	for i := range file.Messages().Len() {
		p.message(file.Messages().Get(i))
	}
}

func (p *protoPage) enum(e protoreflect.EnumDescriptor) {
	fmt.Fprintf(p, "\n## %s\n\n%s\n\n| value | |\n|---|---|\n", typeName(e), paragraphs(comment(e)))
	for i := range e.Values().Len() {
		value := e.Values().Get(i)
		fmt.Fprintf(p, "| `%s` | %s |\n", value.Name(), plain(comment(value)))
	}
}

func (p *protoPage) message(m protoreflect.MessageDescriptor) {
	fmt.Fprintf(p, "\n## %s\n\n%s\n", typeName(m), paragraphs(comment(m)))
	if m.Fields().Len() > 0 {
		p.WriteString("\n| field | type | |\n|---|---|---|\n")
	}
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		fmt.Fprintf(p, "| `%s` | %s | %s |\n", field.Name(), p.typeOf(field), plain(comment(field)))
	}
	for i := range m.Enums().Len() {
		p.enum(m.Enums().Get(i))
	}
	for i := range m.Messages().Len() {
		if nested := m.Messages().Get(i); !nested.IsMapEntry() {
			p.message(nested)
		}
	}
}

func (p *protoPage) typeOf(field protoreflect.FieldDescriptor) string {
	if field.IsMap() {
		return fmt.Sprintf("map of %s to %s", p.typeOf(field.MapKey()), p.typeOf(field.MapValue()))
	}
	name := field.Kind().String()
	switch field.Kind() { //nolint:exhaustive // the others are their own names
	case protoreflect.MessageKind:
		name = p.link(field.Message())
	case protoreflect.EnumKind:
		name = p.link(field.Enum())
	}
	switch {
	case field.IsList():
		return "list of " + name
	case field.ContainingOneof() != nil && !field.ContainingOneof().IsSynthetic():
		return name + ", or another"
	}
	return name
}

// link links to where a type is described.
func (p *protoPage) link(d protoreflect.Descriptor) string {
	if d.ParentFile().Package() != apiPackage {
		return "`" + string(d.FullName()) + "`"
	}
	page := ""
	switch inEvents := d.ParentFile().Path() == eventsProto; {
	case inEvents && !p.inEvents:
		page = "events.md"
	case !inEvents && p.inEvents:
		page = "api.md"
	}
	name := typeName(d)
	return fmt.Sprintf("[%s](%s#%s)", name, page, strings.ReplaceAll(strings.ToLower(name), ".", ""))
}

// typeName returns a name without the package: "Outer.Inner".
func typeName(d protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(d.FullName()), apiPackage+".")
}

func comment(d protoreflect.Descriptor) string {
	return d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments
}
