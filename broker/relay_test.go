package broker_test

import (
	"encoding/json"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

func withRules(rules ...broker.RelayRule) broker.Options { return broker.Options{Relay: rules} }

// The rule says whether the sender gets its own event.
func TestIncludeSender(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		to      broker.RelayScope
		include *bool
		heard   bool
	}{
		"room":              {broker.RelayToRoom, nil, true},
		"room with":         {broker.RelayToRoom, &yes, true},
		"room without":      {broker.RelayToRoom, &no, false},
		"broadcast":         {broker.RelayToBroadcast, nil, false},
		"broadcast with":    {broker.RelayToBroadcast, &yes, true},
		"broadcast without": {broker.RelayToBroadcast, &no, false},
	} {
		t.Run(name, func(t *testing.T) {
			node := brokertest.Start(t, withRules(broker.RelayRule{Event: "say", Emit: "said", To: test.to, IncludeSender: test.include}))
			inRoom := broker.Permissions{Rooms: []string{"a"}, Publish: []string{"a"}, Broadcast: true}
			ana, luis := node.JoinAs(node.Token("ana", inRoom)), node.JoinAs(node.Token("luis", inRoom))
			if got := ana.Call("say", map[string]string{"room": "a"}); got != ok {
				t.Errorf("the ack is %s", got)
			}
			luis.Expect("said", `[{"room":"a"}]`)
			if test.heard {
				ana.Expect("said", `[{"room":"a"}]`)
			}
			ana.ExpectNothing()
		})
	}
}

// A rule can answer with an ack of its own, and with an event to the sender alone,
// which needs no permission.
func TestRulesThatAnswer(t *testing.T) {
	node := brokertest.Start(t, withRules(
		broker.RelayRule{Event: "my_event", Emit: "my_response", To: broker.RelayToSender, Args: json.RawMessage(`[{"data":"Mensaje recibido"}]`)},
		broker.RelayRule{Event: "echo", To: broker.RelayToSender},
		broker.RelayRule{Event: "hello", To: broker.RelayToSender, Args: json.RawMessage(`["hola {user}, {room}"]`), Ack: json.RawMessage(`{"for":"{user}","n":1}`)},
		broker.RelayRule{Event: "knock", To: broker.RelayToRoom, Args: json.RawMessage(`["{user}",{"in":["{room}"]}]`), Ack: json.RawMessage(`["{room}"]`)},
		broker.RelayRule{Event: "nothing", To: broker.RelayToSender, Args: json.RawMessage(`[]`), Ack: json.RawMessage(`null`)},
	))
	ana := node.JoinAs(node.Token(`ana "q" \ {room}`, broker.Permissions{Rooms: []string{"a"}, Publish: []string{"a"}}))
	luis := node.JoinAs(node.Token("luis", broker.Permissions{Rooms: []string{"a"}}))

	if got := ana.Call("my_event", map[string]string{"data": "Hola desde el cliente"}); got != ok {
		t.Errorf("the ack of my_event is %s", got)
	}
	ana.Expect("my_response", `[{"data":"Mensaje recibido"}]`)
	ana.Send(`42["echo", 1.0, {"b":1,"a":2}]`)
	ana.Expect("echo", `[1.0,{"b":1,"a":2}]`)
	if got := ana.Call("hello"); got != `[{"for":"ana \"q\" \\ {room}","n":1}]` {
		t.Errorf("the ack of hello is %s", got)
	}
	ana.Expect("hello", `["hola ana \"q\" \\ {room}, {room}"]`)
	if got := ana.Call("knock", map[string]string{"room": "a"}); got != `[["a"]]` {
		t.Errorf("the ack of knock is %s", got)
	}
	for _, c := range []*brokertest.Client{ana, luis} {
		c.Expect("knock", `["ana \"q\" \\ {room}",{"in":["a"]}]`)
	}
	if got := ana.Call("nothing", "x"); got != `[null]` {
		t.Errorf("the ack of nothing is %s", got)
	}
	ana.Expect("nothing", `[]`)
	luis.ExpectNothing()

	// A refused event gets its error as the ack, and reaches nobody.
	if got := luis.Call("knock", map[string]string{"room": "a"}); got != `[{"error":{"code":"PUBLISH_DENIED","message":"the token doesn't allow sending to the room \"a\""}}]` {
		t.Errorf("the ack of a refused event is %s", got)
	}
	ana.ExpectNothing()
}
