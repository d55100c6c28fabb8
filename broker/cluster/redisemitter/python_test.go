package redisemitter_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/cluster/redisemitter"
)

func emitted(namespace, event, args string, rooms, except []string, attachments ...[]byte) redisemitter.Command {
	return redisemitter.Command{
		Kind: redisemitter.KindEmit, Namespace: namespace, Event: event, Args: json.RawMessage(args),
		Rooms: rooms, Except: except, Attachments: attachments,
	}
}

// Runs python-socketio's Redis manager against a Redis.
func TestPythonPublisher(t *testing.T) {
	want := []redisemitter.Command{
		emitted("/", "to everyone", `[]`, nil, nil),
		emitted("/", "to a room", `[{"text":"ü 🙂","n":[1,-1,70000,9007199254740992,-1180591620717411303424,0.1,null,true]}]`, []string{"lobby"}, nil),
		emitted("/chat", "several", `["a",2,["b"]]`, []string{"7"}, nil),
		emitted("/", "a list", `[["a","b"]]`, nil, []string{"SOCKET"}),
		emitted("/", "skips", `["x"]`, nil, []string{"ONE", "TWO"}),
		emitted("/", "binary", `[{"_placeholder":true,"num":0},{"in":[{"_placeholder":true,"num":1}]}]`, nil, nil, []byte{0, 1, 255}, []byte{}),
		{Kind: redisemitter.KindDisconnect, Namespace: "/chat", Rooms: []string{"SOCKET"}},
		{Kind: redisemitter.KindLeave, Namespace: "/", Rooms: []string{"lobby"}, Change: []string{"lobby"}},
	}
	server := clustertest.Start(t)
	bus, err := redis.New(redis.Options{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	in := inbox{messages: make(chan cluster.Message, 100), states: make(chan cluster.State, 10)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { bus.Listen(ctx, redisemitter.Patterns(redisemitter.DefaultKey, "/", "/chat"), in); close(done) }()
	defer func() { stop(); <-done }()
	awaitState(t, in, cluster.Connected)
	python := exec.CommandContext(ctx, "/usr/bin/python3", "testdata/publish.py", strconv.Itoa(server.Port))
	if out, err := python.CombinedOutput(); err != nil {
		t.Fatalf("publish.py: %v (python3-socketio and python3-redis are needed, run `make deps`)\n%s", err, out)
	}
	for i := range want {
		select {
		case m := <-in.messages:
			c, err := redisemitter.Decode(redisemitter.DefaultKey, m.Channel, m.Payload)
			if err != nil {
				t.Fatalf("command %d: %v", i, err)
			}
			if !reflect.DeepEqual(*c, want[i]) {
				t.Errorf("command %d is %+v (%s), want %+v", i, *c, c.Args, want[i])
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("command %d doesn't come", i)
		}
	}
}

// pickles are the same message in Python's protocols 2, 4 and 5.
var pickles = []string{
	"80027d71002858060000006d6574686f6471015804000000656d6974710258050000006576656e7471035803000000736179" +
		"710458040000006461746171057d710658010000006171075d7108284b014afeffffff4d2c014a701101008a060000000000" +
		"018a090000000000000000c0473ff80000000000004e888965735802000000c3bc7109580100000074710a85710b87710c58" +
		"090000006e616d657370616365710d58010000002f710e5804000000726f6f6d710f58050000006c6f626279711058080000" +
		"00736b69705f73696471115d71122858020000005331711358020000005332711465580800000063616c6c6261636b71154e" +
		"5807000000686f73745f696471165801000000687117752e",
	"800495c2000000000000007d94288c066d6574686f64948c04656d6974948c056576656e74948c03736179948c0464617461" +
		"947d948c0161945d94284b014afeffffff4d2c014a701101008a060000000000018a090000000000000000c0473ff8000000" +
		"0000004e888965738c02c3bc948c017494859487948c096e616d657370616365948c012f948c04726f6f6d948c056c6f6262" +
		"79948c08736b69705f736964945d94288c025331948c02533294658c0863616c6c6261636b944e8c07686f73745f6964948c" +
		"016894752e",
	"800595c2000000000000007d94288c066d6574686f64948c04656d6974948c056576656e74948c03736179948c0464617461" +
		"947d948c0161945d94284b014afeffffff4d2c014a701101008a060000000000018a090000000000000000c0473ff8000000" +
		"0000004e888965738c02c3bc948c017494859487948c096e616d657370616365948c012f948c04726f6f6d948c056c6f6262" +
		"79948c08736b69705f736964945d94288c025331948c02533294658c0863616c6c6261636b944e8c07686f73745f6964948c" +
		"016894752e",
}

func TestPickleProtocols(t *testing.T) {
	want := emitted("/", "say", `[{"a":[1,-2,300,70000,1099511627776,-1180591620717411303424,1.5,null,true,false]},"ü",["t"]]`,
		[]string{"lobby"}, []string{"S1", "S2"})
	for i, text := range pickles {
		payload, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		c, err := redisemitter.Decode(redisemitter.DefaultKey, redisemitter.PythonChannel, payload)
		if err != nil {
			t.Errorf("%d: %v", i, err)
		} else if !reflect.DeepEqual(*c, want) {
			t.Errorf("%d: %+v (%s), want %+v", i, *c, c.Args, want)
		}
	}
}

func TestPythonJSON(t *testing.T) {
	for message, want := range map[string]redisemitter.Command{
		`{"method":"emit","event":"e","data":{"n":1.0},"namespace":"/chat","room":null}`: emitted("/chat", "e", `[{"n":1.0}]`, nil, nil),
		`{"method":"emit","event":"e","data":["a"],"room":["r",7],"skip_sid":"S"}`:       emitted("/", "e", `[["a"]]`, []string{"r", "7"}, []string{"S"}),
		`{"method":"emit","event":"e","data":null}`:                                      emitted("/", "e", `[]`, nil, nil),
		`{"method":"enter_room","sid":"S","room":"r"}`:                                   {Kind: redisemitter.KindJoin, Namespace: "/", Rooms: []string{"S"}, Change: []string{"r"}},
		`{"method":"leave_room","sid":"S","room":"r"}`:                                   {Kind: redisemitter.KindLeave, Namespace: "/", Rooms: []string{"S"}, Change: []string{"r"}},
	} {
		c, err := redisemitter.Decode(redisemitter.DefaultKey, redisemitter.PythonChannel, []byte(message))
		if err != nil {
			t.Errorf("%s: %v", message, err)
		} else if !reflect.DeepEqual(*c, want) {
			t.Errorf("%s: %+v (%s), want %+v", message, *c, c.Args, want)
		}
	}
}

// Anything but plain data of bounded size is refused.
func TestBadPythonMessages(t *testing.T) {
	many := strings.Repeat
	for name, payload := range map[string]string{
		"a call":              "\x80\x04cos\nsystem\n(S'id'\ntR.",
		"a call, new":         "\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.",
		"a class":             "\x80\x02c__builtin__\nset\n]\x85R.",
		"nothing":             "\x80\x04.",
		"cut off":             "\x80\x04}(\x8c",
		"a text that is long": "\x80\x04X\xff\xff\xff\xff.",
		"holds itself":        "\x80\x04}\x94(\x8c\x06method\x8c\x04emit\x8c\x05event\x8c\x01e\x8c\x04data]\x94h\x01au.",
		"doubles":             "\x80\x04}(\x8c\x06method\x8c\x04emit\x8c\x05event\x8c\x01e\x8c\x04data](]q\x00" + doubling(60) + "eu.",
		"many values":         "\x80\x04(" + many("N", 200_000) + "t.",
		"deep":                "\x80\x04}(\x8c\x06method\x8c\x04emit\x8c\x05event\x8c\x01e\x8c\x04data" + many("]", 2000) + many("a", 1999) + "u.",
		"a mark kept":         "\x80\x04(\x94h\x00.",
		"no object":           "[]",
		"no method":           `{"event":"e"}`,
		"whom":                `{"method":"disconnect"}`,
		"binary":              `{"method":"emit","event":"e","binary":true,"data":[]}`,
		"no list":             `{"method":"emit","event":"e","binary":false,"data":{}}`,
		"text":                "hello",
		"empty":               "",
	} {
		if c, err := redisemitter.Decode(redisemitter.DefaultKey, redisemitter.PythonChannel, []byte(payload)); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// doubling returns a pickle of lists. Each list contains the previous one twice.
func doubling(n byte) (text string) {
	for i := range n {
		text += "]q" + string([]byte{i + 1}) + "(h" + string([]byte{i}) + "h" + string([]byte{i}) + "e"
	}
	return text
}

func FuzzPython(f *testing.F) {
	for _, text := range pickles {
		payload, _ := hex.DecodeString(text)
		f.Add(payload)
	}
	f.Add([]byte(`{"method":"emit","event":"e","data":["a"],"room":["r",7],"skip_sid":"S"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := redisemitter.Decode(redisemitter.DefaultKey, redisemitter.PythonChannel, payload)
		switch {
		case err != nil:
			if c != nil {
				t.Errorf("a command with an error: %+v, %v", c, err)
			}
		case c.Kind == redisemitter.KindEmit:
			checkEmit(t, c)
		}
	})
}
