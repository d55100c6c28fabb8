package redisemitter_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"github.com/salabroker/sala/broker/cluster/redisemitter"
)

// expected are the commands that testdata/publish.mjs publishes with the official emitter, in
// order.
func expected() []redisemitter.Command {
	emit := func(event, args string) redisemitter.Command {
		return redisemitter.Command{Kind: redisemitter.KindEmit, Namespace: "/", Event: event, Args: json.RawMessage(args)}
	}
	with := func(c redisemitter.Command, change func(*redisemitter.Command)) redisemitter.Command {
		change(&c)
		return c
	}
	return []redisemitter.Command{
		emit("to everyone", `[]`),
		with(emit("to a room", `[1,"two",[3],{"four":4}]`), func(c *redisemitter.Command) { c.Rooms = []string{"room1"} }),
		with(emit("to rooms", `[null]`), func(c *redisemitter.Command) {
			c.Rooms, c.Except = []string{"room1", "room#2", "raum ü"}, []string{"room3", "room4"}
		}),
		with(emit("all but", `[]`), func(c *redisemitter.Command) { c.Except = []string{"room3"} }),
		with(emit("volatile", `[true,false]`), func(c *redisemitter.Command) {
			c.Namespace, c.Rooms, c.Volatile = "/chat", []string{"room1"}, true
		}),
		with(emit("compressed", `[]`), func(c *redisemitter.Command) { c.Namespace = "/chat" }),
		emit("numbers", `[0,-1,127,128,-33,65536,-65536,4294967296,9007199254740991,-9007199254740991,1.5,-0.1,1.25e-300,5e-324]`),
		emit("strings", `["","ü 🙂","quote \" backslash \\ newline \u000a nul \u0000 del `+"\u007f"+` <&>","`+
			strings.Repeat("x", 300)+`","ends with half a 🐀"]`), // how its encoder writes half a character
		emit("nothing", `[null,null,null,null,{"here":null}]`),
		emit("dates", `["1970-01-01T00:00:00.000Z","2024-02-29T12:34:56.789Z","1969-12-31T23:59:59.999Z","2500-01-01T00:00:00.000Z"]`),
		emit("order", `[{"10":3,"z":1,"a":2,"ü\"":4},[[],{},[[[]]]]]`), // JavaScript sorts numeric keys first
		with(emit("binary", `[{"_placeholder":true,"num":0},{"in":[{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}],"text":"x"},`+
			`{"_placeholder":true,"num":3}]`), func(c *redisemitter.Command) {
			c.Rooms = []string{"room1"}
			c.Attachments = [][]byte{{0, 1, 255}, {4, 5}, bytes.Repeat([]byte{7}, 300), {}}
		}),
		{Kind: redisemitter.KindJoin, Namespace: "/", Change: []string{"room1"}},
		{Kind: redisemitter.KindJoin, Namespace: "/chat", Rooms: []string{"room1"}, Except: []string{"room2"}, Change: []string{"room3", "room4"}},
		{Kind: redisemitter.KindLeave, Namespace: "/", Rooms: []string{"room1", "room2"}, Change: []string{"room3"}},
		{Kind: redisemitter.KindDisconnect, Namespace: "/", Rooms: []string{"room1"}},
		{Kind: redisemitter.KindDisconnect, Namespace: "/", Close: true},
		{Kind: redisemitter.KindServerSideEmit, Namespace: "/", Event: "hello", Args: json.RawMessage(`[1,{"two":2}]`)},
		with(emit("42", `["x"]`), func(c *redisemitter.Command) { c.Rooms = []string{"7"} }),
		with(emit("1.5", `[]`), func(c *redisemitter.Command) {
			c.Rooms, c.Except = []string{"-7", "7.5", "9007199254740992"}, []string{"1000000000000"}
		}),
		{Kind: redisemitter.KindJoin, Namespace: "/", Rooms: []string{"7"}, Except: []string{"9"}, Change: []string{"8", "eight"}},
	}
}

// compare compares a decoded command with the i-th expected one.
func compare(t *testing.T, i int, got redisemitter.Command) {
	t.Helper()
	want := expected()[i]
	if len(got.Rooms) == 0 {
		got.Rooms = nil
	}
	if len(got.Except) == 0 {
		got.Except = nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("command %d is\n%+v %s, want\n%+v %s", i, got, got.Args, want, want.Args)
	}
	if got.Args != nil && !json.Valid(got.Args) {
		t.Errorf("the arguments of command %d aren't JSON", i)
	}
}

type fixture struct {
	channel string
	payload []byte
}

// fixtures returns what the official emitter published, as `node publish.mjs` prints it.
func fixtures(t testing.TB) []fixture {
	t.Helper()
	text, err := os.ReadFile("testdata/fixtures.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []fixture
	for line := range strings.Lines(string(text)) {
		name, data, _ := strings.Cut(strings.TrimSpace(line), " ")
		channel, err := url.PathUnescape(name)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fixture{channel, payload})
	}
	return all
}

// Decodes what the official emitter published.
func TestDecodeFixtures(t *testing.T) {
	all := fixtures(t)
	if len(all) != len(expected()) {
		t.Fatalf("there are %d fixtures, want %d", len(all), len(expected()))
	}
	for i, f := range all {
		c, err := redisemitter.Decode(redisemitter.DefaultKey, f.channel, f.payload)
		if err != nil {
			t.Errorf("fixture %d: %v", i, err)
			continue
		}
		compare(t, i, *c)
	}
}

// packet returns the MessagePack of a packet with the given data.
func packet(data []byte) []byte {
	b := msgp.AppendArrayHeader(nil, 3)
	b = msgp.AppendString(b, "emitter")
	b = msgp.AppendMapHeader(b, 3)
	b = msgp.AppendInt(msgp.AppendString(b, "type"), 2)
	b = append(msgp.AppendString(b, "data"), data...)
	b = msgp.AppendString(msgp.AppendString(b, "nsp"), "/")
	return msgp.AppendMapHeader(b, 0)
}

// event returns the data of an event "e" with one argument, in MessagePack.
func event(arg []byte) []byte {
	return append(msgp.AppendString(msgp.AppendArrayHeader(nil, 2), "e"), arg...)
}

func nested(depth int) []byte {
	return append(bytes.Repeat([]byte{0x91}, depth), 0xc0)
}

// Values that the official emitter doesn't write, but others may.
func TestDecodeValues(t *testing.T) {
	for want, arg := range map[string][]byte{
		`18446744073709551615`: msgp.AppendUint64(nil, 1<<64-1),
		`-9223372036854775808`: msgp.AppendInt64(nil, -1<<63),
		`0.5`:                  msgp.AppendFloat32(nil, 0.5),
		`"a` + "\ufffd" + `b"`: msgp.AppendString(nil, "a\xffb"),
		`"\u001f"`:             msgp.AppendString(nil, "\x1f"),
		strings.Repeat("[", 499) + "null" + strings.Repeat("]", 499): nested(499),
	} {
		c, err := redisemitter.Decode("socket.io", "socket.io#/#", packet(event(arg)))
		if err != nil || string(c.Args) != "["+want+"]" {
			t.Errorf("%.80s: %+v, %v", want, c, err)
		}
	}
}

// Everything else is an error that doesn't contain parts of the message.
func TestDecodeRefuses(t *testing.T) {
	const here = "socket.io#/#"
	const requests = "socket.io-request#/#"
	binaries := msgp.AppendArrayHeader(nil, 65)
	for range 65 {
		binaries = msgp.AppendBytes(binaries, []byte("x"))
	}
	good := fixtures(t)[1].payload
	for name, test := range map[string]struct {
		channel string
		payload []byte
	}{
		"nothing":                 {here, nil},
		"no MessagePack":          {here, []byte("secret")},
		"half a packet":           {here, good[:len(good)/2]},
		"more than a packet":      {here, append(bytes.Clone(good), 0xc0)},
		"another namespace":       {"socket.io#/chat#", good},
		"a longer namespace":      {"socket.io#/x#", packet(event(nil))},
		"another key":             {"other#/#", good},
		"no data":                 {here, packet(msgp.AppendNil(nil))},
		"empty data":              {here, packet(msgp.AppendArrayHeader(nil, 0))},
		"an event's name as null": {here, packet(msgp.AppendNil(msgp.AppendArrayHeader(nil, 1)))},
		"an event's name as NaN":  {here, packet(msgp.AppendFloat64(msgp.AppendArrayHeader(nil, 1), math.NaN()))},
		"an empty event":          {here, packet(msgp.AppendString(msgp.AppendArrayHeader(nil, 1), ""))},
		"too deep":                {here, packet(event(nested(500)))},
		"bottomless":              {here, packet(event(bytes.Repeat([]byte{0x91}, 1<<20)))},
		"an array without end":    {here, packet(event([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}))},
		"a map without end":       {here, packet(event([]byte{0xdf, 0xff, 0xff, 0xff, 0xff}))},
		"a number as key":         {here, packet(event([]byte{0x81, 1, 1}))},
		"an extension":            {here, packet(event([]byte{0xd4, 0x42, 1}))},
		"a year beyond 9999":      {here, packet(event([]byte{0xc7, 12, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0}))},
		"too many attachments":    {here, packet(event(binaries))},
		"too large":               {here, make([]byte, 9<<20)},
		"too large as JSON":       {here, packet(event(msgp.AppendArrayHeader(nil, 1<<31)))},
		"a request as no JSON":    {requests, []byte(`{"type":2,"secret`)},
		"a request without type":  {requests, []byte(`{"rooms":["secret"]}`)},
		"a request of type 99":    {requests, []byte(`{"type":99}`)},
		"a join of nothing":       {requests, []byte(`{"type":2,"opts":{"rooms":["secret"]},"rooms":[]}`)},
		"a join of null":          {requests, []byte(`{"type":2,"rooms":[null]}`)},
		"a join of a text":        {requests, []byte(`{"type":2,"rooms":"secret"}`)},
		"another case":            {requests, []byte(`{"TYPE":2,"rooms":["secret"]}`)},
		"an unending namespace":   {"socket.io-request#/", []byte(`{"type":4}`)},
		"a room with a long name": {requests, []byte(`{"type":4,"opts":{"rooms":["` + strings.Repeat("secret", 100) + `"]}}`)},
		"too many rooms":          {requests, []byte(`{"type":4,"opts":{"rooms":["r"` + strings.Repeat(`,"r"`, 1000) + `]}}`)},
		"no server-side event":    {requests, []byte(`{"type":6,"data":[]}`)},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := redisemitter.Decode("socket.io", test.channel, test.payload)
			if err == nil {
				t.Fatalf("it is read as %+v", c)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells what it is about: %v", err)
			}
		})
	}
	for _, ignored := range []string{`{"type":0,"uid":"x"}`, `{"type":5,"opts":{"rooms":[],"except":[]}}`} {
		if _, err := redisemitter.Decode("socket.io", requests, []byte(ignored)); !errors.Is(err, redisemitter.ErrIgnored) {
			t.Errorf("%s: %v, want ErrIgnored", ignored, err)
		}
	}
}

// Whatever is published, a command that comes out of it is well-formed.
func FuzzDecode(f *testing.F) {
	for _, fixture := range fixtures(f) {
		f.Add(strings.HasPrefix(fixture.channel, "socket.io-request"), fixture.payload)
	}
	f.Add(false, packet(event(nested(10))))
	f.Fuzz(func(t *testing.T, request bool, payload []byte) {
		channel := "socket.io#/#"
		if request {
			channel = "socket.io-request#/#"
		}
		c, err := redisemitter.Decode("socket.io", channel, payload)
		switch {
		case err != nil:
			if c != nil {
				t.Errorf("a command with an error: %+v, %v", c, err)
			}
		case c.Namespace != "/" || c.Kind == 0:
			t.Errorf("%+v", c)
		case c.Kind == redisemitter.KindEmit:
			checkEmit(t, c)
		}
	})
}

func checkEmit(t *testing.T, c *redisemitter.Command) {
	t.Helper()
	var args []any
	if err := json.Unmarshal(c.Args, &args); err != nil {
		t.Errorf("the arguments %q aren't a JSON array: %v", c.Args, err)
	}
	if got := bytes.Count(c.Args, []byte(`{"_placeholder":true,"num":`)); got < len(c.Attachments) || len(c.Attachments) > 64 {
		t.Errorf("%d placeholders for %d attachments", got, len(c.Attachments))
	}
	if c.Event == "" {
		t.Error("an event without a name")
	}
}
