package rawjson

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// The texts are those that Node 20 prints for String(JSON.parse(literal)),
// except for numbers that it would round.
func TestNumberText(t *testing.T) {
	for literal, want := range map[string]string{
		"0": "0", "-0": "0", "0.0": "0", "-0.0e5": "0", "7": "7", "7.0": "7", "70e-1": "7", "-7": "-7", "1e3": "1000", "1E+3": "1000",
		"0.1": "0.1", "1.50": "1.5", "1e-6": "0.000001", "1e-7": "1e-7", "1.5e-7": "1.5e-7", "123456789.125": "123456789.125",
		"1e20": "100000000000000000000", "1e21": "1e+21", "123e19": "1.23e+21", "1e100": "1e+100", "5e-324": "5e-324",
		"9007199254740991": "9007199254740991", "9007199254740992": "9007199254740992", "12345678901234567000": "12345678901234567000",
		"1.7976931348623157e308": "1.7976931348623157e+308", "0e999999999999999999999": "0",
		// Not rounded.
		"9007199254740993": "9007199254740993", "-9007199254740993": "-9007199254740993", "1234567890123456789": "1234567890123456789",
		strings.Repeat("9", 400): strings.Repeat("9", 400),
		// Refused.
		"1e400": "", "-1e400": "", "9007199254740993.0": "", "1e-400": "", "1e-99999999999999999999": "", "0.1000000000000000055": "",
		"": "", "-": "", "007": "", "+1": "", ".5": "", "1.": "", "NaN": "", "Infinity": "", "0x10": "", "1 ": "", "1 2": "", "true": "", "null": "", "1_000": "",
	} {
		if got, ok := NumberText(literal); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %t; want %q", literal, got, ok, want)
		}
	}
}

func TestName(t *testing.T) {
	for value, want := range map[string]string{
		`"a"`: "a", ` "\u0061" `: "a", `7`: "7", " 7.0\n": "7", `"7"`: "7",
		`true`: "", `null`: "", `[1]`: "", `{}`: "", ``: "", ` `: "", `1e999`: "",
	} {
		if got, ok := Name(json.RawMessage(value)); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %t; want %q", value, got, ok, want)
		}
	}
	if text, ok := Name(json.RawMessage(`""`)); text != "" || !ok {
		t.Errorf(`"" is %q, %t`, text, ok)
	}
}

// Equal numbers have equal texts, and a text is a number with
// the same value.
func FuzzNumberText(f *testing.F) {
	for _, seed := range []string{"7.0", "-0", "1e21", "9007199254740993", "1e400", "0.1e1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, literal string) {
		text, ok := NumberText(literal)
		if !ok {
			return
		}
		if again, ok := NumberText(text); again != text || !ok {
			t.Errorf("%q is %q, which is %q", literal, text, again)
		}
		if decimalOf(text) != decimalOf(literal) {
			t.Errorf("%q became %q, another number", literal, text)
		}
	})
}

func TestMembers(t *testing.T) {
	for object, want := range map[string][]string{
		`{}`: nil, ` { } `: nil, `[1]`: nil, `"a"`: nil, `7`: nil, ``: nil,
		`{"a":1}`: {"a=1"},
		`{"a":1,"a":[2,{"b":"]}"}],"\u0061":"\"}"}`:        {"a=1", `a=[2,{"b":"]}"}]`, `a="\"}"`},
		" {\n\"a\" : { } ,\t\"\" : null , \"b\":-1.5e3 } ": {"a={ }", "=null", "b=-1.5e3"},
		`{"a":[[],[]],"b":true}`:                           {"a=[[],[]]", "b=true"},
		`{"Room":1,"room":2,"roo\u212am":3}`:               {"Room=1", "room=2", "roo\u212am=3"},
	} {
		var got []string
		for name, value := range Members([]byte(object)) {
			got = append(got, fmt.Sprintf("%s=%s", name, value))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s has %q, want %q", object, got, want)
		}
	}
	if got := string(Member([]byte(`{"ROOM":1,"room":2,"room":3}`), "room")); got != "3" {
		t.Errorf("the member is %s, want the last of its exact name", got)
	}
	if got := Member([]byte(`{"ROOM":1}`), "room"); got != nil {
		t.Errorf("the member is %s, want none", got)
	}
}

func TestElements(t *testing.T) {
	for array, want := range map[string][]string{
		`[]`: nil, ` [ ] `: nil, `{"a":[1]}`: nil, `7`: nil, ``: nil,
		`[1]`: {"1"}, " [ {\"a\":[1,2]} ,\n\"]\",[[],[ ]], null ] ": {`{"a":[1,2]}`, `"]"`, `[[],[ ]]`, "null"},
	} {
		var got []string
		for value := range Elements([]byte(array)) {
			got = append(got, string(value))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s has %q, want %q", array, got, want)
		}
	}
}

// Compares with a map, which matches names exactly, too.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":{"b":[1,"]"]},"\\":"\""}`, ` { "x" : [ ] } `, `{"a":1,"a":2}`, `{"\ud800":1}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &want) != nil || want == nil {
			return
		}
		got := make(map[string]json.RawMessage)
		for name, value := range Members([]byte(text)) {
			valid, _ := json.Marshal(string(name)) // raw bytes that aren't UTF-8 are replaced, as the map does
			var clean string
			_ = json.Unmarshal(valid, &clean)
			got[clean] = value
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q has %q, want %q", text, got, want)
		}
		if n := len(want); CheckObject([]byte(text)) == nil {
			for range Members([]byte(text)) {
				n--
			}
			if n != 0 {
				t.Errorf("%q has a name twice, and passes", text)
			}
		}
	})
}

func TestCheckObject(t *testing.T) {
	deep := strings.Repeat(`{"a":[`, 400) + strings.Repeat("]}", 400)
	for text, ok := range map[string]bool{
		`{}`: true, " {\"a\":1,\"b\":{\"a\":[{\"a\":1},{\"a\":2}]}}\n": true, `{"a":"a","A":1}`: true, deep: true, `{"a":["b","b"],"c":"a"}`: true,
		`{"a":1,"a":1}`: false, `{"a":1,"\u0061":2}`: false, `{"x":{"a":1,"b":2,"a":3}}`: false, `[{"a":1,"a":2}]`: false, `{"a":[{"b":1,"b":1}]}`: false,
		``: false, `[]`: false, `"a"`: false, `null`: false, `{}{}`: false, `{} x`: false, `{`: false, "{\"a\":\"\xff\"}": false,
	} {
		if got := CheckObject([]byte(text)) == nil; got != ok {
			t.Errorf("%.60s: %t, want %t", text, got, ok)
		}
	}
}
