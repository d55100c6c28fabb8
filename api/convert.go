package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
)

// count converts a count to uint32 without wrapping around.
func count(n int) uint32 {
	return uint32(min(uint64(max(n, 0)), math.MaxUint32))
}

// timestamp leaves the zero time unset.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// duration returns zero, which means the broker's default, only if d is unset. If d is
// invalid or zero, it returns an error for the field; zero describes the error for zero.
func duration(field string, d *durationpb.Duration, zero string) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if err := d.CheckValid(); err != nil {
		return 0, apierror.Invalid(broker.FieldViolation{Field: field, Description: `is not a valid duration; in JSON it looks like "3600s"`})
	}
	if d.AsDuration() == 0 {
		return 0, apierror.Invalid(broker.FieldViolation{Field: field, Description: zero})
	}
	return d.AsDuration(), nil
}

// listJSON returns the text of a JSON array; nil if list is unset. An error names the field.
func listJSON(field string, list *structpb.ListValue) (json.RawMessage, error) {
	if list == nil {
		return nil, nil
	}
	return valueJSON(field, structpb.NewListValue(list))
}

// valueJSON returns the text of a JSON value; nil if value is unset. An error names the
// field.
func valueJSON(field string, value *structpb.Value) (json.RawMessage, error) {
	if value == nil {
		return nil, nil
	}
	// AsInterface would turn numbers that JSON lacks into strings.
	if path, ok := findNonFinite(value); ok {
		return nil, apierror.Invalid(broker.FieldViolation{
			Field:       field,
			Description: fmt.Sprintf("%s%s is not a finite number, which JSON can't express; send null or a string", field, path),
		})
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value.AsInterface()); err != nil {
		return nil, apierror.Invalid(broker.FieldViolation{Field: field, Description: "can't be written as JSON: " + err.Error()})
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// findNonFinite returns the path of a number that is NaN or infinite.
func findNonFinite(value *structpb.Value) (path string, found bool) {
	switch kind := value.GetKind().(type) {
	case *structpb.Value_NumberValue:
		return "", math.IsNaN(kind.NumberValue) || math.IsInf(kind.NumberValue, 0)
	case *structpb.Value_ListValue:
		for i, element := range kind.ListValue.GetValues() {
			if path, found := findNonFinite(element); found {
				return fmt.Sprintf("[%d]%s", i, path), true
			}
		}
	case *structpb.Value_StructValue:
		for name, member := range kind.StructValue.GetFields() {
			if path, found := findNonFinite(member); found {
				return "." + name + path, true
			}
		}
	}
	return "", false
}

const (
	// maxValueBytes bounds the protobuf form of a client's JSON: by default, gRPC clients
	// accept messages of up to 4 MiB.
	maxValueBytes = 3 << 20
	// maxValueDepth bounds its nesting. Protobuf for Python, Java and C++ decodes 100
	// nested messages, and each nested object takes three.
	maxValueDepth = 30
)

// jsonList returns nil if text isn't a JSON array, or if a ListValue can't hold it or some
// callers couldn't decode it.
func jsonList(text json.RawMessage) *structpb.ListValue {
	var parsed []any
	if err := json.Unmarshal(text, &parsed); err != nil || isDeeper(parsed, maxValueDepth) {
		return nil
	}
	list, err := structpb.NewList(parsed)
	if err != nil || proto.Size(list) > maxValueBytes {
		return nil
	}
	return list
}

// isDeeper reports whether arrays and objects are nested more deeply than depth.
func isDeeper(value any, depth int) bool {
	switch value := value.(type) {
	case []any:
		return depth == 0 || slices.ContainsFunc(value, func(element any) bool { return isDeeper(element, depth-1) })
	case map[string]any:
		for _, member := range value {
			if isDeeper(member, depth-1) {
				return true
			}
		}
		return depth == 0
	}
	return false
}

// jsonValue returns nil for an empty text. A token from another issuer may hold JSON that a
// Value can't, such as 1e999, or that some callers couldn't decode. Such JSON becomes a
// string, so that one odd token doesn't make a list of sockets fail.
func jsonValue(text json.RawMessage) *structpb.Value {
	if len(text) == 0 {
		return nil
	}
	var parsed any
	if err := json.Unmarshal(text, &parsed); err == nil && !isDeeper(parsed, maxValueDepth) {
		if value, err := structpb.NewValue(parsed); err == nil {
			return value
		}
	}
	return structpb.NewStringValue(string(bytes.ToValidUTF8(text, []byte("\uFFFD"))))
}
