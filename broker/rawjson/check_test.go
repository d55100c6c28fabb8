package rawjson

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
)

// naiveCheckObject has the library take the text apart.
func naiveCheckObject(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return false
	}
	var object func() bool
	var value func(json.Token) bool
	list := func() bool {
		for d.More() {
			if next, err := d.Token(); err != nil || !value(next) {
				return false
			}
		}
		_, err := d.Token()
		return err == nil
	}
	value = func(t json.Token) bool {
		switch t {
		case json.Delim('{'):
			return object()
		case json.Delim('['):
			return list()
		}
		return true
	}
	object = func() bool {
		names := map[json.Token]bool{}
		for d.More() {
			name, err := d.Token()
			if err != nil || names[name] {
				return false
			}
			names[name] = true
			if next, err := d.Token(); err != nil || !value(next) {
				return false
			}
		}
		_, err := d.Token()
		return err == nil
	}
	if !object() {
		return false
	}
	_, err := d.Token()
	return err == io.EOF
}

func FuzzCheckObject(f *testing.F) {
	for _, text := range []string{
		`{}`, ` {"a":1,"b":{"a":[{"a":1},{"a":2}]}} `, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"c":[],"b":2}}`, `{"a":["a","a",{"x":"a"}]}`,
		`{"a":"}","b":"{\"a\":1,","c":"\\"}`, `{"a":1}{}`, `{"a":1} x`, `[{}]`, `{"a\/b":1,"a/b":2}`, `{"\ud800":1,"\ud801":2}`, `{"":1,"":2}`, `{"a":[],"b":[1,2,[{}]],"c":0}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		// A text that gets there has been decoded up to the end of its first value.
		var first json.RawMessage
		if json.NewDecoder(bytes.NewReader(text)).Decode(&first) != nil {
			t.Skip()
		}
		got, want := CheckObject(text) == nil, naiveCheckObject(text)
		if valid := json.Valid(text) && string(bytes.ToValidUTF8(text, nil)) == string(text); !valid {
			want = false
		}
		if got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	})
}
