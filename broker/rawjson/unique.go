package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// What text can be that [CheckObject] refuses.
var (
	errNoObject = errors.New("it is not one JSON object")
	errTwice    = errors.New("an object in it has a name twice")
)

// CheckObject returns an error unless text is one JSON object and nothing
// else, in UTF-8, and no object in it has a name twice. Programs differ in
// which of two values they take, so what one of them has checked another would
// not see.
func CheckObject(text []byte) error {
	trimmed := bytes.TrimLeft(text, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' || !utf8.Valid(text) || !json.Valid(text) {
		return errNoObject
	}
	// names are those of each object that is open, nil for an array.
	var names []map[string]struct{}
	isName := false // a string here is a name
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
			if isName && !add(names[len(names)-1], unescape(text[i:end])) {
				return errTwice
			}
			i = end - 1
		}
	}
	return nil
}

// add reports false if the set has the name already.
func add(set map[string]struct{}, name []byte) bool {
	if _, there := set[string(name)]; there {
		return false
	}
	set[string(name)] = struct{}{}
	return true
}
