package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unfit returns which part of a JSON value protobuf can't hold, such as "[1].text", and why.
// The part is empty for the value itself; the reason is empty if protobuf can hold it.
func unfit(value json.RawMessage) (part, why string) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var walk jsonWalk
	for {
		start := decoder.InputOffset()
		token, err := decoder.Token()
		if err != nil {
			return "", "" // the end
		}
		raw := value[start:decoder.InputOffset()]
		walk.step(token)
		number, isNumber := token.(json.Number)
		_, isText := token.(string)
		switch {
		case len(walk) > MaxJSONDepth:
			return "", fmt.Sprintf("is nested more than %d deep", MaxJSONDepth)
		case isNumber && isBeyondFloat(number):
			return walk.path(), fmt.Sprintf("is %s, which is too large for a 64-bit float; argsJson takes any number", quoted(number.String()))
		case isText && !utf8.Valid(raw):
			return walk.path(), notUTF8
		case isText && hasHalfCharacter(raw):
			return walk.path(), notWhole
		}
	}
}

const notWhole = `has half a character, such as \ud83d alone; a string that was cut within an emoji ends in one`

func isBeyondFloat(number json.Number) bool {
	_, err := strconv.ParseFloat(number.String(), 64)
	return err != nil
}

// hasHalfCharacter reports whether a JSON string has an escape for one half of a surrogate
// pair without the other.
func hasHalfCharacter(raw []byte) bool {
	for len(raw) > 1 {
		at := bytes.IndexByte(raw, '\\')
		if at < 0 || at+1 >= len(raw) {
			return false
		}
		raw = raw[at:]
		first, size := escapedRune(raw)
		second, _ := escapedRune(raw[size:])
		switch {
		case !utf16.IsSurrogate(first):
			raw = raw[size:]
		case utf16.DecodeRune(first, second) == utf8.RuneError:
			return true
		default:
			raw = raw[2*size:]
		}
	}
	return false
}

// escapedRune returns the UTF-16 unit of an escape, 0 for another escape, and the length of
// the escape.
func escapedRune(raw []byte) (unit rune, size int) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, min(2, len(raw))
	}
	n, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	if err != nil {
		return 0, 6
	}
	return rune(n), 6
}

// jsonWalk follows the tokens of a JSON text. It has the objects and arrays that are open.
type jsonWalk []jsonLevel

// jsonLevel is an open object or array.
type jsonLevel struct {
	array bool
	index int    // of the element in an array
	key   string // of the member in an object
	value bool   // the value of key is next
}

// step follows a token.
func (w *jsonWalk) step(token json.Token) {
	delim, isDelim := token.(json.Delim)
	if isDelim && (delim == '}' || delim == ']') {
		*w = (*w)[:len(*w)-1]
		return
	}
	if len(*w) > 0 {
		(*w)[len(*w)-1].enter(token)
	}
	if isDelim {
		*w = append(*w, jsonLevel{array: delim == '[', index: -1})
	}
}

// enter follows a key, or a value that begins.
func (l *jsonLevel) enter(token json.Token) {
	switch {
	case l.array:
		l.index++
	case l.value:
		l.value = false
	default:
		l.key, _ = token.(string)
		l.value = true
	}
}

// path returns the path of the current value, such as "[1].text".
func (w *jsonWalk) path() string {
	var path strings.Builder
	for _, level := range *w {
		if level.array {
			fmt.Fprintf(&path, "[%d]", level.index)
		} else {
			path.WriteString("." + quoted(level.key))
		}
	}
	return path.String()
}
