package socketio

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
)

// FuzzAppendShifted: whatever two messages there are, one packet with both has each attachment where
// it belongs, as receivers read it. A message without attachments that looks like one with attachments
// isn't put into such a packet.
func FuzzAppendShifted(f *testing.F) {
	const placeholder = `{"_placeholder":true,"num":%d}`
	f.Add([]byte(fmt.Sprintf("["+placeholder+"]", 0)), 1, []byte(fmt.Sprintf(" [1,"+placeholder+",{\"a\":["+placeholder+"]}]", 1, 0)), 2)
	f.Add([]byte(`[{"num":0,"\u005fplaceholder":true,"num":0}]`), 1, []byte(`[{"_placeholder":true,"num":9}]`), 0)
	f.Add([]byte(`[{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":1}}]`), 2, []byte(`[]`), 0)
	f.Add([]byte(`[{"_placeholder":true,"num":0.0}]`), 1, []byte(`[{"_placeholder":true,"num":-0}]`), 1)
	f.Add([]byte(`[{"_placeholder":true,"_placeholder":false,"num":1e0}]`), 1, []byte("[\n{\"_placeholder\":true,\"num\":00}]"), 1)
	f.Fuzz(func(t *testing.T, first []byte, n int, second []byte, m int) {
		if n < 0 || m < 0 || n > defaultAttachments || m > defaultAttachments || CheckArgs(first, n) != nil || CheckArgs(second, m) != nil {
			return
		}
		if n+m > 0 && (n == 0 && HasPlaceholders(first) || m == 0 && HasPlaceholders(second)) {
			return
		}
		both := AppendShifted([]byte("["), Payload{Args: first, Attachments: make([][]byte, n)}, 0)
		both = AppendShifted(append(both, ','), Payload{Args: second, Attachments: make([][]byte, m)}, n)
		both = append(both, ']')
		if err := CheckArgs(both, n+m); err != nil && !errors.Is(err, errDepth) {
			t.Errorf("%q and %q became %q: %v", first, second, both, err)
		}
		if n+m == 0 {
			return
		}
		var apart, together [2]any
		if json.Unmarshal(first, &apart[0]) != nil || json.Unmarshal(second, &apart[1]) != nil || json.Unmarshal(both, &together) != nil {
			t.Fatalf("%q can't be read", both)
		}
		for i, by := range []int{0, n} {
			if got, want := fmt.Sprint(together[i]), fmt.Sprint(moved(apart[i], by)); got != want {
				t.Errorf("message %d became %s, want %s", i, got, want)
			}
		}
	})
}

// moved returns a value whose placeholders refer to attachments that come after by others.
func moved(value any, by int) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = moved(v[i], by)
		}
	case map[string]any:
		for name := range v {
			v[name] = moved(v[name], by)
		}
		num, ok := v["num"].(float64)
		if v["_placeholder"] == true && ok {
			v["num"] = num + float64(by)
		}
	}
	return value
}
