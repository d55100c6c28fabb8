package broker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// events sends some numbered events to ana, who reads them.
func (a *absence) events(from, to int) {
	a.t.Helper()
	for n := from; n <= to; n++ {
		a.send(n, "queued")
		a.client.Expect("e", fmt.Sprintf("[%d]", n))
	}
}

func smallSessions() broker.Options {
	return broker.Options{Recovery: &broker.RecoveryOptions{MaxMessages: 16}}
}

// Events that were evicted while the client was connected matter only if it lacks them.
func TestEvictedButReceived(t *testing.T) {
	t.Run("confirmed", func(t *testing.T) {
		withSession(t, smallSessions(), func(_ *testing.T, ana *absence) {
			ana.client.Mute = true
			ana.events(1, 40)
			<-time.After(26 * time.Second)
			ana.client.ExpectNothing() // reads the ping
			ana.client.Pong()
			ana.settle()
			ana.leave()
			ana.send(41, "kept")
			ana.comeBack()
			ana.wantRecovered(true)
			ana.want(41)
		})
	})
	t.Run("confirmed in part", func(t *testing.T) {
		withSession(t, smallSessions(), func(_ *testing.T, ana *absence) {
			id := ana.session.ID
			ana.client.Mute = true
			<-time.After(26 * time.Second)
			ana.client.ExpectNothing() // reads the ping, which comes before the events
			ana.events(1, 1)
			offset := ana.session.Offset
			ana.events(2, 40)
			ana.client.Pong()
			ana.settle()
			ana.leave()
			ana.session.Offset = offset
			ana.comeBack()
			ana.wantRefused(id, "EVICTED")
		})
	})
	t.Run("received last", func(t *testing.T) {
		withSession(t, smallSessions(), func(_ *testing.T, ana *absence) {
			ana.client.Mute = true
			ana.events(1, 40)
			ana.leave()
			ana.comeBack()
			ana.wantRecovered(true)
			ana.want()
		})
	})
	t.Run("lacking", func(t *testing.T) {
		withSession(t, smallSessions(), func(_ *testing.T, ana *absence) {
			id := ana.session.ID
			ana.client.Mute = true
			ana.events(1, 1)
			offset := ana.session.Offset
			ana.events(2, 40)
			ana.session.Offset = offset
			ana.leave()
			ana.comeBack()
			ana.wantRefused(id, "EVICTED")
			ana.want()
		})
	})
}

// An event that doesn't fit while the client is away ends the session at once, since
// nothing can make up for it.
func TestEvictedWhileAway(t *testing.T) {
	withSession(t, smallSessions(), func(_ *testing.T, ana *absence) {
		id := ana.session.ID
		ana.leave()
		for n := range 16 {
			ana.send(n, "kept")
		}
		ana.send(17, "dropped")
		ana.wantHistory(id, "CONNECT", "AWAY transport close", "DISCONNECT session evicted")
		ana.wantMetric(`sala_session_bytes{}`, 0)
		ana.wantMetric(`sala_sockets_away{namespace="/"}`, 0)
		ana.comeBack()
		ana.wantRefused(id, "EVICTED")
	})
}

// Volatile events are never sent twice, but their offsets count.
func TestVolatileEvents(t *testing.T) {
	withSession(t, broker.Options{}, func(_ *testing.T, ana *absence) {
		volatile := broker.Message{Event: "v", Volatile: true}
		ana.events(1, 1)
		ana.report(volatile, "queued")
		ana.client.Expect("v", "[]")
		ana.leave()
		ana.report(volatile, "dropped")
		ana.send(2, "kept")
		ana.comeBack()
		ana.wantRecovered(true)
		ana.want(2)
		ana.report(volatile, "queued")
		ana.send(3, "queued")
		ana.leave() // without having read either
		ana.comeBack()
		ana.want(3)
	})
}

// An event that ana lacks comes with its attachments, whoever has sent it.
func TestEverythingIsRecovered(t *testing.T) {
	o := chat()
	o.Relay = []broker.RelayRule{{Event: "say", To: broker.RelayToRoom}, {Event: "shout", To: broker.RelayToBroadcast}}
	withSession(t, o, func(t *testing.T, ana *absence) {
		ana.client.Call("join", "room")
		ana.client.Take()
		ana.leave()
		bob := ana.Join("bob")
		bob.Call("join", "room")
		bob.Call("say", map[string]any{"room": "room", "n": 1})
		bob.Call("shout", 2)
		bob.Take()
		bob.Send(`451-["shout",{"_placeholder":true,"num":0}]`)
		bob.SendBinary([]byte{0, 1, 2})
		bob.ExpectNothing()
		emit(t, ana.Node, broker.Target{Rooms: []string{"room"}}, broker.Message{
			Event: "b", Args: json.RawMessage(`[{"_placeholder":true,"num":0},"last"]`), Attachments: [][]byte{{3, 4}},
		})
		emit(t, ana.Node, broker.Target{Everyone: true}, broker.Message{Event: "none"})
		if _, err := ana.ClearRoom(t.Context(), broker.ClearRoom{Room: "room", Notice: &broker.Message{Event: "closed"}}); err != nil {
			t.Fatal(err)
		}
		bob.Call("say", map[string]any{"room": "room", "n": 3}) // not to ana, who has been removed
		ana.comeBack()
		ana.wantRecovered(true)
		var got []string
		offsets := make(map[string]bool)
		for _, e := range ana.client.Take() {
			got = append(got, fmt.Sprintf("%s %s %v", e.Name, e.Args, e.Attachments))
			offsets[e.Offset] = true
		}
		want := []string{
			got[0], // the announcement
			`say [{"n":1,"room":"room"}] []`, `shout [2] []`, `shout [{"_placeholder":true,"num":0}] [[0 1 2]]`,
			`b [{"_placeholder":true,"num":0},"last"] [[3 4]]`, `none [] []`, `closed [] []`,
		}
		if !slices.Equal(got, want) || len(offsets) != len(got) {
			t.Errorf("ana got %q with %d offsets, want %q", got, len(offsets), want)
		}
		if !strings.Contains(got[0], "bob") {
			t.Errorf("the announcement is %s", got[0])
		}
	})
}

// A replay needn't fit the queue, and what comes next has all of the queue.
func TestReplayLargerThanTheQueue(t *testing.T) {
	o := broker.Options{MaxQueueBytes: 64 << 10, MaxMessageBytes: 32 << 10}
	withSession(t, o, func(_ *testing.T, ana *absence) {
		padding := strings.Repeat("x", 20_000)
		big := broker.Message{Event: "big", Args: fmt.Appendf(nil, "[%q]", padding)}
		ana.leave()
		for range 40 {
			ana.report(big, "kept")
		}
		ana.comeBack()
		for range 2 { // these come while the client has hardly begun to read
			ana.report(big, "queued")
		}
		for range 42 {
			ana.client.Expect("big", `["`+padding+`"]`)
		}
		ana.send(1, "queued")
		ana.want(1)
	})
}

// Of two namespaces one is recovered and one isn't.
func TestNamespacesRecoverSeparately(t *testing.T) {
	o := broker.Options{Namespaces: []string{"/", "/chat"}}
	withSession(t, o, func(t *testing.T, ana *absence) {
		chat := &brokertest.Session{}
		ana.client.Recover("/chat", ana.token, chat, nil)
		ana.settle()
		id := chat.ID
		ana.leave()
		ana.send(1, "kept")
		if _, err := ana.Disconnect(t.Context(), broker.Target{Namespace: "/chat", Users: []string{"ana"}}, "x"); err != nil {
			t.Fatal(err)
		}
		ana.client = ana.Dial(nil)
		if answer := ana.client.Recover("/chat", ana.token, chat, nil); !strings.Contains(answer, "DISCONNECTED") {
			t.Errorf("the return to /chat is answered with %s", answer)
		}
		ana.client.Recover("/", ana.token, ana.session, nil)
		ana.wantRecovered(true)
		ana.want(1)
		if answer := ana.client.Recover("/chat", ana.token, chat, nil); !strings.Contains(answer, chat.ID) || chat.ID == id {
			t.Errorf("the next return to /chat is answered with %s", answer)
		}
		if e := ana.client.Next(); e.Namespace != "/chat" || e.Args != `[{"recovered":false,"code":"UNKNOWN"}]` {
			t.Errorf("got %+v", e)
		}
		ana.send(2, "queued")
		ana.want(2)
	})
}

// A page that is reloaded isn't refused because of the sockets that its user has left
// behind. The one that has been away for longest goes.
func TestReloadAtTheLimitOfAUser(t *testing.T) {
	withSession(t, broker.Options{Limits: broker.Limits{ConnectionsPerUser: 2}}, func(t *testing.T, ana *absence) {
		reload := func() *brokertest.Session {
			before := ana.session
			ana.leave()
			<-time.After(time.Second)
			ana.session = &brokertest.Session{}
			ana.comeBack()
			ana.settle()
			return before
		}
		first, second := reload(), reload()
		ana.wantHistory(first.ID, "CONNECT", "AWAY transport close", "DISCONNECT session evicted")
		ana.wantHistory(second.ID, "CONNECT", "AWAY transport close")
		other := ana.Dial(nil)
		other.Connect("/", map[string]string{"token": ana.token}) // clients without a session have the same right
		ana.wantHistory(second.ID, "CONNECT", "AWAY transport close", "DISCONNECT session evicted")
		third := ana.Dial(nil)
		if answer := third.Connect("/", map[string]string{"token": ana.token}); reasonOf(answer) != "TOO_MANY_CONNECTIONS" {
			t.Errorf("with both places taken, the answer is %s", answer)
		}
		if answer := third.Recover("/", ana.token, first, nil); reasonOf(answer) != "TOO_MANY_CONNECTIONS" {
			t.Errorf("the return of the first is answered with %s", answer)
		}
	})
}

// A client that is sent much is asked for a pong ahead of time, before a session is full.
func TestBusyClientsAreAskedEarly(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		ana.client.Mute = true
		ana.events(1, 600)
		ana.settle()
		if ana.client.Pings != 1 {
			t.Errorf("%d pings have come, want 1", ana.client.Pings)
		}
	})
}

// Soon after that, such a client is asked again only if the session may be half full before it
// would be asked next.
func TestBusyClientsAreAskedAgain(t *testing.T) {
	for name, test := range map[string]struct{ limit, pings int }{"a large session": {1024, 0}, "a small session": {100, 1}} {
		t.Run(name, func(t *testing.T) {
			withSession(t, broker.Options{Recovery: &broker.RecoveryOptions{MaxMessages: test.limit}}, func(t *testing.T, ana *absence) {
				ana.events(1, 49) // and ana answers the ping that comes after the 48th
				synctest.Wait()
				ana.client.Mute = true
				ana.events(50, 100)
				synctest.Wait()
				ana.events(101, 101)
				if ana.client.Pings != test.pings {
					t.Errorf("%d pings have come, want %d", ana.client.Pings, test.pings)
				}
			})
		})
	}
}
