package broker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/eventhub"
)

// absence is a broker in memory and its client ana, who has a session.
type absence struct {
	*brokertest.Node
	t       *testing.T
	token   string
	session *brokertest.Session
	client  *brokertest.Client // over which ana is connected, or was last
	backend *backend           // sees all events
	gather  func() map[string]float64
}

// withSession runs a test in a bubble of testing/synctest.
func withSession(t *testing.T, o broker.Options, test func(t *testing.T, ana *absence)) {
	synctest.Test(t, func(t *testing.T) {
		ana := startAbsence(t, o, brokertest.StartInMemory)
		test(t, ana)
	})
}

func startAbsence(t *testing.T, o broker.Options, start func(testing.TB, broker.Options) *brokertest.Node) *absence {
	registry := prometheus.NewRegistry()
	o.Metrics = registry
	if o.Recovery == nil {
		o.Recovery = &broker.RecoveryOptions{}
	}
	a := &absence{
		Node: start(t, o), t: t, session: &brokertest.Session{},
		gather: func() map[string]float64 { return gather(t, registry) },
	}
	a.token = a.Token("ana", brokertest.Everything)
	a.backend = serve(t, a.Node, broker.SubscribeOptions{Observe: true}, ignore)
	a.comeBack()
	a.settle()
	return a
}

// settle waits until ana's client has shown that it knows of its session.
func (a *absence) settle() { a.client.ExpectNothing() }

// comeBack connects ana, or has her return.
func (a *absence) comeBack() {
	a.t.Helper()
	a.client = a.ReturnTo(a.token, a.session)
}

// leave cuts ana's connection and waits until the broker has noticed.
func (a *absence) leave() {
	a.t.Helper()
	a.client.Close()
	a.awaitAway(true)
}

func (a *absence) awaitAway(away bool) {
	a.t.Helper()
	eventually(a.t, fmt.Sprintf("ana is away: %v", away), func() bool {
		info, err := a.GetSocket(a.t.Context(), a.session.ID)
		return err == nil && info.Away == away
	})
}

// send emits an event with a number to ana, and wants it reported so.
func (a *absence) send(n int, want string) {
	a.t.Helper()
	a.report(broker.Message{Event: "e", Args: fmt.Appendf(nil, "[%d]", n)}, want)
}

// report emits a message to ana and wants the report: "queued", "kept" or "dropped".
func (a *absence) report(m broker.Message, want string) {
	a.t.Helper()
	report := emit(a.t, a.Node, broker.Target{Users: []string{"ana"}}, m)
	got := map[string]int{"queued": report.Queued, "kept": report.Kept, "dropped": report.Dropped}
	if got[want] != 1 || report.Matched != 1 {
		a.t.Errorf("the report is %+v, want 1 %s", report, want)
	}
}

// want expects the events with these numbers, and then nothing.
func (a *absence) want(numbers ...int) {
	a.t.Helper()
	for _, n := range numbers {
		a.client.Expect("e", fmt.Sprintf("[%d]", n))
	}
	a.client.ExpectNothing()
}

// wantRecovered checks whether ana has got her socket back.
func (a *absence) wantRecovered(want bool) {
	a.t.Helper()
	if a.session.Recovered != want {
		a.t.Errorf("recovered: %v, want %v", a.session.Recovered, want)
	}
}

// wantRefused checks that ana is a new socket and why.
func (a *absence) wantRefused(previous, code string) {
	a.t.Helper()
	a.wantRecovered(false)
	a.client.Expect("sala:session", `[{"recovered":false,"code":"`+code+`"}]`)
	if a.session.ID == previous {
		a.t.Error("the id is that of the old socket")
	}
	a.wantHistory(a.session.ID, "CONNECT "+previous+" "+code)
}

// wantHistory checks what backends have seen of a socket: kinds, with the reasons.
func (a *absence) wantHistory(id string, want ...string) {
	a.t.Helper()
	var got []string
	eventually(a.t, fmt.Sprintf("the history of %s is as it should be", id), func() bool {
		got = a.history(id)
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		a.t.Errorf("the history of %s is %q, want %q", id, got, want)
	}
}

func (a *absence) history(id string) (seen []string) {
	a.backend.mu.Lock()
	defer a.backend.mu.Unlock()
	for _, d := range a.backend.seen {
		if d.Event.Socket == nil || d.Event.Socket.ID != id || d.Event.Name == "nobody handles this" {
			continue
		}
		text := strings.ToUpper(d.Event.Kind.String())
		for _, more := range []string{d.Event.Name, d.Event.Room, d.Event.Reason, d.Event.PreviousSocketID, d.Event.NotRecovered} {
			if more != "" {
				text += " " + more
			}
		}
		// Which of the two it is depends on what the broker was doing.
		seen = append(seen, strings.Replace(text, "transport error", "transport close", 1))
	}
	return seen
}

// wantMetric waits until a metric has a value.
func (a *absence) wantMetric(name string, want float64) {
	a.t.Helper()
	eventually(a.t, fmt.Sprintf("%s is %v", name, want), func() bool { return a.gather()[name] == want })
}

func TestReturn(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		id, pid := ana.session.ID, ana.session.PID
		ana.send(1, "queued")
		ana.want(1)
		ana.leave()
		ana.wantMetric(`sala_sockets_away{namespace="/"}`, 1)
		for n := range 3 {
			ana.send(n+2, "kept")
		}
		ana.comeBack()
		ana.wantRecovered(true)
		if ana.session.ID != id || ana.session.PID != pid {
			t.Error("the id or the pid isn't the same")
		}
		ana.want(2, 3, 4)
		ana.send(5, "queued")
		ana.want(5)
		ana.wantHistory(id, "CONNECT", "AWAY transport close", "RESUMED")
		ana.wantMetric(`sala_sockets_away{namespace="/"}`, 0)
		ana.wantMetric(`sala_session_returns_total{result="recovered"}`, 1)
		ana.wantMetric(`sala_deliveries_kept_total{}`, 3)
	})
}

// A client that has never been idle long enough for a regular ping has its whole
// window all the same: the broker asks right after CONNECT.
func TestWholeWindowFromTheStart(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		ana.leave()
		<-time.After(110 * time.Second)
		ana.send(1, "kept")
		ana.comeBack()
		ana.wantRecovered(true)
		ana.want(1)
	})
}

// A client that never answers a ping may not know of its session, so it isn't kept
// for long.
func TestStrangersAreNotAwaitedForLong(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		stranger, session := ana.Dial(nil), &brokertest.Session{}
		stranger.Mute = true
		stranger.Recover("/", ana.token, session, nil)
		stranger.ExpectNothing()
		stranger.Close()
		<-time.After(11 * time.Second)
		ana.wantHistory(session.ID, "CONNECT", "AWAY transport close", "DISCONNECT transport close")
	})
}

func TestWindowEnds(t *testing.T) {
	withSession(t, broker.Options{Recovery: &broker.RecoveryOptions{Window: time.Minute}}, func(t *testing.T, ana *absence) {
		id := ana.session.ID
		ana.leave()
		ana.send(1, "kept")
		<-time.After(61 * time.Second)
		ana.wantHistory(id, "CONNECT", "AWAY transport close", "DISCONNECT transport close")
		ana.wantMetric(`sala_sockets_away{namespace="/"}`, 0)
		ana.wantMetric(`sala_session_bytes{}`, 0)
		ana.wantMetric(`sala_deliveries_dropped_total{reason="not recovered"}`, 1)
		ana.comeBack()
		ana.wantRefused(id, "EXPIRED")
		ana.want()
		ana.wantMetric(`sala_session_returns_total{result="EXPIRED"}`, 1)
	})
}

// Each absence has the whole window, whatever the one before has used.
func TestWindowsAreSeparate(t *testing.T) {
	withSession(t, broker.Options{Recovery: &broker.RecoveryOptions{Window: time.Minute}}, func(_ *testing.T, ana *absence) {
		for n := range 5 {
			ana.leave()
			<-time.After(50 * time.Second)
			ana.send(n, "kept")
			ana.comeBack()
			ana.wantRecovered(true)
			ana.want(n)
		}
	})
}

// An older return that is decided last takes nothing from the later one.
func TestOvertakenReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ana := startAbsence(t, broker.Options{}, brokertest.StartInMemory)
		decisions := make(chan func(eventhub.Decision), 2)
		serve(t, ana.Node, broker.SubscribeOptions{Decide: true, Kinds: []eventhub.Kind{eventhub.Connect}},
			func(s *broker.Subscription, d eventhub.Delivery) error {
				decisions <- func(decision eventhub.Decision) {
					if err := s.Decide(d.ID, decision); err != nil {
						t.Errorf("Decide: %v", err)
					}
				}
				return nil
			})
		for name, answer := range map[string]eventhub.Decision{
			"accepted": {}, "refused": {Refusal: &eventhub.Failure{Code: "NO", Message: "no"}},
		} {
			ana.leave()
			ana.send(1, "kept")
			early, late := ana.Dial(nil), ana.Dial(nil)
			packet := fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q,"offset":%q}`, ana.token, ana.session.PID, ana.session.Offset)
			early.Send(packet)
			decideEarly := <-decisions
			late.Send(packet)
			(<-decisions)(eventhub.Decision{})
			if got := late.Await("40"); !strings.Contains(got, ana.session.PID) {
				t.Fatalf("%s: the later return is answered with %s", name, got)
			}
			synctest.Wait()
			decideEarly(answer)
			synctest.Wait()
			ana.client = late
			ana.send(2, "queued")
			if answer.Refusal == nil {
				early.ExpectEnd()
			} else if got := early.Await("44"); !strings.Contains(got, `"NO"`) {
				t.Errorf("the earlier return is refused with %s", got)
			}
			history := ana.history(ana.session.ID)
			if last := history[len(history)-1]; last != "RESUMED" {
				t.Errorf("%s: the last event is %s", name, last)
			}
			// The stock client would have kept this itself.
			first, second := late.Next(), late.Next()
			if !strings.HasPrefix(first.Args, "[1,") || !strings.HasPrefix(second.Args, "[2,") {
				t.Errorf("%s: the later return gets %v and %v", name, first, second)
			}
			var args []any
			_ = json.Unmarshal([]byte(second.Args), &args)
			ana.session.Offset, _ = args[1].(string)
		}
	})
}

// refusedReturn has ana ask for her socket with a token and wants her refused.
func (a *absence) refusedReturn(token, code string) {
	a.t.Helper()
	a.client = a.Dial(nil)
	answer := a.client.Recover("/", token, a.session, nil)
	if !strings.HasPrefix(answer, "44") || reasonOf(answer) != code {
		a.t.Errorf("the return is answered with %s, want %s", answer, code)
	}
	a.client.Close()
}

// A client that was disconnected while it was away learns that once. After that it
// may connect again, as it could have if it had been there.
func TestDisconnectedWhileAway(t *testing.T) {
	clearTheirRoom := func(ana *absence) error {
		if _, err := ana.Broker.Join(ana.t.Context(), broker.Target{Users: []string{"ana"}}, []string{"room"}); err != nil {
			return err
		}
		_, err := ana.ClearRoom(ana.t.Context(), broker.ClearRoom{Room: "room", Disconnect: true})
		return err
	}
	for name, disconnect := range map[string]func(ana *absence) error{
		"by a backend": func(ana *absence) error {
			_, err := ana.Disconnect(ana.t.Context(), broker.Target{Users: []string{"ana"}}, "enough")
			return err
		},
		"with a room": clearTheirRoom,
	} {
		t.Run(name, func(t *testing.T) {
			withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
				id := ana.session.ID
				ana.leave()
				if err := disconnect(ana); err != nil {
					t.Fatal(err)
				}
				ana.wantMetric(`sala_sockets_away{namespace="/"}`, 0)
				eventually(t, "the socket's end is the last event", func() bool {
					history := ana.history(id)
					return history[len(history)-1] == "DISCONNECT DISCONNECTED"
				})
				ana.refusedReturn(ana.token, "DISCONNECTED")
				ana.comeBack()
				ana.wantRefused(id, "UNKNOWN")
			})
		})
	}
}

// A client whose token has expired while it was away, and that returns with a new one,
// connects as if it had never had a session.
func TestTokenExpiresWhileAway(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		short := issue(t, ana.Node, broker.TokenRequest{User: "ana", TTL: 30 * time.Second, Permissions: brokertest.Everything})
		ana.client.Close()
		ana.token, ana.session = short.Token, &brokertest.Session{}
		ana.comeBack()
		ana.settle()
		id := ana.session.ID
		ana.leave()
		<-time.After(31 * time.Second)
		ana.wantHistory(id, "CONNECT", "AWAY transport close", "DISCONNECT TOKEN_EXPIRED")
		ana.refusedReturn(short.Token, "TOKEN_EXPIRED")
		ana.token = ana.Token("ana", brokertest.Everything)
		ana.comeBack()
		ana.wantRefused(id, "EXPIRED")
	})
}

func TestTokenRevokedWhileAway(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		id := ana.session.ID
		ana.leave()
		<-time.After(time.Second)
		if _, err := ana.RevokeTokens(t.Context(), broker.RevokeTokens{User: "ana"}); err != nil {
			t.Fatal(err)
		}
		ana.wantHistory(id, "CONNECT", "AWAY transport close", "DISCONNECT TOKEN_REVOKED")
		ana.refusedReturn(ana.token, "TOKEN_REVOKED")
		<-time.After(time.Second)
		ana.token = ana.Token("ana", brokertest.Everything)
		ana.comeBack()
		ana.wantRefused(id, "UNKNOWN")
	})
}

// Backends are asked again when a client returns. A refusal ends the session, and the
// next attempt is asked about as any other.
func TestRefusedByBackendOnReturn(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		id := ana.session.ID
		answers := make(chan eventhub.Decision, 1)
		var asked []string
		serve(t, ana.Node, broker.SubscribeOptions{Decide: true, Kinds: []eventhub.Kind{eventhub.Connect}},
			func(s *broker.Subscription, d eventhub.Delivery) error {
				if !d.NeedsDecision {
					return nil
				}
				asked = append(asked, d.Event.Socket.ID)
				if auth := string(d.Event.Socket.Auth); auth != `{"recover":true}` {
					t.Errorf("the backend sees the auth %s", auth)
				}
				return s.Decide(d.ID, <-answers)
			})
		ana.leave()
		answers <- eventhub.Decision{Refusal: &eventhub.Failure{Code: "LATER", Message: "try later"}}
		ana.refusedReturn(ana.token, "LATER")
		ana.wantHistory(id, "CONNECT", "AWAY transport close", "DISCONNECT LATER")
		answers <- eventhub.Decision{}
		ana.comeBack()
		ana.wantRefused(id, "UNKNOWN")
		if asked[0] != id || asked[1] != ana.session.ID {
			t.Errorf("the backend was asked about %q", asked)
		}
	})
}

// Volatile events count towards what a session holds, but none of them is missing if
// it is evicted.
func TestVolatileEventsEvictNothing(t *testing.T) {
	withSession(t, broker.Options{Recovery: &broker.RecoveryOptions{MaxMessages: 16}}, func(t *testing.T, ana *absence) {
		ana.client.Mute = true
		first := brokertest.Event{}
		for n := range 40 {
			ana.report(broker.Message{Event: "v", Args: fmt.Appendf(nil, "[%d]", n), Volatile: true}, "queued")
			if e := ana.client.Next(); n == 0 {
				first = e
			}
		}
		ana.send(1, "queued")
		ana.leave()
		ana.session.Offset = first.Offset // as if the others had been on their way
		ana.comeBack()
		ana.wantRecovered(true)
		ana.want(1)
	})
}

// A notice is a message of its own each time that it is sent.
func TestNoticeIsSentTwice(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		if _, err := ana.Broker.Join(t.Context(), broker.Target{Users: []string{"ana"}}, []string{"a", "b"}); err != nil {
			t.Fatal(err)
		}
		notice := &broker.Message{Event: "closed"}
		offsets := make(map[string]bool)
		for _, room := range []string{"a", "b"} {
			if _, err := ana.ClearRoom(t.Context(), broker.ClearRoom{Room: room, Notice: notice}); err != nil {
				t.Fatal(err)
			}
			offsets[ana.client.Next().Offset] = true
		}
		if len(offsets) != 2 {
			t.Errorf("both notices have the offset %v", offsets)
		}
	})
}

// An address has at most as many sockets away as it may have connections, so
// that nobody gathers sockets by connecting and leaving.
func TestSocketsAwayByAddress(t *testing.T) {
	o := broker.Options{Limits: broker.Limits{ConnectionsPerIP: 3}}
	withSession(t, o, func(t *testing.T, ana *absence) {
		var ids []string
		for range 5 {
			ids = append(ids, ana.session.ID)
			ana.client.Close()
			synctest.Wait()
			ana.session = &brokertest.Session{}
			ana.comeBack()
			ana.settle()
		}
		ana.wantMetric(`sala_sockets_away{namespace="/"}`, 3)
		ana.wantMetric(`sala_limits_exceeded_total{limit="connections_per_ip"}`, 2)
		ana.wantHistory(ids[4], "CONNECT", "AWAY transport close", "DISCONNECT session evicted")
		<-time.After(5 * time.Minute) // long enough for ana, who doesn't answer pings, to be away and gone
		ana.wantMetric(`sala_sockets_away{namespace="/"}`, 0)
		ana.session = &brokertest.Session{}
		ana.comeBack()
		ana.settle()
		for range 5 { // who returns gives the place back
			ana.leave()
			ana.comeBack()
			ana.wantRecovered(true)
			ana.settle()
		}
	})
}

// A pong to a ping from before CONNECT doesn't prove that the client knows of its
// session. It is asked again.
func TestPongFromBeforeConnect(t *testing.T) {
	withSession(t, broker.Options{PingInterval: 5 * time.Second}, func(t *testing.T, ana *absence) {
		for name, answers := range map[string]bool{"answers": true, "answers no more": false} {
			c, session := ana.Dial(nil), &brokertest.Session{}
			c.Mute = true
			<-time.After(6 * time.Second) // the first ping is on its way
			c.Send(`40/nowhere,`)
			c.Await("44")
			c.Recover("/", ana.token, session, nil)
			c.Pong()
			c.Mute = !answers
			c.ExpectNothing()
			c.ExpectNothing()
			c.Close()
			<-time.After(15 * time.Second)
			if _, err := ana.GetSocket(t.Context(), session.ID); (err == nil) != answers {
				t.Errorf("%s: after a while, its socket is there: %v", name, err == nil)
			}
		}
	})
}

// A return that another has overtaken isn't carried out, even if it is decided first.
func TestOvertakenReturnIsDecidedFirst(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		decisions := make(chan func(), 2)
		serve(t, ana.Node, broker.SubscribeOptions{Decide: true, Kinds: []eventhub.Kind{eventhub.Connect}},
			func(s *broker.Subscription, d eventhub.Delivery) error {
				if d.NeedsDecision {
					decisions <- func() {
						if err := s.Decide(d.ID, eventhub.Decision{}); err != nil {
							t.Errorf("Decide: %v", err)
						}
					}
				}
				return nil
			})
		ana.leave()
		packet := fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q}`, ana.token, ana.session.PID)
		early, late := ana.Dial(nil), ana.Dial(nil)
		early.Send(packet)
		decideEarly := <-decisions
		late.Send(packet)
		decideLate := <-decisions
		decideEarly()
		early.ExpectEnd()
		decideLate()
		if got := late.Await("40"); !strings.Contains(got, ana.session.PID) {
			t.Errorf("the later return is answered with %s", got)
		}
		ana.wantHistory(ana.session.ID, "CONNECT", "AWAY transport close", "RESUMED")
	})
}

// A client may change its mind while backends decide about it, whether or not there is a session that it
// could have back.
func TestWithdrawnReturn(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		decisions := make(chan func(), 1)
		serve(t, ana.Node, broker.SubscribeOptions{Decide: true, Kinds: []eventhub.Kind{eventhub.Connect}},
			func(s *broker.Subscription, d eventhub.Delivery) error {
				if d.NeedsDecision {
					decisions <- func() { _ = s.Decide(d.ID, eventhub.Decision{}) }
				}
				return nil
			})
		ana.leave()
		for _, pid := range []string{ana.session.PID, "unknown"} {
			c := ana.Dial(nil)
			c.Send(fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q}`, ana.token, pid))
			<-decisions
			c.Send("41")
			synctest.Wait()
			c.Send(fmt.Sprintf(`40{"token":%q}`, ana.token))
			decide := <-decisions
			decide()
			c.Await("40")
		}
	})
}

// A client that returns knows of the session, and need not answer a ping to prove it.
func TestReturnProvesTheSession(t *testing.T) {
	withSession(t, broker.Options{}, func(_ *testing.T, ana *absence) {
		ana.session = &brokertest.Session{}
		for range 2 { // the second time she returns
			ana.client = ana.Dial(nil)
			ana.client.Mute = true
			ana.client.Recover("/", ana.token, ana.session, nil)
			ana.settle()
			ana.leave()
		}
		<-time.After(time.Minute)
		ana.comeBack()
		ana.wantRecovered(true)
	})
}

// The token of a return may be revoked while backends decide about it.
func TestRevokedWhileDeciding(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		asked, answer := make(chan struct{}), make(chan struct{})
		serve(t, ana.Node, broker.SubscribeOptions{Decide: true, Kinds: []eventhub.Kind{eventhub.Connect}},
			func(s *broker.Subscription, d eventhub.Delivery) error {
				if !d.NeedsDecision {
					return nil
				}
				close(asked)
				<-answer
				return s.Decide(d.ID, eventhub.Decision{})
			})
		ana.leave()
		issued := issue(t, ana.Node, broker.TokenRequest{User: "ana"})
		c := ana.Dial(nil)
		c.Send(fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q}`, issued.Token, ana.session.PID))
		<-asked
		if _, err := ana.RevokeTokens(t.Context(), broker.RevokeTokens{TokenID: issued.ID}); err != nil {
			t.Fatal(err)
		}
		close(answer)
		if got := c.Await(`42["sala:disconnect"`, "41"); !strings.Contains(got, "TOKEN_REVOKED") {
			t.Errorf("the client is told %s", got)
		}
		ana.wantHistory(ana.session.ID, "CONNECT", "AWAY transport close", "RESUMED", "DISCONNECT TOKEN_REVOKED")
	})
}
