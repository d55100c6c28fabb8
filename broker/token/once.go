package token

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// isOneObject reports whether text, which begins with a JSON value, is one
// object and nothing else, in which nothing is said twice. Programs differ in
// which of two they take, and what one of them has checked another would then
// not see.
func isOneObject(text []byte) bool {
	text = bytes.Trim(text, " \t\r\n")
	if len(text) == 0 || text[0] != '{' || !utf8.Valid(text) {
		return false // what isn't UTF-8 is read as something else
	}
	w := nameWalk{text: text}
	for w.at < len(text) {
		if !w.step() {
			return false
		}
		w.at++
		if len(w.around) == 0 {
			break // the object's end
		}
	}
	return len(w.around) == 0 && w.at == len(text)
}

// nameWalk goes through valid JSON and looks at the names in its objects.
type nameWalk struct {
	text   []byte
	at     int
	around []int    // where in names those of each object around begin; -1 for a list
	names  [][]byte // of the objects around
	isName bool     // a text here is a name
}

// step takes what stands at at, and leaves at on its last byte. It reports
// false for a name that the object has.
func (w *nameWalk) step() bool {
	switch w.text[w.at] {
	case '{':
		w.around = append(w.around, len(w.names))
		w.isName = true
	case '[':
		w.around = append(w.around, -1)
		w.isName = false
	case '}', ']':
		if begin := w.around[len(w.around)-1]; begin >= 0 {
			w.names = w.names[:begin]
		}
		w.around = w.around[:len(w.around)-1]
	case ',':
		w.isName = w.around[len(w.around)-1] >= 0
	case ':':
		w.isName = false
	case '"':
		begin := w.at + 1
		for w.at++; w.at < len(w.text) && w.text[w.at] != '"'; w.at++ {
			if w.text[w.at] == '\\' {
				w.at++
			}
		}
		return w.at < len(w.text) && (!w.isName || w.addName(w.text[begin:w.at]))
	}
	return true
}

func (w *nameWalk) addName(name []byte) bool {
	if bytes.IndexByte(name, '\\') >= 0 {
		var plain string
		if json.Unmarshal([]byte(`"`+string(name)+`"`), &plain) != nil {
			return false
		}
		name = []byte(plain)
	}
	for _, other := range w.names[w.around[len(w.around)-1]:] {
		if bytes.Equal(other, name) {
			return false
		}
	}
	w.names = append(w.names, name)
	return true
}
