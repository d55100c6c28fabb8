package explain

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
)

const (
	// maxFaults bounds how many fields an error names.
	maxFaults = 10
	// MaxWireDepth is how deeply protobuf decodes messages within messages.
	MaxWireDepth = protowire.DefaultRecursionLimit
)

const notUTF8 = "isn't UTF-8; a string that was cut within an emoji ends in half a character"

// Wire returns why an encoded message can't be decoded.
func Wire(wire []byte, descriptor protoreflect.MessageDescriptor) *broker.Error {
	var faults wireFaults
	faults.search(wire, descriptor, "", 0)
	if len(faults) == 0 {
		return apierror.Undecodable()
	}
	return apierror.Invalid(faults...)
}

// wireFaults are the wrong fields of an encoded message.
type wireFaults []broker.FieldViolation

// search adds the faults of a message at path. The fields of protobuf's own types, such as
// args, keep the path of the field that has the type.
func (f *wireFaults) search(wire []byte, descriptor protoreflect.MessageDescriptor, path string, depth int) {
	if depth >= MaxWireDepth {
		f.add(path, fmt.Sprintf("is nested more than %d messages deep", MaxWireDepth))
		return
	}
	seen := map[protowire.Number]int{} // elements of lists
	for len(wire) > 0 && len(*f) < maxFaults {
		number, kind, value, rest := NextField(wire)
		if rest == nil {
			return
		}
		wire = rest
		field := descriptor.Fields().ByNumber(number)
		if field == nil || kind != protowire.BytesType {
			continue
		}
		name := fieldPath(path, field, seen[number])
		if field.IsList() {
			seen[number]++
		}
		switch {
		case field.Message() != nil:
			f.search(value, field.Message(), name, depth+1)
		case field.Kind() == protoreflect.StringKind && !utf8.Valid(value):
			f.add(name, notUTF8)
		}
	}
}

// add adds a fault unless the field has one already.
func (f *wireFaults) add(field, description string) {
	for _, known := range *f {
		if known.Field == field {
			return
		}
	}
	*f = append(*f, broker.FieldViolation{Field: field, Description: description})
}

func fieldPath(path string, field protoreflect.FieldDescriptor, index int) string {
	if isWellKnown(field.ContainingMessage()) {
		return path
	}
	if path != "" {
		path += "."
	}
	path += string(field.Name())
	if field.IsList() {
		path = fmt.Sprintf("%s[%d]", path, index)
	}
	return path
}

// NextField returns the first field of an encoded message and what follows it, which is nil if
// the message is broken. value is without its length.
func NextField(wire []byte) (number protowire.Number, kind protowire.Type, value, rest []byte) {
	number, kind, tag := protowire.ConsumeTag(wire)
	if tag < 0 {
		return 0, 0, nil, nil
	}
	size := protowire.ConsumeFieldValue(number, kind, wire[tag:])
	if size < 0 {
		return 0, 0, nil, nil
	}
	value, rest = wire[tag:tag+size], wire[tag+size:]
	if kind == protowire.BytesType {
		value, _ = protowire.ConsumeBytes(value)
	}
	return number, kind, value, rest
}
