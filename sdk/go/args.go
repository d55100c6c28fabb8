package sala

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
)

// maxDepth is how deep the values that are searched for binary data may be nested. It ends the search
// in a value that contains itself.
const maxDepth = 1000

// Args are the arguments of an event or an ack, as a client has sent them.
type Args struct {
	text        string // a JSON array; empty for no arguments
	attachments [][]byte
}

// JSON returns the arguments as the text of a JSON array, exactly as they were sent. Binary data is
// represented by {"_placeholder": true, "num": n}, where n is the index in [Args.Attachments].
func (a Args) JSON() string {
	if a.text == "" {
		return "[]"
	}
	return a.text
}

// Attachments returns the binary data that the arguments refer to.
func (a Args) Attachments() [][]byte { return a.attachments }

// Values returns the arguments as encoding/json decodes them into an any, with binary data as
// []byte.
func (a Args) Values() ([]any, error) {
	var values []any
	if err := json.Unmarshal([]byte(a.JSON()), &values); err != nil {
		return nil, err
	}
	if len(a.attachments) == 0 {
		return values, nil
	}
	for i, value := range values {
		values[i] = a.attach(value)
	}
	return values, nil
}

// Scan decodes the first arguments into the values that dest points to, as encoding/json does. It
// ignores the arguments after them. Binary data decodes into []byte.
//
// A handler can return the error as it is: the client then gets the code INVALID_ARGUMENT.
func (a Args) Scan(dest ...any) error {
	var args []json.RawMessage
	if err := json.Unmarshal([]byte(a.JSON()), &args); err != nil {
		return err
	}
	if len(args) < len(dest) {
		return Refuse("INVALID_ARGUMENT", fmt.Sprintf("there are %d arguments, %d are expected", len(args), len(dest)))
	}
	for i, into := range dest {
		if err := a.scan(args[i], into); err != nil {
			return Refuse("INVALID_ARGUMENT", fmt.Sprintf("argument %d: %v", i+1, err))
		}
	}
	return nil
}

func (a Args) scan(arg json.RawMessage, into any) error {
	if len(a.attachments) == 0 {
		return json.Unmarshal(arg, into)
	}
	decoder := json.NewDecoder(bytes.NewReader(arg))
	decoder.UseNumber() // numbers pass unchanged
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	if into, ok := into.(*any); ok {
		if err := json.Unmarshal(arg, &value); err != nil {
			return err
		}
		*into = a.attach(value)
		return nil
	}
	// encoding/json writes []byte as base64, and reads that into a []byte anywhere in a value.
	text, err := json.Marshal(a.attach(value))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// attach replaces the placeholders in a decoded value by the binary data.
func (a Args) attach(value any) any {
	switch value := value.(type) {
	case []any:
		for i, item := range value {
			value[i] = a.attach(item)
		}
	case map[string]any:
		if data, ok := a.placeholder(value); ok {
			return data
		}
		for key, item := range value {
			value[key] = a.attach(item)
		}
	}
	return value
}

// placeholder returns the binary data that an object stands for.
func (a Args) placeholder(object map[string]any) ([]byte, bool) {
	if is, ok := object["_placeholder"].(bool); !ok || !is || len(object) != 2 {
		return nil, false
	}
	var num float64
	switch n := object["num"].(type) {
	case float64:
		num = n
	case json.Number:
		parsed, err := n.Float64()
		if err != nil {
			return nil, false
		}
		num = parsed
	default:
		return nil, false
	}
	for i, data := range a.attachments {
		if float64(i) == num {
			return data, true
		}
	}
	return nil, false
}

// encoder collects the binary data of arguments.
type encoder struct{ attachments [][]byte }

// encodeArgs returns arguments as the text of a JSON array, and the binary data in them.
func encodeArgs(args []any) (Args, error) {
	var e encoder
	values := make([]any, len(args))
	for i, arg := range args {
		value, err := e.detach(arg, 0)
		if err != nil {
			return Args{}, err
		}
		values[i] = value
	}
	text, err := encodeJSON(values)
	if err != nil {
		return Args{}, err
	}
	return Args{text: text, attachments: e.attachments}, nil
}

// encodeJSON is json.Marshal without escapes for HTML, which would make events longer.
func encodeJSON(value any) (string, error) {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	if err := out.Encode(value); err != nil {
		return "", err
	}
	return string(bytes.TrimRight(text.Bytes(), "\n")), nil
}

// detach replaces binary data by placeholders. It copies what it changes.
func (e *encoder) detach(value any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("sala: an argument is nested more than %d deep", maxDepth)
	}
	switch value := value.(type) {
	case []byte:
		e.attachments = append(e.attachments, value)
		return map[string]any{"_placeholder": true, "num": len(e.attachments) - 1}, nil
	case []any:
		items := make([]any, len(value))
		for i, item := range value {
			detached, err := e.detach(item, depth+1)
			if err != nil {
				return nil, err
			}
			items[i] = detached
		}
		return items, nil
	case map[string]any:
		if value == nil {
			return nil, nil
		}
		object := maps.Clone(value)
		for key, item := range object {
			detached, err := e.detach(item, depth+1)
			if err != nil {
				return nil, err
			}
			object[key] = detached
		}
		return object, nil
	}
	return value, nil
}
