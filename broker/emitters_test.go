package broker_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// studio lets a test publish to every node like an emitter.
type studio struct{ listening chan cluster.Receiver }

// Listen implements [broker.EmitterListener].
func (s studio) Listen(ctx context.Context, _ []string, r cluster.Receiver) {
	r.StateChanged(cluster.Connected)
	s.listening <- r
	<-ctx.Done()
}

// recorded are messages of the official emitter, by what they contain.
func recorded(t *testing.T) func(channel string, words ...string) cluster.Message {
	t.Helper()
	text, err := os.ReadFile("cluster/redisemitter/testdata/fixtures.txt")
	if err != nil {
		t.Fatal(err)
	}
	return func(channel string, words ...string) cluster.Message {
		t.Helper()
		for line := range strings.Lines(string(text)) {
			name, payload, _ := strings.Cut(strings.TrimSpace(line), " ")
			name, _ = url.QueryUnescape(name)
			raw, err := base64.StdEncoding.DecodeString(payload)
			if err != nil {
				t.Fatal(err)
			}
			if name == channel && containsAll(string(raw), words) {
				return cluster.Message{Channel: name, Payload: raw}
			}
		}
		t.Fatalf("nothing of %q is recorded on %s", words, channel)
		return cluster.Message{}
	}
}

func containsAll(s string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(s, word) {
			return false
		}
	}
	return true
}

// TestEmittersOnTwoNodes: two nodes receive the commands of an emitter, and every
// client gets its event once.
func TestEmittersOnTwoNodes(t *testing.T) {
	exchange := clustertest.NewExchange()
	s := studio{listening: make(chan cluster.Receiver, 2)}
	registry := prometheus.NewRegistry()
	var nodes []*brokertest.Node
	var receivers []cluster.Receiver
	for i := range 2 {
		o := broker.Options{Namespaces: []string{"/", "/chat"}, Cluster: &broker.ClusterOptions{Bus: exchange.Bus(), Emitters: s}}
		if i == 0 {
			o.Metrics = registry
		}
		nodes = append(nodes, brokertest.Start(t, o))
		receivers = append(receivers, <-s.listening)
	}
	in := func(node *brokertest.Node, user string, rooms ...string) *brokertest.Client {
		return node.JoinAs(node.Token(user, broker.Permissions{Rooms: rooms}))
	}
	ana, ben, eve := in(nodes[0], "ana", "room1", "room3"), in(nodes[1], "ben", "room1"), in(nodes[1], "eve")
	all := []*brokertest.Client{ana, ben, eve}
	eventually(t, "the nodes know each other", func() bool {
		list, err := nodes[0].ListNodes(t.Context())
		return err == nil && len(list.Nodes) == 2
	})
	say := func(m cluster.Message) {
		for _, r := range receivers {
			r.Received(m)
		}
	}
	find := recorded(t)
	heard := func(name, args string, who ...*brokertest.Client) {
		t.Helper()
		for _, c := range who {
			c.Expect(name, args)
		}
		for _, c := range all {
			c.ExpectNothing()
		}
	}

	say(find("socket.io#/#", "to everyone"))
	heard("to everyone", "[]", ana, ben, eve)
	say(find("socket.io#/#room1#", "to a room"))
	heard("to a room", `[1,"two",[3],{"four":4}]`, ana, ben)
	say(find("socket.io#/#", "to rooms")) // room1 and others, but room3
	heard("to rooms", "[null]", ben)
	say(find("socket.io#/#", "all but"))
	heard("all but", "[]", ben, eve)
	say(find("socket.io#/#room1#", "binary"))
	for _, c := range []*brokertest.Client{ana, ben} {
		if e := c.Next(); e.Name != "binary" || len(e.Attachments) != 4 || string(e.Attachments[0]) != "\x00\x01\xff" {
			t.Errorf("got %+v", e)
		}
	}
	// A socket is named by the room of its id.
	to := find("socket.io-request#/#", `"type":3`)
	to.Payload = []byte(`{"type":2,"opts":{"rooms":["` + eve.ID + `"],"except":[]},"rooms":["mine","room1"]}`)
	say(to)
	say(find("socket.io#/#room1#", "to a room")) // in order: she is in it
	heard("to a room", `[1,"two",[3],{"four":4}]`, ana, ben, eve)
	// And other nodes' messages reach her there too.
	eventually(t, "the room is known", func() bool {
		report, err := nodes[0].Emit(t.Context(), broker.Target{Rooms: []string{"mine"}}, broker.Message{Event: "hi"})
		return err == nil && report.Matched == 1
	})
	eve.Expect("hi", "[]")

	to.Payload = []byte(`{"type":3,"opts":{"rooms":["room1"],"except":["` + ana.ID + `"]},"rooms":["room1"]}`)
	say(to)
	say(find("socket.io#/#room1#", "to a room"))
	heard("to a room", `[1,"two",[3],{"four":4}]`, ana)
	reserved := find("socket.io#/#", "to everyone")
	reserved.Payload = bytes.Replace(reserved.Payload, []byte("to everyone"), []byte("sala:resign"), 1)
	say(reserved)
	heard("", "")
	say(find("socket.io-request#/#", `"type":4`, `"room1"`))
	ana.Expect("sala:disconnect", `[{"code":"DISCONNECTED","reason":""}]`)
	ana.ExpectDisconnect()
	all = []*brokertest.Client{ben, eve}
	heard("", "")
	ben.Connect("/chat", map[string]string{"token": nodes[1].Token("ben", broker.Permissions{})})
	say(find("socket.io-request#/#", `"type":4`, `"close":true`)) // of the whole connection
	for _, c := range all {
		c.Expect("sala:disconnect", `[{"code":"DISCONNECTED","reason":""}]`)
		c.ExpectDisconnect()
		c.ExpectEnd()
	}

	say(find("socket.io-request#/#", `"type":6`))
	say(cluster.Message{Channel: "socket.io-request#/none#", Payload: to.Payload}) // a namespace that isn't there
	say(cluster.Message{Channel: "socket.io#/#", Payload: []byte("junk")})
	to.Payload = []byte(`{"type":2,"opts":{"rooms":[]},"rooms":["a\nb"]}`)
	say(to)
	to.Payload = []byte(`{"type":1,"requestId":"x"}`)
	say(to)
	receivers[0].Lost(3)
	for metric, want := range map[string]float64{"done": 11, "unsupported": 1, "refused": 3, "malformed": 1, "ignored": 1, "lost": 3} {
		name := `sala_emitter_messages_total{result="` + metric + `"}`
		if got := gather(t, registry)[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}
