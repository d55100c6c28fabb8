package api

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/salabroker/sala/api/explain"
	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// maxOutlined bounds each text in an outline; names are shorter.
const maxOutlined = 255

// salvage fills a request that can't be accepted with what its service needs to answer it
// alone: the other events of a batch or, on a stream, the id of what is answered. If why is
// nil, salvage finds out what is wrong.
func salvage(wire []byte, request proto.Message, why *broker.Error) {
	proto.Reset(request)
	batch, isBatch := request.(*salav1.EmitBatchRequest)
	if why == nil && isBatch && salvageBatch(wire, batch) {
		return
	}
	descriptor := request.ProtoReflect().Descriptor()
	if why == nil {
		why = explain.Wire(wire, descriptor)
	}
	switch request.(type) {
	case *salav1.EmitStreamRequest, *salav1.SubscribeRequest:
		if proto.Unmarshal(outline(wire, descriptor, 1), request) != nil {
			proto.Reset(request)
		}
	default:
		proto.Reset(request)
	}
	refuseMessage(request, why)
}

// salvageBatch decodes each event of a batch by itself. It reports false if no event is at
// fault, or if there are too many.
func salvageBatch(wire []byte, batch *salav1.EmitBatchRequest) (found bool) {
	field := batch.ProtoReflect().Descriptor().Fields().ByName("emits")
	for len(wire) > 0 {
		number, kind, value, rest := explain.NextField(wire)
		if rest == nil || len(batch.GetEmits()) > maxBatch {
			return false
		}
		wire = rest
		if number != field.Number() || kind != protowire.BytesType {
			continue
		}
		emit := &salav1.EmitRequest{}
		if proto.Unmarshal(value, emit) != nil {
			proto.Reset(emit)
			refuseMessage(emit, explain.Wire(value, field.Message()))
			found = true
		}
		batch.Emits = append(batch.Emits, emit)
	}
	return found
}

// cutField is [explain.NextField] for a field whose value is cut off.
func cutField(wire []byte) (number protowire.Number, kind protowire.Type, value []byte) {
	number, kind, tag := protowire.ConsumeTag(wire)
	if tag < 0 || kind != protowire.BytesType {
		return 0, 0, nil
	}
	_, size := protowire.ConsumeVarint(wire[tag:])
	if size < 0 {
		return 0, 0, nil
	}
	return number, kind, wire[tag+size:]
}

// outline returns an encoded message with only the numbers and short texts of the
// original, and those of nested messages down to depth.
func outline(wire []byte, descriptor protoreflect.MessageDescriptor, depth int) []byte {
	var kept []byte
	for len(wire) > 0 {
		number, kind, value, rest := explain.NextField(wire)
		if rest == nil { // the message may be cut off
			number, kind, value = cutField(wire)
		}
		field := descriptor.Fields().ByNumber(number)
		switch {
		case field == nil || rest == nil && field.Message() == nil:
		case kind != protowire.BytesType:
			kept = append(kept, wire[:len(wire)-len(rest)]...)
		case field.Message() != nil && depth > 0:
			kept = protowire.AppendTag(kept, number, kind)
			kept = protowire.AppendBytes(kept, outline(value, field.Message(), depth-1))
		case field.Kind() == protoreflect.StringKind && len(value) <= maxOutlined && utf8.Valid(value):
			kept = append(kept, wire[:len(wire)-len(rest)]...)
		}
		wire = rest
	}
	return kept
}

// replaceInvalid replaces what isn't UTF-8 in the text of a message.
func replaceInvalid(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		isText := field.Kind() == protoreflect.StringKind
		switch {
		case field.IsMap():
			value.Map().Range(func(_ protoreflect.MapKey, element protoreflect.Value) bool {
				if field.MapValue().Message() != nil {
					replaceInvalid(element.Message())
				}
				return true
			})
		case field.IsList():
			for i := range value.List().Len() {
				element := value.List().Get(i)
				if isText {
					value.List().Set(i, validText(element))
				} else if field.Message() != nil {
					replaceInvalid(element.Message())
				}
			}
		case isText:
			m.Set(field, validText(value))
		case field.Message() != nil:
			replaceInvalid(value.Message())
		}
		return true
	})
}

func validText(v protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfString(strings.ToValidUTF8(v.String(), "\uFFFD"))
}
