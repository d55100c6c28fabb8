package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// Errors of [CheckObject].
var (
	errNotObject  = errors.New("not a single JSON object")
	errDuplicates = errors.New("an object in it has the same name twice")
)

// CheckObject returns an error unless text is a single JSON object in UTF-8, in which no object has
// a name twice. Programs differ in which of two values they take: one could check a value and
// another use the other.
func CheckObject(text []byte) error {
	trimmed := bytes.TrimLeft(text, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' || !utf8.Valid(text) || !json.Valid(text) {
		return errNotObject
	}
	// names are those of each open object; nil for an array.
	var names []map[string]struct{}
	isName := false // whether the next string is a name
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			names, isName = append(names, make(map[string]struct{})), true
		case '[':
			names, isName = append(names, nil), false
		case '}', ']':
			names = names[:len(names)-1]
		case ',':
			isName = names[len(names)-1] != nil
		case ':':
			isName = false
		case '"':
			end := stringEnd(text, i)
			if isName {
				seen, name := names[len(names)-1], string(unescape(text[i:end]))
				if _, duplicate := seen[name]; duplicate {
					return errDuplicates
				}
				seen[name] = struct{}{}
			}
			i = end - 1
		}
	}
	return nil
}
