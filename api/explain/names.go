package explain

import (
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
)

// InJSON returns a failure with the names that the fields of the request have in JSON, for
// callers over REST. Services use the names of the protos.
func InJSON(f apierror.Failure, request protoreflect.MessageDescriptor) apierror.Failure {
	if len(f.Fields) == 0 || request == nil {
		return f
	}
	renamed := make([]broker.FieldViolation, len(f.Fields))
	for i, fault := range f.Fields {
		renamed[i] = broker.FieldViolation{
			Field:       jsonPath(request, fault.Field),
			Description: jsonNamesIn(request, fault.Description),
		}
	}
	f.Fields, f.Message = renamed, apierror.Invalid(renamed...).Message
	return f
}

// jsonPath returns a path such as "emits[1].except_rooms[0]" with the names of JSON:
// "emits[1].exceptRooms[0]". Parts that aren't fields stay as they are.
func jsonPath(message protoreflect.MessageDescriptor, path string) string {
	parts := strings.Split(path, ".")
	for i, part := range parts {
		name, index, isElement := strings.Cut(part, "[")
		if message == nil {
			break
		}
		field := fieldNamed(message, name)
		if field == nil {
			break
		}
		parts[i] = field.JSONName()
		if isElement {
			parts[i] += "[" + index
		}
		message = field.Message()
	}
	return strings.Join(parts, ".")
}

// jsonNamesIn returns a text with the names of JSON for the request's fields. It leaves
// quoted text as it is.
func jsonNamesIn(request protoreflect.MessageDescriptor, text string) string {
	namesAndQuotes := regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\b[a-z]+(?:_[a-z]+)+\b`)
	return namesAndQuotes.ReplaceAllStringFunc(text, func(name string) string { return jsonNameOf(request, name, maxNamedDepth) })
}

// maxNamedDepth is the depth of fields in requests: an emit of a batch, a notice, a
// selector.
const maxNamedDepth = 2

// jsonNameOf returns the JSON name of a field of the message, or of a message in it. If there
// is none, it returns the given name.
func jsonNameOf(message protoreflect.MessageDescriptor, name string, depth int) string {
	if field := message.Fields().ByName(protoreflect.Name(name)); field != nil {
		return field.JSONName()
	}
	for i := range message.Fields().Len() {
		below := message.Fields().Get(i).Message()
		if below == nil || depth == 0 || isWellKnown(below) {
			continue
		}
		if renamed := jsonNameOf(below, name, depth-1); renamed != name {
			return renamed
		}
	}
	return name
}

// fieldNamed returns the field with a name of the protos or of JSON, or nil.
func fieldNamed(message protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if field := message.Fields().ByName(protoreflect.Name(name)); field != nil {
		return field
	}
	return message.Fields().ByJSONName(name)
}

// isWellKnown reports whether a message is one of protobuf's own.
func isWellKnown(m protoreflect.MessageDescriptor) bool {
	return m.ParentFile().Package() == "google.protobuf"
}

// RequestOf returns the request of a method such as
// "/sala.v1.RoomService/ListRooms"; nil if there is none.
func RequestOf(name string) protoreflect.MessageDescriptor {
	full := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", "."))
	found, _ := protoregistry.GlobalFiles.FindDescriptorByName(full)
	method, ok := found.(protoreflect.MethodDescriptor)
	if !ok {
		return nil
	}
	return method.Input()
}
