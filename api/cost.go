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

// What a request takes in memory while it is decoded and handled. Two bytes can
// become an event of a batch, so that the elements count and not the bytes.
const (
	// byteCost is of each byte: it is held as it came, and decoded.
	byteCost = 2
	// elementCost is of each field's value: an entry of a list that has grown,
	// the header of a string, the wrapper of a oneof.
	elementCost = 64
	// valueCost is of each google.protobuf message beside its size: what it
	// becomes on the way to JSON, and its JSON.
	valueCost = 96
	// entryCost is of each entry of a map.
	entryCost = 256
	// packedCost is of each byte of a packed list of numbers.
	packedCost = 16

	// textCost, textValueCost and textObjectCost are of JSON: of its bytes, of
	// each value, and of each object on top of that. Each becomes a message twice, in
	// the gateway and in the service.
	textCost       = 4
	textValueCost  = 288
	textObjectCost = 896
)

// shape is what has to be known of a type to say what its messages cost.
type shape struct {
	own    int64 // cost of a message without fields
	fields []fieldShape
}

// fieldShape is a field of a shape, which has them by number.
type fieldShape struct {
	name    string
	message *shape // that the field holds; nil if it holds none
	packed  bool   // it is a list of numbers
	most    int    // entries that the list may have, 0 for any number
}

// shapes are those of the requests, by the names of their types. They don't
// change.
type shapes map[protoreflect.FullName]*shape

// newShapes returns the shapes of the requests of all our services.
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

// add returns the shape of a type, and of what its fields hold.
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

// ownCost is what a message takes that has no fields.
func ownCost(d protoreflect.MessageDescriptor) (int64, error) {
	if d.IsMapEntry() {
		return entryCost, nil
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		return 0, fmt.Errorf("the type %s of a request: %w", d.FullName(), err)
	}
	size := int64(reflect.TypeOf(t.Zero().Interface()).Elem().Size()) //nolint:gosec // no type is so large
	size += size / 4                                                  // memory is handed out in classes of sizes
	if d.ParentFile().Package() == "google.protobuf" {
		size += valueCost
	}
	return size, nil
}

// wire returns what decoding and handling a request of the given type costs, or
// an error if a list has more entries than it may have. What can't be decoded
// costs what stands before the fault.
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

// jsonCost is what decoding and handling a JSON text costs. It doesn't matter
// whether the text is JSON.
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

// endOfString returns where the string ends that begins at i.
func endOfString(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}
