package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// TestCommands runs the commands, in this order, with two clients connected.
func TestCommands(t *testing.T) {
	n := plain(t)
	ana, ben := n.connect(t, "ana", "lobby", "chat:1"), n.connect(t, "ben", "lobby")

	for _, tt := range []struct {
		args  []string
		out   []string // what standard output holds
		err   []string // what standard error holds
		heard string   // what ana gets
		code  int
	}{
		{args: []string{"rooms"}, out: []string{"NAMESPACE  ROOM    SOCKETS\n", "/          chat:1  1\n", "/          lobby   2\n"}},
		{args: []string{"rooms", "list", "--prefix", "chat:"}, out: []string{"chat:1"}},
		{args: []string{"groups"}, err: []string{"no backend is subscribed to events"}},
		{args: []string{"limits"}, err: []string{"nobody has hit a limit lately"}},
		{args: []string{"rooms", "--order", "sockets"}, out: []string{"SOCKETS\n/          lobby   2\n/          chat:1  1\n"}},
		{args: []string{"rooms", "--query", "HAT"}, out: []string{"SOCKETS\n/          chat:1  1\n"}},
		{args: []string{"sockets", "--query", "be"}, out: []string{ben.id}},
		{args: []string{"users", "--query", "a"}, out: []string{"DATA\nana   1"}},
		{args: []string{"rooms", "--prefix", "none"}, err: []string{"there are no rooms"}},
		{args: []string{"rooms", "get", "lobby"}, out: []string{"NAMESPACE  ROOM   SOCKETS  USERS\n", "/          lobby  2        2\n"}},
		{args: []string{"rooms", "get", "none"}, code: 1, err: []string{`sala: error: nobody is in the room "none"`}},

		{args: []string{"emit", "news", "1.10", `{"b":1,"a":[]}`, "two words", "true", `"quoted"`, "--room", "lobby"},
			out: []string{"2 sockets matched, 2 queued, 0 dropped\n"}, heard: `42["news",1.10,{"b":1,"a":[]},"two words",true,"quoted"]`},
		{args: []string{"emit", "news", "--args", `[12345678901234567890]`, "--user", "ana"},
			out: []string{"1 socket matched, 1 queued, 0 dropped\n"}, heard: `42["news",12345678901234567890]`},
		{args: []string{"emit", "news", "--socket=" + ana.id, "--volatile"}, out: []string{"1 socket matched"}, heard: `42["news"]`},
		{args: []string{"emit", "--room", "lobby", "--", "news", "-5"}, out: []string{"2 sockets"}, heard: `42["news",-5]`},
		{args: []string{"emit", "news", "x", "--room", "lobby", "--except-room", "chat:1"}, out: []string{"1 socket matched"}},
		{args: []string{"emit", "news", "x", "--room", "lobby", "--except-socket=" + ben.id}, out: []string{"1 socket matched"}, heard: `42["news","x"]`},
		{args: []string{"emit", "news", "y", "--room", "lobby", "--except-user", "ben"}, out: []string{"1 socket matched"}, heard: `42["news","y"]`},
		{args: []string{"broadcast", "all", "--except-user", "ana", "--except-user", "ben"}, out: []string{"0 sockets matched"}},
		{args: []string{"emit", "news", "--room", "empty", "--room", "a, b"}, out: []string{"0 sockets matched, 0 queued, 0 dropped\n"}},
		{args: []string{"emit", "news"}, code: 2, err: []string{"at least one of --room, --user and --socket", "sala broadcast"}},
		{args: []string{"emit", "connect", "--room", "", "--room", "x"}, code: 1,
			err: []string{"sala: error: the broker refused the request:\n  rooms[0]: ", "\n  event: \"connect\" is reserved by Socket.IO"}},
		{args: []string{"emit", "news", "x", "--args", "[]", "--room", "lobby"}, code: 2, err: []string{"not both"}},
		{args: []string{"emit", "news", "--args", "{}", "--room", "lobby"}, code: 2, err: []string{"--args must be a JSON array"}},
		{args: []string{"emit", "news", "--args", "null", "--room", "lobby"}, code: 2, err: []string{"--args must be a JSON array"}},
		{args: []string{"emit", "news", "--room", "lobby", "--namespace", "/none"}, code: 1, err: []string{"/none"}},

		{args: []string{"broadcast", "all", "hi"}, out: []string{"2 sockets matched, 2 queued"}, heard: `42["all","hi"]`},
		{args: []string{"broadcast", "all", "hi", "--except-room", "lobby"}, out: []string{"0 sockets matched"}},

		{args: []string{"sockets"}, out: []string{"ID ", "USER ", " NODE ", ana.id, ben.id, "ana", "ben", "chat:1 lobby", "websocket", "127.0.0.1:"}},
		{args: []string{"sockets", "list", "--user", "ben"}, out: []string{ben.id}},
		{args: []string{"sockets", "--room", "none"}, err: []string{"no connected socket matches"}},
		{args: []string{"sockets", "get", "--", ana.id}, out: []string{"USER       ana\n", "ROOMS      chat:1 lobby\n", "TRANSPORT  websocket\n", "STATE      connected\n", "NODE       " + ana.id[:10]}},
		{args: []string{"sockets", "get", "none"}, code: 1, err: []string{"none"}},
		{args: []string{"sockets", "join", "vip", "backstage", "--room", "lobby", "--except-socket=" + ben.id}, out: []string{"1 socket matched, 0 refused\n"}},
		{args: []string{"rooms", "get", "vip"}, out: []string{"vip   1        1"}},
		{args: []string{"sockets", "leave", "vip", "--user", "ana"}, out: []string{"1 socket matched\n"}},
		{args: []string{"rooms", "get", "vip"}, code: 1},
		{args: []string{"sockets", "update", `{"plan":"pro"}`, "--user", "ana"}, out: []string{"1 socket updated\n"}},
		{args: []string{"sockets", "get", "--", ana.id}, out: []string{"DATA       {\"plan\":\"pro\"}\n"}},
		{args: []string{"sockets", "update", `{`, "--user", "ana"}, code: 2, err: []string{"the data is not valid JSON"}},
		{args: []string{"sockets", "update", `1`}, code: 2, err: []string{"at least one of --room"}},
		{args: []string{"sockets", "join", "vip"}, code: 2, err: []string{"at least one of --room"}},
		{args: []string{"sockets", "leave", "vip"}, code: 2, err: []string{"at least one of --room"}},
		{args: []string{"sockets", "disconnect"}, code: 2, err: []string{"at least one of --room"}},
		{args: []string{"sockets", "join", "--user", "ana"}, code: 2, err: []string{"<room>"}},

		{args: []string{"rooms", "clear", "lobby", "--args", "[1]"}, code: 2, err: []string{"--args needs --notice"}},
		{args: []string{"rooms", "clear", "lobby", "--notice", "bye", "--args", "1"}, code: 2, err: []string{"--args must be a JSON array"}},
		{args: []string{"rooms", "clear", "lobby", "--notice", "bye", "--args", `["gone",{"n":1}]`}, out: []string{"2 sockets removed\n"}, heard: `42["bye","gone",{"n":1}]`},
		{args: []string{"rooms", "clear", "lobby"}, out: []string{"0 sockets removed\n"}},
		{args: []string{"sockets", "disconnect", "--user", "ana", "--reason", "enough"}, out: []string{"1 socket disconnected\n"}, heard: `42["sala:disconnect"`},

		{args: []string{"emit", "q", "--room", "none", "--ack"}, code: 1, out: []string{"0 sockets asked: 0 answered"}, err: []string{"no client answered"}},
		{args: []string{"emit", "q", "--room", "lobby", "--min-acks", "1"}, code: 2, err: []string{"--min-acks needs --ack"}},
		{args: []string{"emit", "q", "--room", "lobby", "--ack", "--volatile"}, code: 2, err: []string{"be combined"}},
		{args: []string{"emit", "q", "--room", "lobby", "--ack", "--timeout", "61s"}, code: 1, err: []string{"timeout: 1m1s is not between"}},
		{args: []string{"token", "revoke"}, code: 2, err: []string{"the id of a token, or --user"}},
		{args: []string{"token", "revoke", "x", "--user", "u"}, code: 2, err: []string{"the id of a token, or --user"}},
		{args: []string{"token", "revoke", "x", "--issued-before", "2030-01-02T03:04:05Z"}, code: 2, err: []string{"--issued-before needs --user"}},
		{args: []string{"token", "revoke", "x"}, out: []string{"revoked, 0 sockets disconnected\n"}},
		{args: []string{"token", "revoke", "--user", "ben", "--issued-before", "2020-01-02T03:04:05Z"}, out: []string{"revoked, 0 sockets disconnected\n"}},
		{args: []string{"token", "revoke", "--user", "ben"}, out: []string{"revoked, 1 socket disconnected\n"}},
		{args: []string{"nodes", "drain", "none"}, code: 1, err: []string{`there is no node "none"`}},
		{args: []string{"nodes"}, out: []string{"ID ", "VERSION", "STATE", "active", "UPTIME"}},
		{args: []string{"token", "ana", "--ttl", "-5s"}, code: 2},
		{args: []string{"token", "ana", "--ttl=-5s"}, code: 1, err: []string{"ttl: "}},
		{args: []string{"token", "ana", "--data", "{"}, code: 2, err: []string{"--data is not valid JSON"}},
		{args: []string{"messages", "lobby"}, code: 1, err: []string{`the room "lobby" of the namespace "/" has no history`}},
		{args: []string{"messages", "clear", "lobby"}, code: 1, err: []string{"has no history"}},
		{args: []string{"messages", "lobby", "--last", "-1"}, code: 2},
		{args: []string{"messages", "lobby", "--last=1001"}, code: 1, err: []string{"last: 1001 is not between 1 and 1000"}},
		{args: []string{"messages", "lobby", "--last", "1", "--all"}, code: 2, err: []string{"only one of --last, --since and --all"}},
		{args: []string{"messages", "lobby", "--since", "7"}, code: 2, err: []string{"--since 7 is not a position"}},
		{args: []string{"emit", "e", "--room", "lobby", "--ack", "--skip-history"}, code: 2, err: []string{"--ack can't be combined with"}},
		{args: []string{"token"}, code: 2, err: []string{`expected "<user>"`}},
		{args: []string{"token", "verify", "nonsense"}, code: 1, err: []string{"the token is refused: TOKEN_INVALID: "}},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			code, out, stderr := n.call(t, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			check(t, "standard output", out, tt.out)
			check(t, "standard error", stderr, tt.err)
			if tt.heard != "" {
				ana.read(tt.heard)
			}
		})
	}
}

// check wants all of the parts, or nothing if there are none.
func check(t *testing.T, what, got string, parts []string) {
	t.Helper()
	if len(parts) == 0 && got != "" && what == "standard output" {
		t.Errorf("%s has %q, want nothing", what, got)
	}
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%s has\n%s\nwhich lacks\n%s", what, got, part)
		}
	}
}

func TestTokens(t *testing.T) {
	n := plain(t)
	code, token, stderr := n.call(t, "token", "ana", "--ttl", "5m", "--room", "a,b", "--join", "chat:*", "--join", "**", "--publish", "x", "--history", "h:*", "--presence", "p", "--broadcast", "--data", `{"plan":"pro"}`)
	if code != 0 || strings.Count(token, ".") != 2 || strings.Count(token, "\n") != 1 {
		t.Fatalf("exit code %d, output %q, %s", code, token, stderr)
	}
	for name, input := range map[string][2]string{"argument": {strings.TrimSpace(token), ""}, "standard input": {"-", token}} {
		code, out, stderr := salaWithInput(t, input[1], "token", "verify", input[0], "--server", n.grpc, "--api-key", testKey)
		if code != 0 {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
		}
		check(t, "standard output", out, []string{"USER           ana\n", "ROOMS          a,b\n", "MAY JOIN       chat:* **\n", "MAY PUBLISH    x\n", "HISTORY OF     h:*\n", "PRESENCE IN    p\n", "MAY BROADCAST  yes\n", `{"plan":"pro"}`})
	}
	if _, out, _ := n.call(t, "token", "issue", "verify"); strings.Count(out, ".") != 2 {
		t.Error("a user can't be called verify")
	}
	code, out, _ := n.call(t, "token", "verify", "nonsense", "-o", "json")
	var answer struct {
		Valid  bool
		Reason string
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 1 || answer.Valid || answer.Reason != "TOKEN_INVALID" {
		t.Errorf("exit code %d, %s (%v)", code, out, err)
	}
}

// TestJSON holds what scripts read.
func TestJSON(t *testing.T) {
	n := plain(t)
	ana := n.connect(t, "ana", "lobby")
	const whole = ",\n  \"partial\": false,\n  \"missingNodes\": []\n}\n"
	for command, want := range map[string]string{
		"rooms --prefix lobby JSON":        "{\n  \"rooms\": [\n    {\n      \"name\": \"lobby\",\n      \"namespace\": \"/\",\n      \"sockets\": 1\n    }\n  ],\n  \"nextPageToken\": \"\"" + strings.TrimSuffix(whole, "\n}\n") + ",\n  \"truncated\": false,\n  \"time\": null\n}\n",
		"rooms --prefix none JSON":         "{\n  \"rooms\": [],\n  \"nextPageToken\": \"\"" + strings.TrimSuffix(whole, "\n}\n") + ",\n  \"truncated\": false,\n  \"time\": null\n}\n",
		"rooms get lobby JSON":             "{\n  \"name\": \"lobby\",\n  \"namespace\": \"/\",\n  \"sockets\": 1,\n  \"users\": 1" + whole,
		"emit e --room lobby JSON":         "{\n  \"matched\": 1,\n  \"queued\": 1,\n  \"kept\": 0,\n  \"dropped\": 0" + strings.TrimSuffix(whole, "\n}\n") + ",\n  \"positions\": [],\n  \"unrecordedRooms\": [],\n  \"duplicate\": false\n}\n",
		"broadcast e --volatile JSON":      "{\n  \"matched\": 1,\n",
		"sockets JSON":                     fmt.Sprintf("{\n  \"sockets\": [\n    {\n      \"id\": %q,\n", ana.id),
		"sockets get JSON -- " + ana.id:    fmt.Sprintf("{\n  \"socket\": {\n    \"id\": %q,\n", ana.id),
		"sockets join x --user ana JSON":   "{\n  \"matched\": 1,\n  \"refused\": 0" + whole,
		"sockets leave x --user ana JSON":  "{\n  \"matched\": 1" + whole,
		"sockets disconnect --user x JSON": "{\n  \"matched\": 0" + whole,
		"sockets update 1 --user x JSON":   "{\n  \"matched\": 0" + whole,
		"token revoke none JSON":           "{\n  \"disconnected\": 0" + strings.TrimSuffix(whole, "\n}\n") + ",\n  \"notStored\": false\n}\n",
		"rooms clear none JSON":            "{\n  \"removed\": 0" + whole,
		"nodes JSON":                       "{\n  \"nodes\": [\n    {\n      \"id\": \"",
		"token ana JSON":                   "{\n  \"token\": \"",
	} {
		code, out, stderr := n.call(t, strings.Fields(strings.Replace(command, "JSON", "-o json", 1))...)
		if code != 0 || !strings.HasPrefix(out, want) || stderr != "" {
			t.Errorf("%s: exit code %d, printed\n%s\nwant\n%s\n%s", command, code, out, want, stderr)
		}
		if !json.Valid([]byte(out)) {
			t.Errorf("%s printed no JSON", command)
		}
	}
}

// TestManyRooms makes a listing of more than one page.
func TestManyRooms(t *testing.T) {
	n := plain(t)
	n.connect(t, "ana")
	n.connect(t, "ben")
	want := 0
	for i, user := range []string{"ana", "ben"} {
		for batch := range 7 {
			args := []string{"sockets", "join", "--user", user}
			for room := range 90 {
				args = append(args, fmt.Sprintf("r%d-%d-%d", i, batch, room))
				want++
			}
			if code, _, stderr := n.call(t, args...); code != 0 {
				t.Fatal(stderr)
			}
		}
	}
	_, out, stderr := n.call(t, "rooms")
	if got := strings.Count(out, "\n") - 1; got != want {
		t.Errorf("%d of %d rooms are listed %s", got, want, stderr)
	}
}

func TestErrorsInWords(t *testing.T) {
	n := plain(t, "--api-key", "reader=reads-only:rooms:read")
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		want []string
		code int
	}{
		{name: "no key", args: []string{"--server", n.grpc}, want: []string{"set SALA_API_KEY or --api-key"}, code: 1},
		{name: "wrong key", args: []string{"--server", n.grpc, "--api-key", "hidden"}, want: []string{n.grpc + " doesn't know this API key", "SALA_API_KEY"}, code: 1},
		{name: "no broker", args: []string{"--server", "127.0.0.1:1"}, want: []string{"can't reach a broker at 127.0.0.1:1", "--server or SALA_SERVER"}, code: 1},
		{name: "no host", args: []string{"--server", "sala.invalid:9090"}, want: []string{"can't reach a broker at sala.invalid:9090"}, code: 1},
		{name: "REST address", args: []string{"--server", n.http}, want: []string{"not with gRPC", "set --server to its gRPC address"}, code: 1},
		{name: "URL", args: []string{"--server", "http://" + n.http}, want: []string{"is a URL", "host:port"}, code: 2},
		{name: "no port", args: []string{"--server", "localhost"}, want: []string{`"localhost" is not host:port`}, code: 2},
		{name: "TLS where there is none", args: []string{"--server", n.grpc, "--tls"}, want: []string{"doesn't use TLS: leave out the --tls"}, code: 1},
		{name: "no authority", args: []string{"--tls-ca", "/nonexistent"}, want: []string{"can't read the file of --tls-ca"}, code: 2},
		{name: "no time", args: []string{"--timeout", "0s"}, want: []string{"--timeout must be above zero"}, code: 2},
		{name: "format", args: []string{"-o", "xml"}, want: []string{"--output must be one of"}, code: 2},
		{name: "key by environment", env: map[string]string{"SALA_SERVER": n.grpc, "SALA_API_KEY": testKey}},
		{name: "the broker's own setting", env: map[string]string{"SALA_SERVER": n.grpc, "SALA_API_KEY": " reader=reads-only:rooms:read test=" + testKey}},
		{name: "flag over environment", env: map[string]string{"SALA_SERVER": "127.0.0.1:1", "SALA_API_KEY": "x"}, args: []string{"--server", n.grpc, "--api-key", testKey}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			code, _, stderr := sala(t, append([]string{"rooms"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, stderr)
			}
			check(t, "standard error", stderr, tt.want)
			if strings.Contains(stderr, "hidden") || strings.Contains(stderr, testKey) {
				t.Errorf("a key is shown: %s", stderr)
			}
		})
	}
	code, _, stderr := sala(t, "broadcast", "x", "--server", n.grpc, "--api-key", "reads-only")
	if code != 1 || !strings.Contains(stderr, `lacks the scope "broadcast"`) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestAcks asks two clients, of which one answers before the other is asked to
// hurry, and one that says nothing.
func TestAcks(t *testing.T) {
	n := plain(t)
	ana, ben := n.connect(t, "ana", "lobby"), n.connect(t, "ben", "lobby")
	answer := func(c *client, args string) {
		id := strings.TrimPrefix(c.read("42"), "42")
		id = id[:strings.IndexByte(id, '[')]
		if err := c.ws.WriteMessage(websocket.TextMessage, []byte("43"+id+args)); err != nil {
			t.Error(err)
		}
	}
	go func() {
		answer(ana, `[1.50,{"b":1,"a":2}]`)
		answer(ben, `[]`)
	}()
	code, out, stderr := n.call(t, "emit", "q", "--room", "lobby", "--ack")
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	check(t, "standard output", out, []string{
		"LATENCY    USER", ana.id + "  [1.50,{\"b\":1,\"a\":2}]\n", ben.id, "  []\n",
		"2 sockets asked: 2 answered, 0 timed out, 0 disconnected, 0 dropped\n",
	})

	go answer(ana, `["only me"]`)
	code, out, stderr = n.call(t, "emit", "q", "--room", "lobby", "--ack", "--min-acks", "2", "--timeout", "500ms", "-o", "json")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if code != 1 || !strings.Contains(stderr, "only 1 answered, but --min-acks is 2") || len(lines) != 2 {
		t.Fatalf("exit code %d: %s %s", code, out, stderr)
	}
	check(t, "the first line", lines[0], []string{`{"ack":{"socket":"` + ana.id + `","user":"ana","args":["only me"],"argsJson":""`})
	check(t, "the last line", lines[1], []string{`{"summary":{"expected":2,"answered":1,"timedOut":1,"disconnected":0,"dropped":0,"partial":false`})
}

func TestDrainCommand(t *testing.T) {
	n := plain(t, "--drain-spread", "0s")
	ana := n.connect(t, "ana")
	_, out, _ := n.call(t, "nodes", "-o", "json")
	var list struct{ Nodes []struct{ ID string } }
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Nodes) != 1 {
		t.Fatal(out, err)
	}
	code, out, stderr := n.call(t, "nodes", "drain", list.Nodes[0].ID)
	if code != 0 || !strings.HasPrefix(out, list.Nodes[0].ID+" is draining, ") {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
	ana.read(`42["sala:disconnect",{"code":"DRAINING"`)
	if status, body := get(t, "http://"+n.http+"/readyz", ""); status != 503 {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if code, _, stderr := n.call(t, "nodes"); code != 0 {
		t.Errorf("the control API has gone: %s", stderr)
	}
}
