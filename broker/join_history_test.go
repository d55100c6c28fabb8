package broker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/room"
)

// remembering is a chat in which some rooms have history, kept by the engine.
func remembering(engine history.Engine) broker.Options {
	o := chat()
	o.Rooms.Announce = nil
	o.History = &broker.HistoryOptions{
		Rules: history.Rules{
			{Namespace: "/", Rooms: room.Pattern("chat:**"), Messages: 100, TTL: time.Hour},
			{Namespace: "/", Rooms: room.Pattern("short:*"), Messages: 3, TTL: time.Hour},
		},
		Engine: engine,
	}
	return o
}

// startRemembering returns a node with history and a client that may do anything there.
func startRemembering(t *testing.T) (*brokertest.Node, *brokertest.Client) {
	t.Helper()
	node := brokertest.Start(t, remembering(history.NewMemory(history.MemoryOptions{})))
	return node, node.JoinAs(readerToken(t, node, "ana"))
}

func readerToken(t *testing.T, node *brokertest.Node, user string) string {
	t.Helper()
	p := brokertest.Everything
	p.History = []string{"**"}
	return node.Token(user, p)
}

// joined is the answer to a join with history.
type joined struct {
	OK       bool
	Messages []struct {
		Offset uint64
		Event  string
		Args   json.RawMessage
	}
	Epoch    string
	Offset   uint64
	Complete bool
	Error    *struct{ Code, Message string }
}

// texts returns the messages in short.
func (j *joined) texts() string {
	var all []string
	for _, m := range j.Messages {
		all = append(all, fmt.Sprint(m.Offset, m.Event, string(m.Args)))
	}
	return strings.Join(all, " ")
}

func parseJoined(t *testing.T, answer string) (j joined) {
	t.Helper()
	var array []joined
	if err := json.Unmarshal([]byte(answer), &array); err != nil || len(array) != 1 {
		t.Fatalf("the answer to a join is %s: %v", answer, err)
	}
	return array[0]
}

func say(t *testing.T, node *brokertest.Node, text string, rooms ...string) broker.Report {
	t.Helper()
	m := broker.Message{Event: "said", Args: json.RawMessage(`["` + text + `"]`)}
	report, err := node.Emit(t.Context(), broker.Target{Rooms: rooms}, m)
	if err != nil {
		t.Fatalf("Emit: %v", err)
	}
	return report
}

func TestJoinWithHistory(t *testing.T) {
	node, ana := startRemembering(t)
	for i := range 5 {
		say(t, node, fmt.Sprint(i+1), "chat:1")
	}
	first := parseJoined(t, ana.Call("join", map[string]any{"room": "chat:1", "last": 2}))
	if got := first.texts(); !first.OK || got != `4said["4"] 5said["5"]` || first.Offset != 5 || first.Epoch == "" || !first.Complete {
		t.Errorf("last 2: %+v", first)
	}
	say(t, node, "6", "chat:1")
	ana.Expect("said", `["6"]`)

	for name, test := range map[string]struct {
		since    map[string]any
		want     string
		complete bool
	}{
		"a position":       {map[string]any{"epoch": first.Epoch, "offset": 4}, `5said["5"] 6said["6"]`, true},
		"the end":          {map[string]any{"epoch": first.Epoch, "offset": 6}, ``, true},
		"beyond the end":   {map[string]any{"epoch": first.Epoch, "offset": 7}, `1said["1"] 2said["2"] 3said["3"] 4said["4"] 5said["5"] 6said["6"]`, false},
		"an unknown epoch": {map[string]any{"epoch": "other", "offset": 5}, `1said["1"] 2said["2"] 3said["3"] 4said["4"] 5said["5"] 6said["6"]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := parseJoined(t, ana.Call("join", map[string]any{"room": "chat:1", "since": test.since}))
			if !got.OK || got.texts() != test.want || got.Complete != test.complete || got.Offset != 6 || got.Epoch != first.Epoch {
				t.Errorf("%+v", got)
			}
		})
	}

	none := parseJoined(t, ana.Call("join", map[string]any{"room": "chat:1", "last": 0}))
	if !none.OK || len(none.Messages) != 0 || none.Offset != 6 || !none.Complete {
		t.Errorf("last 0: %+v", none)
	}
	empty := parseJoined(t, ana.Call("join", map[string]any{"room": "chat:empty", "last": 9}))
	if !empty.OK || len(empty.Messages) != 0 || empty.Offset != 0 || empty.Epoch == "" {
		t.Errorf("an empty room: %+v", empty)
	}
	say(t, node, "first", "chat:empty")
	ana.Expect("said", `["first"]`)
	again := parseJoined(t, ana.Call("join", map[string]any{"room": "chat:empty", "since": map[string]any{"epoch": empty.Epoch, "offset": 0}}))
	if again.texts() != `1said["first"]` || !again.Complete {
		t.Errorf("since the beginning: %+v", again)
	}
	ana.ExpectNothing()
}

func TestJoinWithHistoryIsRefused(t *testing.T) {
	node, ana := startRemembering(t)
	denied := node.Join("luis")
	for name, test := range map[string]struct {
		client  *brokertest.Client
		request string
		code    string
	}{
		"a negative number":   {ana, `{"room":"chat:1","last":-1}`, "INVALID_ARGUMENT"},
		"a huge number":       {ana, `{"room":"chat:1","last":1e9}`, "INVALID_ARGUMENT"},
		"a number beyond all": {ana, `{"room":"chat:1","last":1e400}`, "INVALID_ARGUMENT"},
		"a fraction":          {ana, `{"room":"chat:1","last":1.5}`, "INVALID_ARGUMENT"},
		"a text":              {ana, `{"room":"chat:1","last":"5"}`, "INVALID_ARGUMENT"},
		"both":                {ana, `{"room":"chat:1","last":1,"since":{"epoch":"x","offset":1}}`, "INVALID_ARGUMENT"},
		"no epoch":            {ana, `{"room":"chat:1","since":{"offset":1}}`, "INVALID_ARGUMENT"},
		"no offset":           {ana, `{"room":"chat:1","since":{"epoch":"x"}}`, "INVALID_ARGUMENT"},
		"a negative offset":   {ana, `{"room":"chat:1","since":{"epoch":"x","offset":-3}}`, "INVALID_ARGUMENT"},
		"a position as text":  {ana, `{"room":"chat:1","since":"x:3"}`, "INVALID_ARGUMENT"},
		"a room without":      {ana, `{"room":"plain","last":1}`, "HISTORY_DISABLED"},
		"without permission":  {denied, `{"room":"chat:1","last":1}`, "HISTORY_DENIED"},
	} {
		t.Run(name, func(t *testing.T) {
			got := parseJoined(t, test.client.Call("join", json.RawMessage(test.request)))
			if got.OK || got.Error == nil || got.Error.Code != test.code {
				t.Errorf("%s was answered with %+v", test.request, got)
			}
		})
	}
	for _, name := range []string{"chat:1", "plain"} {
		if report := say(t, node, "x", name); report.Matched != 0 {
			t.Errorf("a join that was refused has entered %s", name)
		}
	}
}

func TestWhatIsRecorded(t *testing.T) {
	node, ana := startRemembering(t)
	if got := ana.Call("join", "chat:a"); got != ok {
		t.Fatalf("join: %s", got)
	}
	emit := func(text string, to broker.Target, change func(*broker.Message)) broker.Report {
		m := broker.Message{Event: "said", Args: json.RawMessage(`["` + text + `"]`)}
		if change != nil {
			change(&m)
		}
		report, err := node.Emit(t.Context(), to, m)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return report
	}
	a := broker.Target{Rooms: []string{"chat:a"}}
	recorded := emit("several", broker.Target{Rooms: []string{"chat:a", "plain", "chat:b", "chat:a"}}, nil)
	if len(recorded.Positions) != 2 || recorded.Positions[0].Room != "chat:a" || recorded.Positions[1].Room != "chat:b" ||
		recorded.Positions[0].Offset != 1 || recorded.Positions[0].Epoch == "" || recorded.Unrecorded != nil {
		t.Errorf("several rooms: %+v", recorded)
	}
	emit("except", broker.Target{Rooms: []string{"chat:a"}, ExceptUsers: []string{"ana"}}, nil)
	emit("unreported", a, func(m *broker.Message) { m.Unreported = true })
	for _, skipped := range []broker.Report{
		emit("skipped", a, func(m *broker.Message) { m.SkipHistory = true }),
		emit("volatile", a, func(m *broker.Message) { m.Volatile = true }),
		emit("user", broker.Target{Users: []string{"ana"}}, nil),
		emit("everyone", broker.Target{Everyone: true, Rooms: []string{"chat:a"}}, nil),
	} {
		if len(skipped.Positions)+len(skipped.Unrecorded) > 0 {
			t.Errorf("it is recorded: %+v", skipped)
		}
	}
	ana.Emit("my_event", map[string]string{"room": "chat:a"})
	ana.Expect("said", `["several"]`)
	ana.Expect("said", `["unreported"]`)
	ana.Expect("said", `["skipped"]`)
	ana.Expect("said", `["volatile"]`)
	ana.Expect("said", `["user"]`)
	ana.Expect("said", `["everyone"]`)
	ana.Expect("my_response", `[{"room":"chat:a"}]`)
	got := parseJoined(t, ana.Call("join", map[string]any{"room": "chat:a", "last": 100}))
	want := `1said["several"] 2said["except"] 3said["unreported"] 4my_response[{"room":"chat:a"}]`
	if got.texts() != want {
		t.Errorf("the history is %s, want %s", got.texts(), want)
	}
	ana.ExpectNothing()
}

// Attachments of several messages are part of one packet.
func TestJoinWithAttachments(t *testing.T) {
	node, ana := startRemembering(t)
	send := func(args string, attachments ...[]byte) {
		m := broker.Message{Event: "file", Args: json.RawMessage(args), Attachments: attachments}
		if _, err := node.Emit(t.Context(), broker.Target{Rooms: []string{"chat:1"}}, m); err != nil {
			t.Fatal(err)
		}
	}
	join := func(last int) (joined, [][]byte) {
		c := node.JoinAs(readerToken(t, node, "luis"))
		answer, attachments := c.CallWithAttachments("join", map[string]any{"room": "chat:1", "last": last})
		return parseJoined(t, answer), attachments
	}
	send(`[{"_placeholder":true,"num":0},"x"]`, []byte("one"))
	send(`["plain"]`)
	send(`[[{"num":1,"_placeholder":true}],{"_placeholder":true,"num":0}]`, []byte("two"), []byte("three"))
	got, attachments := join(10)
	want := `1file[{"_placeholder":true,"num":0},"x"] 2file["plain"] 3file[[{"num":2,"_placeholder":true}],{"_placeholder":true,"num":1}]`
	if got.texts() != want || fmt.Sprintf("%s", attachments) != "[one two three]" || !got.Complete {
		t.Errorf("%s with %s, want %s", got.texts(), attachments, want)
	}

	// What looks like a placeholder can't be in a packet that has some.
	send(`[{"_placeholder":true,"num":99}]`)
	if got, attachments := join(10); got.texts() != `4file[{"_placeholder":true,"num":99}]` || got.Complete || attachments != nil {
		t.Errorf("%+v with %s", got, attachments)
	}
	// More attachments than stock clients accept are left out.
	for range 4 {
		send(`[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]`, []byte("a"), []byte("b"), []byte("c"))
	}
	if got, attachments := join(10); len(got.Messages) != 3 || len(attachments) != 9 || got.Complete || got.Offset != 8 {
		t.Errorf("%+v with %s", got, attachments)
	}
	ana.ExpectNothing()
}

func TestMessages(t *testing.T) {
	node, _ := startRemembering(t)
	for i := range 5 {
		say(t, node, fmt.Sprint(i+1), "chat:1")
	}
	read := func(q broker.MessagesQuery) (string, broker.MessagesPage) {
		t.Helper()
		q.Room = "chat:1"
		page, err := node.Messages(t.Context(), q)
		if err != nil {
			t.Fatalf("Messages: %v", err)
		}
		var all []string
		for _, m := range page.Messages {
			all = append(all, fmt.Sprint(m.Offset, string(m.Args)))
			if m.Event != "said" || m.Time.IsZero() {
				t.Errorf("a message without name or time: %+v", m)
			}
		}
		return strings.Join(all, " "), page
	}
	_, all := read(broker.MessagesQuery{})
	at := func(offset uint64) *history.Position { return &history.Position{Epoch: all.Epoch, Offset: offset} }
	for name, test := range map[string]struct {
		q        broker.MessagesQuery
		want     string
		next     uint64
		complete bool
	}{
		"all":              {broker.MessagesQuery{}, `1["1"] 2["2"] 3["3"] 4["4"] 5["5"]`, 5, true},
		"the last":         {broker.MessagesQuery{Last: 2}, `4["4"] 5["5"]`, 5, true},
		"a page":           {broker.MessagesQuery{Limit: 2}, `1["1"] 2["2"]`, 2, true},
		"the next page":    {broker.MessagesQuery{Limit: 2, Since: at(2)}, `3["3"] 4["4"]`, 4, true},
		"the end":          {broker.MessagesQuery{Since: at(5)}, ``, 5, true},
		"backward":         {broker.MessagesQuery{Limit: 2, Backward: true}, `5["5"] 4["4"]`, 4, true},
		"backward on":      {broker.MessagesQuery{Limit: 2, Backward: true, Since: at(4)}, `3["3"] 2["2"]`, 2, true},
		"the beginning":    {broker.MessagesQuery{Backward: true, Since: at(1)}, ``, 1, true},
		"an unknown epoch": {broker.MessagesQuery{Since: &history.Position{Epoch: "x", Offset: 4}}, `1["1"] 2["2"] 3["3"] 4["4"] 5["5"]`, 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, page := read(test.q)
			if got != test.want || page.Offset != test.next || page.Complete != test.complete || page.Epoch != all.Epoch {
				t.Errorf("%s, next %+v, complete %v", got, page.Position, page.Complete)
			}
		})
	}
	if _, err := node.Messages(t.Context(), broker.MessagesQuery{Room: "plain"}); !isReason(err, broker.ReasonHistoryDisabled) {
		t.Errorf("a room without history: %v", err)
	}
	if err := node.ClearMessages(t.Context(), "", "plain"); !isReason(err, broker.ReasonHistoryDisabled) {
		t.Errorf("a room without history: %v", err)
	}
	if err := node.ClearMessages(t.Context(), "/", "chat:1"); err != nil {
		t.Errorf("ClearMessages: %v", err)
	}
	if got, page := read(broker.MessagesQuery{Since: at(5)}); got != "" || page.Complete || page.Epoch == all.Epoch {
		t.Errorf("after it was cleared: %s %+v", got, page)
	}
}

func isReason(err error, reason string) bool {
	var e *broker.Error
	return errors.As(err, &e) && e.Reason == reason
}
