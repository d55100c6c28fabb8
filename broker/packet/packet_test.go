package packet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// decode feeds messages to a new decoder and returns the packets that come out.
func decode(messages ...any) (packets []*parser.Packet, err error) {
	d := Parser{MaxBytes: 1000}.NewDecoder()
	_ = d.On("decoded", func(args ...any) { packets = append(packets, args[0].(*parser.Packet)) })
	for _, m := range messages {
		if err = d.Add(m); err != nil {
			return packets, err
		}
	}
	return packets, nil
}

func id(n uint64) *uint64 { return &n }

func TestDecode(t *testing.T) {
	event := func(name, args string, attachments ...[]byte) []any {
		return []any{name, Payload{Args: json.RawMessage(args), Attachments: attachments}}
	}
	tests := map[string]struct {
		in   []any
		want parser.Packet
	}{
		"connect":            {[]any{`0`}, parser.Packet{Type: parser.CONNECT, Nsp: "/"}},
		"connect elsewhere":  {[]any{`0/chat,`}, parser.Packet{Type: parser.CONNECT, Nsp: "/chat"}},
		"without comma":      {[]any{`0/chat`}, parser.Packet{Type: parser.CONNECT, Nsp: "/chat"}},
		"with auth":          {[]any{`0{"token":"x"}`}, parser.Packet{Type: parser.CONNECT, Nsp: "/", Data: map[string]any{"token": "x"}}},
		"large auth":         {[]any{`0{"token":"` + strings.Repeat("x", 20_000) + `"}`}, parser.Packet{Type: parser.CONNECT, Nsp: "/", Data: map[string]any{AuthTooLarge: true}}},
		"disconnect":         {[]any{`1/chat,`}, parser.Packet{Type: parser.DISCONNECT, Nsp: "/chat"}},
		"event":              {[]any{`2["a"]`}, parser.Packet{Type: parser.EVENT, Nsp: "/", Data: event("a", `[]`)}},
		"event with args":    {[]any{`2["a", 1 ,{"b":2.0}]`}, parser.Packet{Type: parser.EVENT, Nsp: "/", Data: event("a", `[ 1 ,{"b":2.0}]`)}},
		"event with ack":     {[]any{`2/chat,12["a",1]`}, parser.Packet{Type: parser.EVENT, Nsp: "/chat", Id: id(12), Data: event("a", `[1]`)}},
		"escaped name":       {[]any{`2["\"a\\",1]`}, parser.Packet{Type: parser.EVENT, Nsp: "/", Data: event(`"a\`, `[1]`)}},
		"ack":                {[]any{`37[1]`}, parser.Packet{Type: parser.ACK, Nsp: "/", Id: id(7), Data: []any{Payload{Args: json.RawMessage(`[1]`)}}}},
		"binary":             {[]any{`52-["a",{"_placeholder":true,"num":1}]`, []byte{1}, []byte{2}}, parser.Packet{Type: parser.EVENT, Nsp: "/", Data: event("a", `[{"_placeholder":true,"num":1}]`, []byte{1}, []byte{2})}},
		"binary without any": {[]any{`50-["a"]`}, parser.Packet{Type: parser.EVENT, Nsp: "/", Data: event("a", `[]`)}},
		"binary ack":         {[]any{`61-7[{"_placeholder":true,"num":0}]`, []byte{1}}, parser.Packet{Type: parser.ACK, Nsp: "/", Id: id(7), Data: []any{Payload{Args: json.RawMessage(`[{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1}}}}}},
		"the library's text": {[]any{types.NewStringBufferString(`2["a"]`)}, parser.Packet{Type: parser.EVENT, Nsp: "/", Data: event("a", `[]`)}},
		"its binary data":    {[]any{`51-["a"]`, types.NewBytesBuffer([]byte{1})}, parser.Packet{Type: parser.EVENT, Nsp: "/", Data: event("a", `[]`, []byte{1})}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := decode(test.in...)
			if err != nil || len(got) != 1 || !reflect.DeepEqual(*got[0], test.want) {
				t.Errorf("%q: %+v, %v; want %+v", test.in, got, err, test.want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := map[string][]any{
		"nothing":                {``},
		"unknown type":           {`7`},
		"what servers send":      {`4{"message":"x"}`},
		"auth that's no object":  {`0["x"]`},
		"auth that's no JSON":    {`0{`},
		"long namespace":         {`0/` + strings.Repeat("x", 255) + `,`},
		"disconnect with data":   {`1[1]`},
		"event without data":     {`2`},
		"event without name":     {`2[]`},
		"event with a number":    {`2[1,2]`},
		"event without brackets": {`2"a"`},
		"empty name":             {`2[""]`},
		"long name":              {`2["` + strings.Repeat("x", 256) + `"]`},
		"reserved name":          {`2["disconnect"]`},
		"reserved in disguise":   {`2["\u0064isconnect"]`},
		"trailing data":          {`2["a"]x`},
		"not UTF-8":              {"2[\"a\",\"\xff\"]"},
		"ack without id":         {`3[1]`},
		"ack without array":      {`31{}`},
		"absurd id":              {`299999999999999999999["a"]`},
		"no count":               {`5["a"]`},
		"absurd count":           {`599999999999-["a"]`},
		"too many attachments":   {`565-["a"]`},
		"text while due":         {`51-["a"]`, `2["b"]`},
		"binary unannounced":     {[]byte{1}},
		"binary after its end":   {`51-["a"]`, []byte{1}, []byte{2}},
		"too large":              {`2["a","` + strings.Repeat("x", 1000) + `"]`},
		"too large together":     {`52-["a"]`, make([]byte, 500), make([]byte, 500)},
		"of a strange type":      {42},
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := decode(in...); err == nil {
				t.Errorf("%.80q was accepted as %+v", in, got)
			}
		})
	}
}

func TestAppendEvent(t *testing.T) {
	for _, test := range []struct {
		namespace, event, args string
		ack                    *uint64
		attachments            int
		want                   string
	}{
		{"/", "a", ``, nil, 0, `2["a"]`},
		{"/", "a", `[]`, nil, 0, `2["a"]`},
		{"/", "a", ` [ 1, 2 ] `, nil, 0, `2["a",1, 2]`},
		{"/chat", "a<&>\"\n", `[1]`, id(0), 0, `2/chat,0["a<&>\"\n",1]`},
		{"/chat", "a", `[1]`, id(5), 2, `52-/chat,5["a",1]`},
	} {
		got := AppendEvent([]byte("4"), test.namespace, test.ack, test.event,
			Payload{Args: json.RawMessage(test.args), Attachments: make([][]byte, test.attachments)})
		if string(got) != "4"+test.want {
			t.Errorf("got %s, want 4%s", got, test.want)
		}
	}
}

func TestEncodeForTheLibrary(t *testing.T) {
	for _, test := range []struct {
		in   parser.Packet
		want []string
	}{
		{parser.Packet{Type: parser.CONNECT, Nsp: "/", Data: map[string]string{"sid": "x"}}, []string{`0{"sid":"x"}`}},
		{parser.Packet{Type: parser.CONNECT_ERROR, Nsp: "/chat", Data: map[string]any{"message": "no"}}, []string{`4/chat,{"message":"no"}`}},
		{parser.Packet{Type: parser.DISCONNECT, Nsp: "/"}, []string{`1`}},
		{parser.Packet{Type: parser.DISCONNECT, Nsp: "/chat"}, []string{`1/chat,`}},
		{parser.Packet{Type: parser.ACK, Nsp: "/", Id: id(3), Data: []any{}}, []string{`33[]`}},
		{parser.Packet{Type: parser.ACK, Nsp: "/", Id: id(3), Data: []any{Payload{Args: json.RawMessage(`[1]`)}}}, []string{`33[1]`}},
		{parser.Packet{Type: parser.ACK, Nsp: "/", Id: id(3), Data: []any{Payload{Args: json.RawMessage(`[1]`), Attachments: [][]byte{[]byte("x")}}}}, []string{`61-3[1]`, `x`}},
	} {
		var got []string
		for _, b := range (Parser{}).NewEncoder().Encode(&test.in) {
			got = append(got, b.String())
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestDepthIsLimited(t *testing.T) {
	nested := func(depth int) string {
		return strings.Repeat("[", depth) + `"[[\"[["` + strings.Repeat("]", depth)
	}
	wide := "[" + strings.Repeat(`{"a":[]},`, 1000) + "0]"
	for args, want := range map[string]bool{nested(maxDepth): true, nested(maxDepth + 1): false, wide: true} {
		if err := CheckArgs([]byte(args), 0); (err == nil) != want {
			t.Errorf("%.20s… of %d bytes: %v, want ok = %v", args, len(args), err, want)
		}
	}
	d := Parser{MaxBytes: 1 << 20}.NewDecoder()
	if err := d.Add(`2["a",` + nested(maxDepth) + `]`); err == nil {
		t.Error("an event above the limit was accepted")
	}
}

// FuzzDecode checks that whatever is accepted can be sent on to other clients,
// and means the same to them.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`0{"token":"x"}`, `2["a",1]`, `2/chat,12["a",{"b":[]}]`, `31[1]`, `1`,
		`51-["a",{"_placeholder":true,"num":0}]`, `2["\u0061"  ,  "\"]"]`, `61-1[[]]`,
	} {
		f.Add(seed, []byte("attached"))
	}
	f.Fuzz(func(t *testing.T, text string, attachment []byte) {
		packets, err := decode(text, attachment)
		if len(packets) == 0 {
			return
		}
		p := packets[0]
		data, ok := p.Data.([]any)
		if !ok || p.Type != parser.EVENT {
			return
		}
		name, payload := data[0].(string), data[1].(Payload)
		again := AppendEvent(nil, p.Nsp, p.Id, name, payload)
		var was, is []any
		if json.Unmarshal(again[bytes.IndexByte(again, '['):], &is) != nil {
			t.Fatalf("%q was accepted (%v) and sent on as %q", text, err, again)
		}
		if json.Unmarshal([]byte(text[strings.IndexByte(text, '['):]), &was) == nil && fmt.Sprint(was) != fmt.Sprint(is) {
			t.Errorf("%q was sent on as %q", text, again)
		}
		if Reserved(name) {
			t.Errorf("%q has a reserved name", text)
		}
	})
}

func FuzzCheckArgs(f *testing.F) {
	f.Add([]byte(`[1,{"_placeholder":true,"num":0}]`), 1)
	f.Add([]byte(`[`), 0)
	f.Fuzz(func(t *testing.T, args []byte, n int) {
		if n < 0 || n > maxAttachments {
			return
		}
		if CheckArgs(args, n) == nil && !json.Valid(args) {
			t.Errorf("%q was accepted", args)
		}
	})
}
