package rawjson

import (
	"bytes"
	"encoding/json"
	"iter"
)

// Members iterates over the members of a JSON object: the unescaped name and the text of the value.
// The text must be valid JSON; anything but an object has no members. Names and values are slices
// of object, unless a name has escapes, so skipped members cost no allocation.
//
// A name that the object has twice comes twice. JSON.parse takes the last value.
func Members(object []byte) iter.Seq2[[]byte, json.RawMessage] {
	return func(yield func([]byte, json.RawMessage) bool) {
		i := skipSpace(object, 0)
		if i >= len(object) || object[i] != '{' {
			return
		}
		for i = skipSpace(object, i+1); i < len(object) && object[i] == '"'; {
			nameEnd := stringEnd(object, i)
			name := unescape(object[i:nameEnd])
			begin := skipSpace(object, skipSpace(object, nameEnd)+len(":"))
			end := valueEnd(object, begin)
			if !yield(name, object[begin:end]) {
				return
			}
			if i = skipSpace(object, end); i < len(object) && object[i] == ',' {
				i = skipSpace(object, i+1)
			}
		}
	}
}

// Elements iterates over the values of a JSON array. The text must be valid JSON; anything but an
// array has no elements.
func Elements(array []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		i := skipSpace(array, 0)
		if i >= len(array) || array[i] != '[' {
			return
		}
		for i = skipSpace(array, i+1); i < len(array) && array[i] != ']'; {
			end := valueEnd(array, i)
			if !yield(array[i:end]) {
				return
			}
			if i = skipSpace(array, end); i < len(array) && array[i] == ',' {
				i = skipSpace(array, i+1)
			}
		}
	}
}

// Member returns the value of the member with exactly this name: the last if there are several, nil
// if there is none. The text must be valid JSON.
func Member(object []byte, name string) json.RawMessage {
	var found json.RawMessage
	for n, value := range Members(object) {
		if string(n) == name {
			found = value
		}
	}
	return found
}

// unescape returns the value of a JSON string, given with its quotes.
func unescape(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var text string
	_ = json.Unmarshal(quoted, &text) // it is valid
	return []byte(text)
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// stringEnd returns the index after the string that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// valueEnd returns the index after the value that begins at i.
func valueEnd(text []byte, i int) int {
	for depth := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\r', '\n':
			i++
			continue
		default:
			for i < len(text) && bytes.IndexByte([]byte(",:]} \t\r\n"), text[i]) < 0 {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return len(text)
}
