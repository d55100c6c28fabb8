package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
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
	open := nesting{levels: make([]level, 0, 4), names: make([][]byte, 0, 8)} // enough for a token
	isName := false                                                           // whether the next string is a name
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			open.push(true)
			isName = true
		case '[':
			open.push(false)
			isName = false
		case '}', ']':
			open.pop()
		case ',':
			isName = open.inObject()
		case ':':
			isName = false
		case '"':
			end := stringEnd(text, i)
			if isName && !open.add(unescape(text[i:end])) {
				return errDuplicates
			}
			i = end - 1
		}
	}
	return nil
}

// nesting is the objects and arrays around a place in a JSON text, with the names that stand before
// it in each object.
type nesting struct {
	levels []level
	names  [][]byte // those of all open objects
}

type level struct {
	object bool
	first  int // index of its first name
	// seen has the names if there are many.
	seen map[string]struct{}
}

// manyNames is how many names are compared one by one. More are looked up, so that the time doesn't
// grow with their square.
const manyNames = 16

func (n *nesting) push(object bool) {
	n.levels = append(n.levels, level{object: object, first: len(n.names)})
}

func (n *nesting) pop() {
	last := len(n.levels) - 1
	n.names = n.names[:n.levels[last].first]
	n.levels = n.levels[:last]
}

func (n *nesting) inObject() bool { return n.levels[len(n.levels)-1].object }

// add adds a name to the innermost object. It returns false if the object has it already.
func (n *nesting) add(name []byte) bool {
	l := &n.levels[len(n.levels)-1]
	names := n.names[l.first:]
	if len(names) == manyNames {
		l.seen = make(map[string]struct{})
		for _, other := range names {
			l.seen[string(other)] = struct{}{}
		}
	}
	duplicate := false
	if l.seen != nil {
		_, duplicate = l.seen[string(name)]
		l.seen[string(name)] = struct{}{}
	} else {
		duplicate = slices.ContainsFunc(names, func(other []byte) bool { return bytes.Equal(other, name) })
	}
	n.names = append(n.names, name)
	return !duplicate
}
