package broker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/eventhub"
)

// Backends move a socket that is away as any other.
func TestMembershipWhileAway(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		id, all := ana.session.ID, everyoneOf("ana")
		if _, err := ana.Broker.Join(t.Context(), all, []string{"before"}); err != nil {
			t.Fatal(err)
		}
		ana.leave()
		for _, err := range []error{
			func() error { _, err := ana.Broker.Join(t.Context(), all, []string{"a", "b"}); return err }(),
			func() error { _, err := ana.Broker.Leave(t.Context(), all, []string{"before", "a"}); return err }(),
			func() error { _, err := ana.Update(t.Context(), all, json.RawMessage(`7`)); return err }(),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		report := emit(t, ana.Node, broker.Target{Rooms: []string{"b"}}, broker.Message{Event: "e", Args: json.RawMessage(`[1]`)})
		if report.Kept != 1 {
			t.Errorf("the report is %+v", report)
		}
		emit(t, ana.Node, broker.Target{Rooms: []string{"a", "before"}}, broker.Message{Event: "e", Args: json.RawMessage(`[2]`)})
		ana.comeBack()
		ana.wantRecovered(true)
		ana.want(1)
		info, err := ana.GetSocket(t.Context(), id)
		if err != nil || strings.Join(info.Rooms, " ") != "b" || string(info.Data) != "7" || info.Away || info.Address == "" {
			t.Errorf("the socket is %+v, %v", info, err)
		}
		ana.wantHistory(id, "CONNECT", "JOIN before", "AWAY transport close",
			"JOIN a", "JOIN b", "LEAVE before", "LEAVE a", "RESUMED")
	})
}

// The token of a return counts from then on: its rooms are joined, except those that
// the socket had been given and has left since.
func TestReturnWithAnotherToken(t *testing.T) {
	withSession(t, broker.Options{Rooms: broker.RoomEvents{JoinEvent: "join"}}, func(t *testing.T, ana *absence) {
		with := func(ttl time.Duration, p broker.Permissions) string {
			return issue(t, ana.Node, broker.TokenRequest{User: "ana", TTL: ttl, Permissions: p}).Token
		}
		ana.token = with(time.Minute, broker.Permissions{Rooms: []string{"a", "b"}, Join: []string{"x"}})
		ana.renew()
		if _, err := ana.Broker.Leave(t.Context(), everyoneOf("ana"), []string{"a"}); err != nil {
			t.Fatal(err)
		}
		ana.leave()
		<-time.After(30 * time.Second)
		ana.token = with(time.Hour, broker.Permissions{Rooms: []string{"a", "c"}, Join: []string{"y"}})
		ana.comeBack()
		ana.wantRecovered(true)
		if rooms := roomsOf(t, ana.Node, ana.session.ID); strings.Join(rooms, " ") != "b c" {
			t.Errorf("ana is in %v", rooms)
		}
		expectCode(t, "a join that the first token allowed", ana.client.Call("join", "x"), "JOIN_DENIED")
		if got := ana.client.Call("join", "y"); got != `[{"ok":true}]` {
			t.Errorf("a join that the new token allows is answered with %s", got)
		}
		for range 40 { // past the end of the first token
			<-time.After(time.Second)
			ana.client.ExpectNothing()
		}
	})
}

// A socket that is away doesn't answer, and isn't asked when it returns.
func TestAcksWhileAway(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		lost := ask(t.Context(), t, ana.Node, everyoneOf("ana"), broker.AckOptions{})
		question(t, ana.client)
		ana.leave()
		lost.want(broker.AckSummary{Expected: 1, Disconnected: 1})
		ask(t.Context(), t, ana.Node, everyoneOf("ana"), broker.AckOptions{}).want(broker.AckSummary{Expected: 1, Disconnected: 1})
		ana.comeBack()
		ana.wantRecovered(true)
		ana.want()
		asked := ask(t.Context(), t, ana.Node, everyoneOf("ana"), broker.AckOptions{})
		e := question(t, ana.client)
		if ana.session.Offset != "" || strings.Contains(e.Args, ana.session.ID[:8]) {
			t.Error("an event that asks for an ack has an offset")
		}
		ana.client.Answer(e, 1)
		if ack := asked.next(); ack.Socket != ana.session.ID {
			t.Errorf("the ack is %+v", ack)
		}
		asked.want(broker.AckSummary{Expected: 1, Answered: 1})
		if n := broker.PendingAcks(ana.Broker); n != 0 {
			t.Errorf("%d acks are pending", n)
		}
	})
}

// Packets over a connection that has been replaced are dropped.
func TestReplacedConnection(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		old := ana.client
		ana.comeBack()
		ana.wantRecovered(true)
		old.TrySend(`42["late"]`)
		old.TrySend("41")
		old.ExpectDisconnect() // nobody who still reads there comes back
		old.ExpectClose()
		ana.send(1, "queued")
		ana.want(1)
		ana.wantHistory(ana.session.ID, "CONNECT", "AWAY connection replaced", "RESUMED")
	})
}

// A client that leaves on purpose has no session any more.
func TestLeavingOnPurpose(t *testing.T) {
	for name, leave := range map[string]struct {
		packet, reason string
	}{
		"disconnect":     {"41", "client namespace disconnect"},
		"a broken frame": {"4not a packet", "parse error"},
	} {
		t.Run(name, func(t *testing.T) {
			withSession(t, broker.Options{}, func(_ *testing.T, ana *absence) {
				id := ana.session.ID
				ana.client.Send(leave.packet)
				ana.client.ExpectEnd()
				ana.wantHistory(id, "CONNECT", "DISCONNECT "+leave.reason)
				ana.client.Close()
				ana.comeBack()
				ana.wantRefused(id, "UNKNOWN")
			})
		})
	}
}

// badReturns are what clients that guess, steal or cheat send.
func badReturns(ana *absence) map[string]struct {
	token string
	auth  map[string]any
	code  string
} {
	type attempt = struct {
		token string
		auth  map[string]any
		code  string
	}
	pid, id := ana.session.PID, ana.session.ID
	bob := ana.Token("bob", brokertest.Everything)
	flipped := []byte(pid)
	flipped[len(flipped)-2] ^= 1
	node := id[:8]
	return map[string]attempt{
		"a forged secret":              {ana.token, map[string]any{"pid": string(flipped)}, "UNKNOWN"},
		"no secret":                    {ana.token, map[string]any{"pid": id}, "UNKNOWN"},
		"an empty secret":              {ana.token, map[string]any{"pid": id + "~"}, "UNKNOWN"},
		"text":                         {ana.token, map[string]any{"pid": "x"}, "UNKNOWN"},
		"a huge pid":                   {ana.token, map[string]any{"pid": strings.Repeat("x", 4000)}, "UNKNOWN"},
		"the secret of another socket": {ana.token, map[string]any{"pid": "AAAA" + pid[4:]}, "UNKNOWN"},
		"another user":                 {bob, map[string]any{"pid": pid}, "USER_CHANGED"},
		"an offset of the future":      {ana.token, map[string]any{"pid": pid, "offset": node + ".zzzz"}, "UNKNOWN"},
		"a huge offset":                {ana.token, map[string]any{"pid": pid, "offset": node + "." + strings.Repeat("1", 4000)}, "UNKNOWN"},
		"no offset":                    {ana.token, map[string]any{"pid": pid, "offset": "no offset"}, "UNKNOWN"},
		"a negative offset":            {ana.token, map[string]any{"pid": pid, "offset": node + ".-1"}, "UNKNOWN"},
	}
}

// Bad returns are ordinary connects, and cost the socket that they are about nothing.
func TestBadReturns(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		ana.events(1, 3)
		ana.leave()
		ana.send(4, "kept")
		for name, attempt := range badReturns(ana) {
			thief, session := ana.Dial(nil), &brokertest.Session{}
			answer := thief.Recover("/", attempt.token, session, attempt.auth)
			if !strings.HasPrefix(answer, "40{") || session.ID == ana.session.ID {
				t.Errorf("%s: the answer is %s", name, answer)
			}
			if e := thief.Next(); e.Args != fmt.Sprintf(`[{"recovered":false,"code":%q}]`, attempt.code) {
				t.Errorf("%s: the client is told %s, want %s", name, e.Args, attempt.code)
			}
			thief.Send("41")
			thief.Close()
		}
		synctest.Wait()
		ana.wantMetric(`sala_session_returns_total{result="USER_CHANGED"}`, 1)
		ana.wantMetric(`sala_session_returns_total{result="UNKNOWN"}`, 10)
		ana.comeBack()
		ana.wantRecovered(true)
		ana.want(4)
	})
}

// An offset of an earlier session, or none, gets everything that isn't confirmed.
func TestForeignOffsets(t *testing.T) {
	for name, offset := range map[string]string{"none": "", "of another node": "AAAAAAAA.1"} {
		t.Run(name, func(t *testing.T) {
			withSession(t, broker.Options{}, func(_ *testing.T, ana *absence) {
				ana.client.Mute = true
				ana.events(1, 3)
				ana.leave()
				ana.session.Offset = offset
				ana.comeBack()
				ana.wantRecovered(true)
				ana.want(1, 2, 3)
			})
		})
	}
}

// A client that doesn't take part gets what it got before there was recovery.
func TestNoSessionNoTrace(t *testing.T) {
	for name, o := range map[string]struct {
		recovery *broker.RecoveryOptions
		auth     map[string]any
		session  bool
	}{
		"off":                 {nil, map[string]any{"recover": true}, false},
		"not asked":           {&broker.RecoveryOptions{}, nil, false},
		"asked":               {&broker.RecoveryOptions{}, map[string]any{"recover": true}, true},
		"asked with a number": {&broker.RecoveryOptions{}, map[string]any{"recover": 1}, false},
		"always":              {&broker.RecoveryOptions{Mode: broker.RecoverAlways}, nil, true},
		"always elsewhere":    {&broker.RecoveryOptions{Mode: broker.RecoverAlways, Namespaces: []string{"/chat"}}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				node := brokertest.StartInMemory(t, broker.Options{Namespaces: []string{"/", "/chat"}, Recovery: o.recovery})
				c := node.Dial(nil)
				c.Mute = true
				auth := map[string]any{"token": node.Token("ana", brokertest.Everything)}
				for k, v := range o.auth {
					auth[k] = v
				}
				answer := c.Connect("/", auth)
				if plain := fmt.Sprintf(`40{"sid":%q}`, c.ID); (answer == plain) == o.session {
					t.Errorf("the answer is %s", answer)
				}
				emit(t, node, everyoneOf("ana"), broker.Message{Event: "e", Args: json.RawMessage(`[ "x" ]`)})
				if e := c.Next(); (e.Args == `["x"]`) == o.session {
					t.Errorf("the event is %s", e.Args)
				}
				c.ExpectNothing()
				if asked := c.Pings > 0; asked != o.session {
					t.Errorf("it was asked for a pong %d times", c.Pings)
				}
			})
		})
	}
}

// A client that takes part gets an offset with each event, and no other event of the
// broker ends in a text.
func TestOffsetsOfEachEvent(t *testing.T) {
	o := chat()
	o.Relay = []broker.RelayRule{{Event: "echo", To: broker.RelayToSender}}
	withSession(t, o, func(t *testing.T, ana *absence) {
		seen := make(map[string]bool)
		next := func() {
			e := ana.client.Next()
			if e.Offset == "" || seen[e.Offset] || !strings.HasPrefix(e.Offset, ana.session.ID[:8]+".") {
				t.Errorf("%s has the offset %q", e.Name, e.Offset)
			}
			seen[e.Offset] = true
		}
		ana.client.Call("join", "room") // which is announced
		next()
		ana.client.Call("echo", "text")
		next()
		ana.report(broker.Message{Event: "v", Volatile: true}, "queued")
		next()
		ana.send(1, "queued")
		next()
	})
}

// A client that takes much of the node's share loses its session before others do.
func TestHogsAreEvictedFirst(t *testing.T) {
	o := broker.Options{MaxMessageBytes: 32 << 10, Recovery: &broker.RecoveryOptions{
		MaxMessages: 100_000, MaxBytes: 256 << 10, MaxNodeBytes: 256 << 10,
	}}
	withSession(t, o, func(t *testing.T, ana *absence) {
		ana.leave()
		hog, session := ana.Node, &brokertest.Session{}
		c := hog.ReturnTo(hog.Token("hog", brokertest.Everything), session)
		c.ExpectNothing()
		c.Close()
		synctest.Wait()
		for n := range 50 {
			ana.send(n, "kept")
		}
		big := broker.Message{Event: "big", Args: fmt.Appendf(nil, "[%q]", strings.Repeat("x", 20_000))}
		evicted := 0
		for range 20 {
			evicted += emit(t, ana.Node, everyoneOf("hog"), big).Dropped
		}
		if evicted != 1 {
			t.Errorf("%d messages to the hog were dropped, want that which ended it", evicted)
		}
		for n := range 50 {
			ana.send(50+n, "kept")
		}
		ana.comeBack()
		ana.wantRecovered(true)
		for n := range 100 {
			ana.client.Expect("e", fmt.Sprintf("[%d]", n))
		}
		if _, err := ana.Disconnect(t.Context(), everyoneOf("ana"), ""); err != nil {
			t.Fatal(err)
		}
		ana.wantMetric(`sala_session_bytes{}`, 0)
	})
}

// Sessions of clients without a user are theirs alone.
func TestAnonymousSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := brokertest.StartInMemory(t, broker.Options{Anonymous: &broker.Permissions{}, Recovery: &broker.RecoveryOptions{}})
		session := &brokertest.Session{}
		c := node.Dial(nil)
		c.Recover("/", "", session, nil)
		c.ExpectNothing()
		c.Close()
		synctest.Wait()
		emit(t, node, broker.Target{Sockets: []string{session.ID}}, broker.Message{Event: "e"})
		back := node.ReturnTo("", session)
		if !session.Recovered {
			t.Error("it isn't recovered")
		}
		back.Expect("e", "[]")
		thief := node.Dial(nil)
		thief.Recover("/", node.Token("eve", brokertest.Everything), &brokertest.Session{PID: session.PID}, nil)
		thief.Expect("sala:session", `[{"recovered":false,"code":"USER_CHANGED"}]`)
	})
}

// The last events of a socket come in this order, and each once.
func TestOrderOfEvents(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		id := ana.session.ID
		want := []string{"CONNECT"}
		for range 20 {
			ana.client.Emit("hello")
			ana.settle()
			ana.leave()
			ana.comeBack()
			ana.settle()
			want = append(want, "MESSAGE hello", "AWAY transport close", "RESUMED")
		}
		ana.client.Send("41")
		ana.wantHistory(id, append(want, "DISCONNECT client namespace disconnect")...)
		for _, kind := range []eventhub.Kind{eventhub.Connect, eventhub.Disconnect} {
			if n := len(ana.backend.has(kind)); n != 1 {
				t.Errorf("%d events of the kind %v", n, kind)
			}
		}
	})
}
