// Package explain says why a request doesn't fit its message: which field is wrong, what
// was expected there and what was probably meant. It is for requests that protobuf has
// refused, as JSON ([Body]), as URL parameters ([Parameters]) or as a gRPC message ([Wire]).
//
// It also has the two differences between the JSON of REST and that of protobuf: errors
// name fields as JSON does ([InJSON]), and numbers may stand for names ([NamesAsText]).
package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/rawjson"
)

const (
	// maxExplained bounds the elements of a list that are searched for faults.
	maxExplained = 1000
	// MaxJSONDepth bounds how deeply JSON may be nested; protobuf can't carry much more.
	MaxJSONDepth = 1000
	// maxQuoted bounds the text that an error quotes.
	maxQuoted = 40
)

// Body returns why a JSON text that protojson has refused isn't the given message. what names
// the text, such as "the body". protojson says only at which byte the fault is; the error
// says which field, what was expected, and what was probably meant.
func Body(what string, text []byte, message protoreflect.MessageDescriptor, refusal error) *broker.Error {
	if err := syntaxError(what, text); err != nil {
		return err
	}
	if !IsObject(text) {
		return apierror.BadRequest(fmt.Sprintf("%s is %s; an object is expected, with %s", what, describeJSON(text), fieldNames(message)))
	}
	faults := jsonFaults{}
	faults.inObject("", text, message)
	if len(faults) == 0 {
		return apierror.BadRequest(fmt.Sprintf("%s doesn't fit this call: %s; /openapi.json describes what does", what, describeJSONError(refusal)))
	}
	return apierror.Invalid(faults...)
}

// encodings maps the beginnings of bodies that aren't plain UTF-8 to what they are.
func encodings() map[string]string {
	return map[string]string{
		"\x1f\x8b":     "is compressed by gzip; send it uncompressed",
		"\xff\xfe":     "is UTF-16; send it as UTF-8",
		"\xfe\xff":     "is UTF-16; send it as UTF-8",
		"\xef\xbb\xbf": "begins with a byte order mark; send UTF-8 without one",
	}
}

// syntaxError returns where a text stops being JSON; nil if it is JSON.
func syntaxError(what string, text []byte) *broker.Error {
	for begin, is := range encodings() {
		if bytes.HasPrefix(text, []byte(begin)) {
			return apierror.BadRequest(what + " " + is)
		}
	}
	var ignored json.RawMessage
	err := json.Unmarshal(text, &ignored)
	var failed *json.SyntaxError
	if !errors.As(err, &failed) {
		return nil
	}
	before := text // the text ends too early
	if !strings.HasPrefix(failed.Error(), "unexpected end") {
		before = text[:max(failed.Offset-1, 0)] // Offset is after the character
	}
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return apierror.BadRequest(fmt.Sprintf("%s isn't JSON: line %d, column %d: %s", what, line, column, failed))
}

// jsonFaults are the wrong fields of a JSON text.
type jsonFaults []broker.FieldViolation

func (f *jsonFaults) add(field, format string, args ...any) {
	*f = append(*f, broker.FieldViolation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// inObject adds the faults of an object at path.
func (f *jsonFaults) inObject(path string, text json.RawMessage, message protoreflect.MessageDescriptor) {
	seen := make(map[protoreflect.Name]bool)
	for name, value := range rawjson.Members(text) {
		if len(*f) >= maxFaults {
			return
		}
		key := string(name)
		field := fieldNamed(message, key)
		if field == nil {
			f.add(joinPath(path, quoted(key)), "%s", noSuch("field", message, key))
			continue
		}
		below := joinPath(path, field.JSONName())
		if seen[field.Name()] {
			f.add(below, "is there twice; give it once")
			continue
		}
		seen[field.Name()] = true
		f.inField(below, field, value)
	}
}

// inField adds the faults of a field.
func (f *jsonFaults) inField(path string, field protoreflect.FieldDescriptor, value json.RawMessage) {
	switch {
	case string(value) == "null": // leaves the field unset
	case !field.IsList():
		f.inValue(path, field, value, value)
	case value[0] != '[':
		f.add(path, "is %s; a list is expected%s", describeJSON(value), asList(field, value))
	default:
		i := -1
		for element := range rawjson.Elements(value) {
			if i++; i >= maxExplained || len(*f) >= maxFaults {
				return
			}
			f.inValue(fmt.Sprintf("%s[%d]", path, i), field, element, json.RawMessage("["+string(element)+"]"))
		}
	}
}

// inValue adds the faults of a value, or of an element of a list. whole is what protojson
// accepts for the field: the value, or a list of only the element.
func (f *jsonFaults) inValue(path string, field protoreflect.FieldDescriptor, value, whole json.RawMessage) {
	message := field.Message()
	isText := field.Kind() == protoreflect.StringKind && value[0] == '"'
	isList := message != nil && message.Name() == "ListValue" && value[0] == '['
	switch {
	case message != nil && !isWellKnown(message) && value[0] == '{':
		f.inObject(path, value, message)
	case isText || isList || message != nil && message.Name() == "Value":
		part, why := unfit(value)
		if part != "" {
			why = path + part + " " + why
		}
		if why != "" {
			f.add(path, "%s", why)
		}
	case !fits(field.ContainingMessage(), field.JSONName(), whole):
		f.add(path, "is %s; %s", describeJSON(value), expected(field, value))
	}
}

// fits reports whether protojson accepts the value for a field.
func fits(message protoreflect.MessageDescriptor, key string, value json.RawMessage) bool {
	name, _ := json.Marshal(key) // text always encodes
	object := bytes.Join([][]byte{[]byte("{"), name, []byte(":"), value, []byte("}")}, nil)
	return protojson.UnmarshalOptions{RecursionLimit: MaxJSONDepth}.Unmarshal(object, dynamicpb.NewMessage(message)) == nil
}

// expected says what a field takes, with an example that is close to the given value where
// possible.
func expected(field protoreflect.FieldDescriptor, value json.RawMessage) string {
	switch field.Kind() {
	case protoreflect.StringKind:
		example := "name"
		if isScalar(value) {
			example = string(value)
		}
		return fmt.Sprintf("text is expected, such as %q", example)
	case protoreflect.BytesKind:
		return `Base64 is expected, such as "AAEC"`
	case protoreflect.BoolKind:
		return "true or false is expected"
	case protoreflect.EnumKind:
		return "one of " + enumNames(field.Enum()) + " is expected"
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return fmt.Sprintf("a whole number from 0 to %d is expected", uint32(math.MaxUint32))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return fmt.Sprintf("a whole number from 0 to %d is expected", uint64(math.MaxUint64))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return fmt.Sprintf("a whole number from %d to %d is expected", math.MinInt32, math.MaxInt32)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return fmt.Sprintf("a whole number from %d to %d is expected", int64(math.MinInt64), int64(math.MaxInt64))
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "a number is expected"
	case protoreflect.MessageKind, protoreflect.GroupKind:
	}
	switch field.Message().FullName() {
	case "google.protobuf.Duration":
		return fmt.Sprintf("a duration in seconds is expected, such as %q", likelyDuration(value))
	case "google.protobuf.Timestamp":
		return `a time is expected, such as "2026-01-31T12:00:00Z"`
	case "google.protobuf.ListValue":
		return "a list is expected" + asList(field, value)
	}
	return "an object is expected, with " + fieldNames(field.Message())
}

// likelyDuration returns what was probably meant by a duration with another unit, or without
// one.
func likelyDuration(value json.RawMessage) string {
	text := strings.Trim(string(value), `"`)
	if d, err := time.ParseDuration(text); err == nil {
		return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
	}
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return fmt.Sprintf("%ds", n)
	}
	return "3600s"
}

// asList returns ", such as" and a list of the value, if that fits the field.
func asList(field protoreflect.FieldDescriptor, value json.RawMessage) string {
	list := "[" + string(value) + "]"
	if len(value) > maxQuoted || !fits(field.ContainingMessage(), field.JSONName(), json.RawMessage(list)) {
		return ""
	}
	return ", such as " + list
}

func enumNames(enum protoreflect.EnumDescriptor) string {
	var names []string
	for i := range enum.Values().Len() {
		names = append(names, string(enum.Values().Get(i).Name()))
	}
	return strings.Join(names, ", ")
}

// describeJSON describes a JSON value: the text "lobby".
func describeJSON(text json.RawMessage) string {
	text = bytes.TrimSpace(text)
	switch text[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "the text " + quoted(string(text))
	case 't', 'f', 'n':
		return string(text)
	}
	return "the number " + quoted(string(text))
}

// IsObject reports whether a JSON text is an object.
func IsObject(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) }

// isScalar reports whether a JSON text is a short value without parts.
func isScalar(text []byte) bool { return !bytes.ContainsAny(text[:1], `{["`) && len(text) <= maxQuoted }

// quoted makes text valid UTF-8 and short enough to quote.
func quoted(text string) string {
	text = apierror.ValidUTF8(text)
	if len(text) > maxQuoted {
		text = strings.ToValidUTF8(text[:maxQuoted], "") + "…"
	}
	return text
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// describeJSONError drops the prefix "proto:" and the space after it, which
// protojson varies.
func describeJSONError(err error) string {
	return strings.TrimLeftFunc(strings.TrimPrefix(err.Error(), "proto:"), unicode.IsSpace)
}
