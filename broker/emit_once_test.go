package broker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// keyedMessage returns a message with a key and a number.
func keyedMessage(key string, n int) broker.Message {
	args, _ := json.Marshal([]int{n})
	return broker.Message{Event: "hi", Args: args, IdempotencyKey: key}
}

// withKeys are the options of a broker that takes keys.
func withKeys() broker.Options {
	o := chat()
	o.IdempotencyWindow = time.Minute
	return o
}

var toKitchen = broker.Target{Rooms: []string{"cocina"}}

// TestKeyOnOneNode: a key is carried out once, and the first report comes back.
func TestKeyOnOneNode(t *testing.T) {
	node := brokertest.Start(t, withKeys())
	c := node.Join("ana")
	emit := func(target broker.Target, m broker.Message) broker.Report {
		t.Helper()
		report, err := node.Emit(t.Context(), target, m)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	to := broker.Target{Users: []string{"ana"}}
	first := emit(to, keyedMessage("a", 1))
	if first.Matched != 1 || first.Queued != 1 || first.Duplicate {
		t.Errorf("the first report is %+v", first)
	}
	node.Join("ana") // the first report stays as it was
	again := emit(to, keyedMessage("a", 1))
	if again.Matched != 1 || again.Queued != 1 || !again.Duplicate {
		t.Errorf("the report on a repeat is %+v", again)
	}
	if other := emit(to, keyedMessage("b", 1)); other.Duplicate || other.Matched != 2 {
		t.Errorf("the report on another key is %+v", other)
	}
	c.Expect("hi", "[1]")
	c.Expect("hi", "[1]")
	c.ExpectNothing()
	for name, call := range map[string]struct {
		target broker.Target
		m      broker.Message
	}{
		"another argument": {to, keyedMessage("a", 2)},
		"another target":   {everyoneIn, keyedMessage("a", 1)},
	} {
		_, err := node.Emit(t.Context(), call.target, call.m)
		t.Run(name, func(t *testing.T) { wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonKeyMismatch) })
	}
	c.ExpectNothing()
}

// TestBadKeys: nothing is sent with a key that is malformed, or if there are no keys.
func TestBadKeys(t *testing.T) {
	node := brokertest.Start(t, withKeys())
	c := node.Join("ana")
	for name, key := range map[string]string{"too long": strings.Repeat("k", 256), "control character": "a\nb", "not UTF-8": "\xff"} {
		_, err := node.Emit(t.Context(), everyoneIn, keyedMessage(key, 1))
		t.Run(name, func(t *testing.T) { wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument) })
	}
	if _, err := node.Emit(t.Context(), everyoneIn, keyedMessage(strings.Repeat("k", 255), 1)); err != nil {
		t.Error(err)
	}
	c.Expect("hi", "[1]")
	c.ExpectNothing()
	off := brokertest.Start(t, chat())
	_, err := off.Emit(t.Context(), everyoneIn, keyedMessage("a", 1))
	wantReason(t, err, broker.CodeFailedPrecondition, broker.ReasonKeysDisabled)
}

// TestKeyInACluster: a key that one node has carried out is a repeat at another.
func TestKeyInACluster(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 3, withKeys())
	var clients []*brokertest.Client
	for _, node := range nodes {
		c := node.Join("ana")
		clients = append(clients, c)
	}
	for name, target := range map[string]broker.Target{
		"everyone": everyoneIn, "sockets": {Sockets: []string{clients[0].ID, clients[1].ID, clients[2].ID}}, "user": {Users: []string{"ana"}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, node := range nodes {
				report, err := node.Emit(t.Context(), target, keyedMessage(name, 1))
				if err != nil || report.Matched != 3 || report.Queued != 3 || report.Partial || report.Duplicate != (i > 0) {
					t.Errorf("node %d: %+v, %v", i, report, err)
				}
			}
			for _, c := range clients {
				c.Expect("hi", "[1]")
				c.ExpectNothing()
			}
		})
	}
}
