package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

var everyoneInLobby = broker.Target{Rooms: []string{"lobby"}}

// asked is a call of EmitWithAck that is in progress.
type asked struct {
	t       *testing.T
	acks    chan broker.Ack
	summary broker.AckSummary
	err     error
	done    chan struct{}
}

func ask(ctx context.Context, t *testing.T, node *brokertest.Node, to broker.Target, o broker.AckOptions) *asked {
	t.Helper()
	a := &asked{t: t, acks: make(chan broker.Ack, 1000), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.summary, a.err = node.EmitWithAck(ctx, to, broker.Message{Event: "q", Args: json.RawMessage(`[1]`)}, o, func(ack broker.Ack) error {
			a.acks <- ack
			return nil
		})
	}()
	return a
}

func (a *asked) next() broker.Ack {
	a.t.Helper()
	select {
	case ack := <-a.acks:
		return ack
	case <-time.After(time.Minute):
		a.t.Fatal("no answer came")
		return broker.Ack{}
	}
}

func (a *asked) want(summary broker.AckSummary) {
	a.t.Helper()
	select {
	case <-a.done:
	case <-time.After(time.Minute):
		a.t.Fatal("the call doesn't end")
	}
	if a.err != nil || !reflect.DeepEqual(a.summary, summary) {
		a.t.Errorf("the summary is %+v, %v, want %+v", a.summary, a.err, summary)
	}
	if n := len(a.acks); n > 0 {
		a.t.Errorf("%d answers too many", n)
	}
}

// join connects a client that is in the lobby.
func join(t *testing.T, node *brokertest.Node, user string) *brokertest.Client {
	t.Helper()
	return node.JoinAs(node.Token(user, broker.Permissions{Rooms: []string{"lobby"}}))
}

func question(t *testing.T, c *brokertest.Client) brokertest.Event {
	t.Helper()
	e := c.Next()
	if e.Name != "q" || e.Args != "[1]" || e.AckID == "" {
		t.Fatalf("got %+v, want the question", e)
	}
	return e
}

func TestAcksOfEveryShape(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	ana := join(t, node, "ana")
	for _, tt := range []struct {
		args        string
		attachments [][]byte
	}{
		{`[]`, nil},
		{`["yes"]`, nil},
		{`[null]`, nil},
		{`[1.10,{"b":9007199254740993,"a":[]},"é"]`, nil},
		{`[{"_placeholder":true,"num":0},"x",{"_placeholder":true,"num":1}]`, [][]byte{{0, 1, 255}, {}}},
	} {
		a := ask(t.Context(), t, node, broker.Target{Users: []string{"ana"}}, broker.AckOptions{})
		id := question(t, ana).AckID
		if tt.attachments == nil {
			ana.Send("43" + id + tt.args)
		} else {
			ana.Send("462-" + id + tt.args)
			for _, data := range tt.attachments {
				ana.SendBinary(data)
			}
		}
		ack := a.next()
		if ack.Socket != ana.ID || ack.User != "ana" || string(ack.Args) != tt.args || len(ack.Attachments) != len(tt.attachments) || ack.Latency <= 0 {
			t.Errorf("%s came as %+v", tt.args, ack)
		}
		for i, data := range tt.attachments {
			if !slices.Equal(ack.Attachments[i], data) {
				t.Errorf("attachment %d is %v", i, ack.Attachments[i])
			}
		}
		a.want(broker.AckSummary{Expected: 1, Answered: 1})
	}
}

func TestAcksOfMany(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	ana, ben, eve := join(t, node, "ana"), join(t, node, "ben"), join(t, node, "eve")
	other := node.Join("other") // not in the lobby
	a := ask(t.Context(), t, node, everyoneInLobby, broker.AckOptions{})
	id := question(t, ana).AckID
	if question(t, ben).AckID != id || question(t, eve).AckID != id {
		t.Error("one question has several numbers")
	}
	// An answer counts once, and only from who was asked.
	for range 3 {
		other.Send("43" + id + `["forged"]`)
		ana.Send("43" + id + `["ana"]`)
	}
	other.ExpectNothing()
	if ack := a.next(); ack.Socket != ana.ID || string(ack.Args) != `["ana"]` {
		t.Errorf("the first answer is %+v", ack)
	}
	ben.Close()
	ana.ExpectNothing()
	ana.Send("43999999[]") // to nothing that was asked
	eve.Send("43" + id + `[]`)
	if ack := a.next(); ack.Socket != eve.ID || string(ack.Args) != `[]` {
		t.Errorf("the second answer is %+v", ack)
	}
	a.want(broker.AckSummary{Expected: 3, Answered: 2, Disconnected: 1})

	a = ask(t.Context(), t, node, broker.Target{Rooms: []string{"empty"}}, broker.AckOptions{})
	a.want(broker.AckSummary{})
}

func TestAcksTimeOut(t *testing.T) { synctest.Test(t, acksTimeOut) }

func acksTimeOut(t *testing.T) {
	registry := prometheus.NewRegistry()
	node := brokertest.StartInMemory(t, broker.Options{Metrics: registry})
	ana, ben := join(t, node, "ana"), join(t, node, "ben")
	a := ask(t.Context(), t, node, everyoneInLobby, broker.AckOptions{Timeout: 300 * time.Millisecond})
	late := question(t, ana)
	ben.Answer(question(t, ben), "in time")
	a.next()
	a.want(broker.AckSummary{Expected: 2, Answered: 1, TimedOut: 1})

	// A late ack is dropped; it doesn't count for the next request.
	a = ask(t.Context(), t, node, broker.Target{Users: []string{"ana"}}, broker.AckOptions{})
	e := question(t, ana)
	ana.Answer(late, "late")
	ana.Answer(e, "now")
	if ack := a.next(); string(ack.Args) != `["now"]` {
		t.Errorf("the answer is %s", ack.Args)
	}
	a.want(broker.AckSummary{Expected: 1, Answered: 1})
	for result, want := range map[string]float64{"answered": 2, "timed_out": 1, "disconnected": 0, "late": 1} {
		if got := gather(t, registry)[`sala_acks_total{result="`+result+`"}`]; got != want {
			t.Errorf("%g are counted as %s, want %g", got, result, want)
		}
	}
}

func TestMinAcks(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	clients := []*brokertest.Client{join(t, node, "ana"), join(t, node, "ben"), join(t, node, "eve")}
	a := ask(t.Context(), t, node, everyoneInLobby, broker.AckOptions{MinAcks: 2})
	events := []brokertest.Event{question(t, clients[0]), question(t, clients[1]), question(t, clients[2])}
	for i := range 2 {
		clients[i].Answer(events[i], i)
		a.next()
	}
	a.want(broker.AckSummary{Expected: 3, Answered: 2})
	clients[2].Answer(events[2])
	clients[2].ExpectNothing() // and nobody minds
}

func TestAcksEndWithTheirCaller(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	ana := join(t, node, "ana")
	ctx, cancel := context.WithCancel(t.Context())
	a := ask(ctx, t, node, everyoneInLobby, broker.AckOptions{})
	e := question(t, ana)
	cancel()
	<-a.done
	if !errors.Is(a.err, context.Canceled) {
		t.Errorf("the call ends with %v", a.err)
	}
	ana.Answer(e)
	ana.ExpectNothing()

	enough := errors.New("enough")
	done := make(chan error)
	go func() {
		_, err := node.EmitWithAck(t.Context(), everyoneInLobby, broker.Message{Event: "q", Args: json.RawMessage(`[1]`)}, broker.AckOptions{},
			func(broker.Ack) error { return enough })
		done <- err
	}()
	ana.Answer(question(t, ana))
	if err := <-done; !errors.Is(err, enough) {
		t.Errorf("the call ends with %v", err)
	}
}

// A request doesn't wait for a socket that has ended, in whatever way.
func TestAcksOfSocketsThatEnd(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	ana, ben := join(t, node, "ana"), join(t, node, "ben")
	a := ask(t.Context(), t, node, everyoneInLobby, broker.AckOptions{Timeout: time.Minute})
	question(t, ana)
	question(t, ben)
	ana.Send("41")
	if _, err := node.Disconnect(t.Context(), broker.Target{Users: []string{"ben"}}, ""); err != nil {
		t.Fatal(err)
	}
	a.want(broker.AckSummary{Expected: 2, Disconnected: 2})
}

// Acks that the caller hasn't taken are kept, and hold up no client.
func TestSlowCallerOfAcks(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	var clients []*brokertest.Client
	for range 20 {
		clients = append(clients, join(t, node, "ana"))
	}
	release, done := make(chan struct{}), make(chan broker.AckSummary)
	go func() {
		summary, err := node.EmitWithAck(t.Context(), everyoneInLobby, broker.Message{Event: "q", Args: json.RawMessage(`[1]`)}, broker.AckOptions{Timeout: time.Minute},
			func(broker.Ack) error { <-release; return nil })
		if err != nil {
			t.Error(err)
		}
		done <- summary
	}()
	for _, c := range clients {
		c.Answer(question(t, c))
		c.ExpectNothing() // the broker goes on reading it
	}
	close(release)
	if summary := <-done; !reflect.DeepEqual(summary, broker.AckSummary{Expected: 20, Answered: 20}) {
		t.Errorf("the summary is %+v", summary)
	}
}

// wantReason fails the test unless the error is the broker's with this reason.
func wantReason(t *testing.T, err error, code broker.Code, reason string) {
	t.Helper()
	var failed *broker.Error
	if !errors.As(err, &failed) || failed.Code != code || failed.Reason != reason {
		t.Errorf("the error is %v, want %s", err, reason)
	}
}

func TestEmitWithAckRefusesBadRequests(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	never := func(broker.Ack) error { t.Error("an answer came"); return nil }
	for _, o := range []broker.AckOptions{{Timeout: -1}, {Timeout: time.Minute + 1}} {
		_, err := node.EmitWithAck(t.Context(), everyoneInLobby, broker.Message{Event: "q"}, o, never)
		wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
	}
	_, err := node.EmitWithAck(t.Context(), broker.Target{}, broker.Message{Event: "q"}, broker.AckOptions{}, never)
	wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
	_, err = node.EmitWithAck(t.Context(), everyoneInLobby, broker.Message{}, broker.AckOptions{}, never)
	wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
	to := everyoneInLobby
	to.Namespace = "/none"
	_, err = node.EmitWithAck(t.Context(), to, broker.Message{Event: "q"}, broker.AckOptions{}, never)
	wantReason(t, err, broker.CodeNotFound, broker.ReasonNamespaceNotFound)
}
