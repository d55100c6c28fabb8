package explain

import (
	"encoding/json"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/salabroker/sala/broker/rawjson"
)

// isName reports whether a field of a request names rooms, users, a token, or an event by a
// key. Their ids are often numbers, which protobuf's JSON refuses for text fields.
func isName(field protoreflect.FieldDescriptor) bool {
	switch field.Name() {
	case "room", "rooms", "except_rooms", "user", "users", "except_users", "join", "publish", "history", "presence",
		"token_id", "idempotency_key", "conflate_key":
		return field.Kind() == protoreflect.StringKind
	}
	return false
}

// NamesAsText returns the JSON of a request with each number that names a room, a user, a
// token or an event turned into text by [rawjson.NumberText]. It leaves everything else as
// it is, so that protobuf refuses what isn't valid.
func NamesAsText(text []byte, request protoreflect.MessageDescriptor) []byte {
	if !json.Valid(text) {
		return text
	}
	var numbers []json.RawMessage
	findNumberNames(text, request, &numbers)
	if len(numbers) == 0 {
		return text
	}
	var changed []byte
	copied := 0
	for _, number := range numbers {
		// It is a slice of text, so the capacities of both end at the same byte.
		begin := cap(text) - cap(number)
		name, _ := rawjson.NumberText(string(number))
		quoted, _ := json.Marshal(name) // text always encodes
		changed = append(append(changed, text[copied:begin]...), quoted...)
		copied = begin + len(number)
	}
	return append(changed, text[copied:]...)
}

// findNumberNames appends the numbers in an object that are names, in order.
func findNumberNames(object json.RawMessage, message protoreflect.MessageDescriptor, found *[]json.RawMessage) {
	for name, value := range rawjson.Members(object) {
		field := fieldNamed(message, string(name))
		if field == nil {
			continue
		}
		within := field.Message()
		see := func(value json.RawMessage) {
			if within != nil {
				findNumberNames(value, within, found)
			} else if _, ok := rawjson.NumberText(string(value)); ok {
				*found = append(*found, value)
			}
		}
		switch {
		case !isName(field) && (within == nil || field.IsMap() || isWellKnown(within)):
		case field.IsList():
			for element := range rawjson.Elements(value) {
				see(element)
			}
		default:
			see(value)
		}
	}
}
