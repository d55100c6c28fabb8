package broker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
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

// TestKeyWithoutTheBus: a key that can't be claimed isn't carried out, not even for the clients of the
// node that is called. Messages without a key are.
func TestKeyWithoutTheBus(t *testing.T) {
	nodes, exchange := brokertest.StartCluster(t, 2, withKeys())
	c := nodes[0].Join("ana")
	exchange.SetDown(true)
	_, err := nodes[0].Emit(t.Context(), everyoneIn, keyedMessage("a", 1))
	wantReason(t, err, broker.CodeUnavailable, broker.ReasonKeyNotClaimed)
	if report, err := nodes[0].Emit(t.Context(), everyoneIn, broker.Message{Event: "plain", Args: json.RawMessage(`[]`)}); err != nil || report.Queued != 1 {
		t.Errorf("without a key: %+v, %v", report, err)
	}
	c.Expect("plain", "[]")
	exchange.SetDown(false)
	eventually(t, "the key is carried out", func() bool {
		report, err := nodes[0].Emit(t.Context(), everyoneIn, keyedMessage("a", 1))
		return err == nil && !report.Partial
	})
	c.Expect("hi", "[1]")
	c.ExpectNothing()
}

// TestKeyCompletesAPartialResult: a repeat reaches the node that the first call didn't reach, and only
// that.
func TestKeyCompletesAPartialResult(t *testing.T) {
	x := clustertest.NewExchange()
	buses := []cluster.Bus{x.Bus(), x.Bus(), x.Bus()}
	nodes := startNodes(t, 3, broker.Options{IdempotencyWindow: time.Minute}, func(i int) cluster.Bus { return buses[i] })
	var clients []*brokertest.Client
	for i, node := range nodes {
		clients = append(clients, join(t, node, fmt.Sprint("user", i)))
	}
	eventually(t, "all are there", func() bool {
		report, err := nodes[0].Emit(t.Context(), everyoneInLobby, broker.Message{Event: "before"})
		return err == nil && report.Queued == 3 && !report.Partial
	})
	x.SetFault(buses[2], clustertest.Severed)
	m := keyedMessage("a", 1)
	first, err := nodes[0].Emit(t.Context(), everyoneInLobby, m)
	if err != nil || !first.Partial || first.Queued != 2 || first.Duplicate {
		t.Errorf("the first report is %+v, %v", first, err)
	}
	x.SetFault(buses[2], clustertest.Healthy)
	eventually(t, "the result is complete", func() bool {
		report, err := nodes[1].Emit(t.Context(), everyoneInLobby, m)
		return err == nil && report.Duplicate && !report.Partial && report.Queued == 3
	})
	for i, c := range clients {
		times := 0
		for _, e := range c.Take() {
			if e.Name == m.Event {
				times++
			}
		}
		if times != 1 {
			t.Errorf("client %d got it %d times", i, times)
		}
	}
}

// TestKeysAtOnce: of many calls at once, at all nodes, one sends the message, and all get its report.
func TestKeysAtOnce(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 3, withKeys())
	c := nodes[2].Join("ana")
	var all sync.WaitGroup
	firsts := make(chan bool, 30)
	for i := range cap(firsts) {
		all.Go(func() {
			report, err := nodes[i%3].Emit(t.Context(), everyoneIn, keyedMessage("a", 1))
			if err != nil || report.Matched != 1 || report.Queued != 1 || report.Partial {
				t.Errorf("%+v, %v", report, err)
			}
			if !report.Duplicate {
				firsts <- true
			}
		})
	}
	all.Wait()
	if len(firsts) != 1 {
		t.Errorf("%d calls say that they were the first", len(firsts))
	}
	c.Expect("hi", "[1]")
	c.ExpectNothing()
}
