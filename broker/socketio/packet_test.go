package socketio

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
)

// decode feeds messages, text as string and binary as []byte, to a new decoder
// and returns the packets that come out.
func decode(messages ...any) (packets []Packet, err error) {
	d := Decoder{MaxBytes: 1000}
	for _, m := range messages {
		var p Packet
		var ok bool
		if text, isText := m.(string); isText {
			buf := []byte(text)
			p, ok, err = d.Text(buf)
			clear(buf) // the caller may reuse it
		} else {
			p, ok, err = d.Binary(m.([]byte))
		}
		if err != nil {
			return packets, err
		}
		if ok {
			packets = append(packets, p)
		}
	}
	return packets, nil
}

func id(n uint64) *uint64 { return &n }

func TestDecode(t *testing.T) {
	event := func(namespace, name, args string, attachments ...[]byte) Packet {
		return Packet{Type: parser.EVENT, Namespace: namespace, Event: name, Payload: Payload{Args: json.RawMessage(args), Attachments: attachments}}
	}
	asks := func(p Packet, id uint64) Packet {
		p.ID, p.HasID = id, true
		return p
	}
	ack := func(id uint64, args string, attachments ...[]byte) Packet {
		return Packet{Type: parser.ACK, Namespace: "/", ID: id, HasID: true, Payload: Payload{Args: json.RawMessage(args), Attachments: attachments}}
	}
	tests := map[string]struct {
		in   []any
		want Packet
	}{
		"connect":            {[]any{`0`}, Packet{Type: parser.CONNECT, Namespace: "/"}},
		"connect elsewhere":  {[]any{`0/chat,`}, Packet{Type: parser.CONNECT, Namespace: "/chat"}},
		"without comma":      {[]any{`0/chat`}, Packet{Type: parser.CONNECT, Namespace: "/chat"}},
		"with auth":          {[]any{`0{"token":"x"}`}, Packet{Type: parser.CONNECT, Namespace: "/", Auth: json.RawMessage(`{"token":"x"}`), Token: "x"}},
		"another name":       {[]any{`0{"Token":"x","to\u212aen":"y"}`}, Packet{Type: parser.CONNECT, Namespace: "/", Auth: json.RawMessage(`{"Token":"x","to\u212aen":"y"}`)}},
		"two tokens":         {[]any{`0{"token":"x","token":"y"}`}, Packet{Type: parser.CONNECT, Namespace: "/", Auth: json.RawMessage(`{"token":"x","token":"y"}`), Token: "y"}},
		"odd token":          {[]any{`0{"token":1}`}, Packet{Type: parser.CONNECT, Namespace: "/", Auth: json.RawMessage(`{"token":1}`)}},
		"without auth":       {[]any{`0null`}, Packet{Type: parser.CONNECT, Namespace: "/"}},
		"large auth":         {[]any{`0{"token":"` + strings.Repeat("x", 20_000) + `"}`}, Packet{Type: parser.CONNECT, Namespace: "/", AuthTooLarge: true}},
		"disconnect":         {[]any{`1/chat,`}, Packet{Type: parser.DISCONNECT, Namespace: "/chat"}},
		"event":              {[]any{`2["a"]`}, event("/", "a", `[]`)},
		"event with args":    {[]any{`2["a", 1 ,{"b":2.0}]`}, event("/", "a", `[ 1 ,{"b":2.0}]`)},
		"event with ack":     {[]any{`2/chat,12["a",1]`}, asks(event("/chat", "a", `[1]`), 12)},
		"ack number 0":       {[]any{`20["a"]`}, asks(event("/", "a", `[]`), 0)},
		"escaped name":       {[]any{`2["\"a\\",1]`}, event("/", `"a\`, `[1]`)},
		"ack":                {[]any{`37[1]`}, ack(7, `[1]`)},
		"binary":             {[]any{`52-["a",{"_placeholder":true,"num":1}]`, []byte{1}, []byte{2}}, event("/", "a", `[{"_placeholder":true,"num":1}]`, []byte{1}, []byte{2})},
		"binary without any": {[]any{`50-["a"]`}, event("/", "a", `[]`)},
		"binary ack":         {[]any{`61-7[{"_placeholder":true,"num":0}]`, []byte{1}}, ack(7, `[{"_placeholder":true,"num":0}]`, []byte{1})},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := decode(test.in...)
			if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], test.want) {
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
		"event without brackets": {`2"a"`},
		"trailing data":          {`2["a"]x`},
		"not UTF-8":              {"2[\"a\",\"\xff\"]"},
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
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := decode(in...); err == nil {
				t.Errorf("%.80q was accepted as %+v", in, got)
			}
		})
	}
}

// The stock parser accepts numbers as names of events.
func TestNumericNames(t *testing.T) {
	for in, want := range map[string][2]string{
		`2[42,"x"]`: {"42", `["x"]`}, `2[ 7.0 ]`: {"7", `[]`}, `2[-0, 1]`: {"0", `[ 1]`}, `2[1e21]`: {"1e+21", `[]`}, `2[9007199254740993,[]]`: {"9007199254740993", `[[]]`},
	} {
		got, err := decode(in)
		if err != nil || len(got) != 1 || got[0].Event != want[0] || string(got[0].Args) != want[1] || got[0].Refusal != "" {
			t.Errorf("%s: %+v, %v; want %q", in, got, err, want)
		}
	}
}

// Refused events are read, so that their senders can be told what is wrong, and nothing of them
// is kept.
func TestRefusedEvents(t *testing.T) {
	for in, want := range map[string]string{
		`2[]`: "is text", `2[null]`: "is text", `2[true,1]`: "is text", `2[["a"],1]`: "is text", `2[{"a":1}]`: "is text", `2[{"_placeholder":true,"num":0}]`: "is text", `2[1e400]`: "is text",
		`2[""]`: "empty", `2["` + strings.Repeat("x", 256) + `"]`: "256", `2[1` + strings.Repeat("0", 300) + `1]`: "302",
		`2["disconnect"]`: "keeps for itself", `2["\u0064isconnect"]`: "keeps for itself", `2["connect_error",{}]`: "keeps for itself",
	} {
		in := strings.Replace(in, "2[", "2/chat,7[", 1)
		got, err := decode(in)
		if err != nil || len(got) != 1 {
			t.Errorf("%.60s: %+v, %v", in, got, err)
			continue
		}
		if p := got[0]; !strings.Contains(p.Refusal, want) || p.Event != "" || p.Args != nil || !p.HasID || p.ID != 7 || p.Namespace != "/chat" {
			t.Errorf("%.60s: %+v, want a refusal with %q", in, p, want)
		}
	}
	got, err := decode(`51-["connect",{"_placeholder":true,"num":0}]`, []byte{1}, `2["b"]`)
	if err != nil || len(got) != 2 || got[0].Refusal == "" || got[1].Event != "b" {
		t.Errorf("with an attachment: %+v, %v", got, err)
	}
}

func TestAckWithoutID(t *testing.T) {
	if got, err := decode(`3[1]`); err != nil || len(got) != 1 || got[0].HasID {
		t.Errorf("%+v, %v; want an ACK that answers nothing", got, err)
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

func TestAppendOthers(t *testing.T) {
	for got, want := range map[string]string{
		string(AppendConnect(nil, "/", "x", "")):                                                          `0{"sid":"x"}`,
		string(AppendConnect(nil, "/chat", "x", "")):                                                      `0/chat,{"sid":"x"}`,
		string(AppendConnectError(nil, "/chat", json.RawMessage(`{"message":1}`))):                        `4/chat,{"message":1}`,
		string(AppendDisconnect(nil, "/")):                                                                `1`,
		string(AppendDisconnect(nil, "/chat")):                                                            `1/chat,`,
		string(AppendAck(nil, "/", 3, Payload{})):                                                         `33[]`,
		string(AppendAck(nil, "/", 3, Payload{Args: json.RawMessage(`[1]`)})):                             `33[1]`,
		string(AppendAck(nil, "/", 3, Payload{Args: json.RawMessage(`[1]`), Attachments: [][]byte{{1}}})): `61-3[1]`,
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The library's parser reads what this package writes, and writes what this package reads.
func TestAgainstLibraryParser(t *testing.T) {
	binary := []byte{1, 2, 3}
	placeholder := map[string]any{"_placeholder": true, "num": float64(0)}
	tests := map[string]struct {
		text   []byte
		packet parser.Packet
	}{
		"connect":         {AppendConnect(nil, "/chat", "x", ""), parser.Packet{Type: parser.CONNECT, Nsp: "/chat", Data: map[string]any{"sid": "x"}}},
		"disconnect":      {AppendDisconnect(nil, "/chat"), parser.Packet{Type: parser.DISCONNECT, Nsp: "/chat"}},
		"event":           {AppendEvent(nil, "/", id(3), "a\"<é>", Payload{Args: json.RawMessage(`[1,"x"]`)}), parser.Packet{Type: parser.EVENT, Nsp: "/", Id: id(3), Data: []any{"a\"<é>", 1.0, "x"}}},
		"elsewhere":       {AppendEvent(nil, "/chat", nil, "a", Payload{}), parser.Packet{Type: parser.EVENT, Nsp: "/chat", Data: []any{"a"}}},
		"ack":             {AppendAck(nil, "/chat", 7, Payload{Args: json.RawMessage(`[[]]`)}), parser.Packet{Type: parser.ACK, Nsp: "/chat", Id: id(7), Data: []any{[]any{}}}},
		"with a pid":      {AppendConnect(nil, "/", "x", "x~y"), parser.Packet{Type: parser.CONNECT, Nsp: "/", Data: map[string]any{"sid": "x", "pid": "x~y"}}},
		"recoverable":     {AppendRecoverable(nil, "/chat", "a", Payload{Args: json.RawMessage(` [1, "x" ] `)}, "N.1"), parser.Packet{Type: parser.EVENT, Nsp: "/chat", Data: []any{"a", 1.0, "x", "N.1"}}},
		"without args":    {AppendRecoverable(nil, "/", "a", Payload{Args: json.RawMessage(`[ ]`)}, "N.1"), parser.Packet{Type: parser.EVENT, Nsp: "/", Data: []any{"a", "N.1"}}},
		"with both":       {AppendRecoverable(nil, "/", "a", Payload{Args: json.RawMessage(`[{"_placeholder":true,"num":0}]`), Attachments: [][]byte{binary}}, "N.1"), parser.Packet{Type: parser.BINARY_EVENT, Nsp: "/", Data: []any{"a", binary, "N.1"}}},
		"with attachment": {AppendEvent(nil, "/", nil, "a", Payload{Args: json.RawMessage(`[{"_placeholder":true,"num":0}]`), Attachments: [][]byte{binary}}), parser.Packet{Type: parser.BINARY_EVENT, Nsp: "/", Data: []any{"a", binary}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var read *parser.Packet
			d := parser.NewDecoder()
			_ = d.On("decoded", func(args ...any) { read = args[0].(*parser.Packet) })
			if err := d.Add(string(test.text)); err != nil {
				t.Fatal(err)
			}
			if test.packet.Type == parser.BINARY_EVENT {
				if err := d.Add(binary); err != nil {
					t.Fatal(err)
				}
			}
			if read == nil || read.Type != test.packet.Type || read.Nsp != test.packet.Nsp || !reflect.DeepEqual(read.Id, test.packet.Id) ||
				fmt.Sprint(plainData(read.Data)) != fmt.Sprint(plainData(test.packet.Data)) {
				t.Fatalf("the library reads %q as %+v, want %+v", test.text, read, test.packet)
			}
			if test.packet.Type == parser.CONNECT {
				return // a client's has other data
			}
			sent := test.packet
			if sent.Type == parser.BINARY_EVENT {
				sent.Type = parser.EVENT // it looks for itself
			}
			var messages []any
			for i, part := range parser.NewEncoder().Encode(&sent) {
				if i == 0 {
					messages = append(messages, part.String())
				} else {
					messages = append(messages, part.Bytes())
				}
			}
			packets, err := decode(messages...)
			if err != nil || len(packets) != 1 {
				t.Fatalf("%q: %v, %v", messages, packets, err)
			}
			p := packets[0]
			var args []any
			if len(p.Args) > 0 {
				if err := json.Unmarshal(p.Args, &args); err != nil {
					t.Fatal(err)
				}
			}
			want := test.packet.Data
			if p.Type == parser.EVENT {
				args = append([]any{p.Event}, args...)
			}
			if len(p.Attachments) > 0 {
				want = append([]any{"a", placeholder}, test.packet.Data.([]any)[2:]...)
			}
			if p.Namespace != test.packet.Nsp || p.HasID != (test.packet.Id != nil) || p.HasID && p.ID != *test.packet.Id ||
				want != nil && !reflect.DeepEqual(any(args), want) {
				t.Errorf("%q is read as %+v, want %+v", messages, p, test.packet)
			}
		})
	}
}

// plainData shows buffers as their bytes.
func plainData(data any) any {
	list, ok := data.([]any)
	if !ok {
		return data
	}
	plain := make([]any, len(list))
	for i, v := range list {
		if buffer, ok := v.(interface{ Bytes() []byte }); ok {
			v = buffer.Bytes()
		}
		plain[i] = v
	}
	return plain
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
	d := Decoder{MaxBytes: 1 << 20}
	if p, _, err := d.Text([]byte(`2["a",` + nested(maxDepth) + `]`)); err != nil || p.Refusal == "" {
		t.Errorf("an event above the limit was accepted: %v", err)
	}
	if _, _, err := d.Text([]byte(`31[` + nested(maxDepth) + `]`)); err == nil {
		t.Error("an ack above the limit was accepted")
	}
}

// Whatever is accepted can be sent on to other clients, and means the same to them.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`0{"token":"x"}`, `2["a",1]`, `2/chat,12["a",{"b":[]}]`, `31[1]`, `1`,
		`51-["a",{"_placeholder":true,"num":0}]`, `2["\u0061"  ,  "\"]"]`, `61-1[[]]`, `2/[,["a"]`,
	} {
		f.Add(seed, []byte("attached"))
	}
	f.Fuzz(func(t *testing.T, text string, attachment []byte) {
		packets, err := decode(text, attachment)
		if len(packets) == 0 {
			return
		}
		p := packets[0]
		if p.Type != parser.EVENT || p.Refusal != "" {
			return
		}
		var ackID *uint64
		if p.HasID {
			ackID = &p.ID
		}
		again := string(AppendEvent(nil, p.Namespace, ackID, p.Event, p.Payload))
		var was, is []any
		if json.Unmarshal([]byte(array(again)), &is) != nil {
			t.Fatalf("%q was accepted (%v) and sent on as %q", text, err, again)
		}
		if json.Unmarshal([]byte(array(text)), &was) != nil {
			return // it has spaces that JSON has not
		}
		if _, number := was[0].(float64); number {
			was[0] = p.Event // which is its text
		}
		if fmt.Sprint(was) != fmt.Sprint(is) {
			t.Errorf("%q was sent on as %q", text, again)
		}
		if Reserved(p.Event) {
			t.Errorf("%q has a reserved name", text)
		}
	})
}

// array returns what follows a packet's header. A namespace may contain a bracket.
func array(packet string) string {
	_, rest, named := strings.Cut(packet, ",")
	if start := strings.IndexAny(packet, "/["); !named || packet[start] == '[' {
		rest = packet
	}
	return rest[strings.IndexByte(rest, '['):]
}

func FuzzCheckArgs(f *testing.F) {
	f.Add([]byte(`[1,{"_placeholder":true,"num":0}]`), 1)
	f.Add([]byte(`[`), 0)
	f.Fuzz(func(t *testing.T, args []byte, n int) {
		if n < 0 || n > defaultAttachments {
			return
		}
		if CheckArgs(args, n) == nil && !json.Valid(args) {
			t.Errorf("%q was accepted", args)
		}
	})
}
