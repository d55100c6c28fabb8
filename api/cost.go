package api

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/explain"
	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// The estimated memory of a request while it is decoded and handled, in bytes. Two bytes
// can become an event of a batch, so elements count more than bytes.
const (
	// byteCost is for each byte, which is held in encoded and in decoded form.
	byteCost = 2
	// elementCost is for each value of a field: an entry of a growing list, the header of
	// a string, the wrapper of a oneof.
	elementCost = 64
	// valueCost is for each google.protobuf message, on top of its size: for its JSON and
	// what leads to it.
	valueCost = 96
	// entryCost is for each entry of a map.
	entryCost = 256
	// packedCost is for each byte of a packed list of numbers.
	packedCost = 16

	// textCost, textValueCost and textObjectCost are for JSON: for each byte, each value
	// and, on top of that, each object.
	textCost       = 4
	textValueCost  = 288
	textObjectCost = 896
)

// shape is what determines the cost of the messages of a type.
type shape struct {
	own    int64 // cost of a message without fields
	fields []fieldShape
}

// fieldShape is a field of a shape, which has them by number.
type fieldShape struct {
	name    string
	message *shape // the type of the field; nil if it is no message
	packed  bool   // it is a list of numbers
	most    int    // the most entries that the list may have; 0 for no limit
}

// shapes are the shapes of all requests, by the names of their types. They don't change.
type shapes map[protoreflect.FullName]*shape

// newShapes returns the shapes of the requests of all services.
func newShapes() (shapes, error) {
	known := make(shapes)
	var err error
	protoregistry.GlobalFiles.RangeFilesByPackage("sala.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				if _, err = known.add(methods.Get(j).Input()); err != nil {
					return false
				}
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	batch := (*salav1.EmitBatchRequest)(nil).ProtoReflect().Descriptor()
	known[batch.FullName()].fields[batch.Fields().ByName("emits").Number()].most = maxBatch
	return known, nil
}

// add returns the shape of a type. It adds that and the shapes of the fields.
func (known shapes) add(d protoreflect.MessageDescriptor) (*shape, error) {
	if s, ok := known[d.FullName()]; ok {
		return s, nil
	}
	own, err := ownCost(d)
	if err != nil {
		return nil, err
	}
	s := &shape{own: own}
	known[d.FullName()] = s
	for i := range d.Fields().Len() {
		field := d.Fields().Get(i)
		for len(s.fields) <= int(field.Number()) {
			s.fields = append(s.fields, fieldShape{})
		}
		f := fieldShape{name: string(field.Name()), packed: field.IsList() && field.Kind() != protoreflect.StringKind && field.Kind() != protoreflect.BytesKind}
		if field.Message() != nil {
			f.packed = false
			if f.message, err = known.add(field.Message()); err != nil {
				return nil, err
			}
		}
		s.fields[field.Number()] = f
	}
	return s, nil
}

// ownCost returns what an empty message takes.
func ownCost(d protoreflect.MessageDescriptor) (int64, error) {
	if d.IsMapEntry() {
		return entryCost, nil
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		return 0, fmt.Errorf("the type %s of a request: %w", d.FullName(), err)
	}
	size := int64(reflect.TypeOf(t.Zero().Interface()).Elem().Size()) //nolint:gosec // no type is so large
	size += size / 4                                                  // the allocator rounds sizes up
	if d.ParentFile().Package() == "google.protobuf" {
		size += valueCost
	}
	return size, nil
}

// wire returns what it costs to decode and handle a request of the given type, or an error
// if a list has too many entries. If a request can't be decoded, only the part before
// the fault counts.
func (known shapes) wire(data []byte, of protoreflect.FullName) (int64, error) {
	s := known[of]
	if s == nil { // of health checks and reflection, which hold no lists
		s = &shape{}
	}
	cost, err := s.cost(data, 0)
	return cost + s.own + byteCost*int64(len(data)), err
}

// cost adds up the fields of a message.
func (s *shape) cost(data []byte, depth int) (cost int64, err error) {
	entries := 0
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return cost, nil
		}
		data = data[n:]
		cost += elementCost
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
				return cost, nil
			}
			data = data[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return cost, nil
		}
		data = data[n:]
		if int(number) >= len(s.fields) {
			continue
		}
		field := &s.fields[number]
		if field.most > 0 {
			entries++
		}
		switch {
		case field.packed:
			cost += packedCost * int64(len(value))
		case field.message != nil && depth < explain.MaxWireDepth:
			inner, err := field.message.cost(value, depth+1)
			cost += field.message.own + inner
			if err != nil {
				return cost, err
			}
		}
	}
	return cost, s.checkEntries(entries)
}

// checkEntries returns an error if the one bounded list of a message has more
// entries than it may have.
func (s *shape) checkEntries(entries int) error {
	for _, field := range s.fields {
		if field.most > 0 && entries > field.most {
			return tooManyEvents(entries)
		}
	}
	return nil
}

// tooManyEvents is the error of a batch of no or of too many events.
func tooManyEvents(n int) error {
	return apierror.Invalid(broker.FieldViolation{
		Field:       "emits",
		Description: fmt.Sprintf("there are %d events; send 1 to %d", n, maxBatch),
	})
}

// jsonCost returns what it costs to decode and handle a JSON text. The text need not be
// valid.
func jsonCost(text []byte) int64 {
	values, objects := int64(1), int64(0)
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = endOfString(text, i)
		case ',', '[':
			values++
		case '{':
			values++
			objects++
		}
	}
	return textCost*int64(len(text)) + textValueCost*values + textObjectCost*objects
}

// endOfString returns the index of the quote that ends the string which begins at i.
func endOfString(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}
