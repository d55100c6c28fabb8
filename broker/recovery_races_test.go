package broker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/eventhub"
)

// ways are what a client does between two connections. Each returns the connection over
// which the client goes on.
var ways = map[string]func(ana *absence) *brokertest.Client{
	"after a cut": func(ana *absence) *brokertest.Client {
		ana.client.Close()
		return ana.ReturnTo(ana.token, ana.session)
	},
	"before the old connection ends": func(ana *absence) *brokertest.Client {
		old := ana.client
		c := ana.ReturnTo(ana.token, ana.session)
		go func() { // whatever comes of the old connection now is late
			old.TrySend("3")
			old.TrySend(`42["late"]`)
			old.Close()
		}()
		return c
	},
	"cut again between CONNECT and the first event": func(ana *absence) *brokertest.Client {
		ana.client.Close()
		ana.ReturnTo(ana.token, ana.session).Close()
		return ana.ReturnTo(ana.token, ana.session)
	},
	"over two connections at once": func(ana *absence) *brokertest.Client {
		ana.client.Close()
		first, second := ana.Dial(nil), ana.Dial(nil)
		for _, c := range []*brokertest.Client{first, second} {
			c.TrySend(fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q,"offset":%q}`, ana.token, ana.session.PID, ana.session.Offset))
		}
		for _, c := range []*brokertest.Client{first, second} {
			c.AwaitAnything() // what is sent over one connection may arrive after what another one brings
		}
		return ana.ReturnTo(ana.token, ana.session)
	},
}

// TestNothingIsLostOrDoubled emits all the time to a client that keeps losing its
// connection, at any moment.
func TestNothingIsLostOrDoubled(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			ana := startAbsence(t, broker.Options{Recovery: &broker.RecoveryOptions{MaxMessages: 100_000}}, brokertest.Start)
			const total = 4000
			var received atomic.Int64
			var emitting sync.WaitGroup
			defer emitting.Wait()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			emitting.Go(func() {
				for n := range int64(total) {
					for n > received.Load()+200 { // so that cuts fall everywhere
						if ctx.Err() != nil {
							return
						}
						<-time.After(10 * time.Microsecond)
					}
					args := fmt.Appendf(nil, "[%d]", n+1)
					if _, err := ana.Emit(t.Context(), broker.Target{Users: []string{"ana"}}, broker.Message{Event: "e", Args: args}); err != nil {
						t.Errorf("Emit: %v", err)
					}
				}
			})
			cuts := 0
			for received.Load() < total {
				for range min(rand.Int64N(150), total-received.Load()) {
					e, ok := ana.client.TryNext()
					if !ok {
						break
					}
					if want := fmt.Sprintf("[%d]", received.Add(1)); e.Args != want {
						t.Fatalf("after %d cuts ana got %s, want %s", cuts, e.Args, want)
					}
				}
				if received.Load() < total {
					cuts++
					ana.client = way(ana)
					if !ana.session.Recovered {
						t.Fatalf("after %d cuts ana isn't recovered", cuts)
					}
				}
			}
			ana.want()
			if late := ana.backend.has(eventhub.Message); len(late) > 0 && strings.Contains(strings.Join(late, " "), "late") {
				t.Errorf("events of replaced connections have come: %q", late)
			}
			if _, err := ana.Disconnect(t.Context(), broker.Target{Users: []string{"ana"}}, ""); err != nil {
				t.Error(err)
			}
			ana.wantMetric(`sala_session_bytes{}`, 0)
		})
	}
}

// rounds is how often a race is tried whose moment is a matter of microseconds.
const rounds = 60

// race has ana lose her connection, and then return at about the time at which
// something else happens. It returns the packet that answers her, which may be empty.
func (a *absence) race(other func(ctx context.Context) error) (answer string) {
	a.t.Helper()
	a.leave()
	c := a.Dial(nil)
	var both sync.WaitGroup
	start := make(chan struct{})
	both.Go(func() {
		<-start
		for end := time.Now().Add(rand.N(300 * time.Microsecond)); time.Now().Before(end); {
		}
		if err := other(a.t.Context()); err != nil {
			a.t.Error(err)
		}
	})
	both.Go(func() {
		<-start
		for end := time.Now().Add(rand.N(300 * time.Microsecond)); time.Now().Before(end); {
		}
		answer = c.Recover("/", a.token, a.session, nil)
	})
	close(start)
	both.Wait()
	a.client = c
	return answer
}

// ended checks that a socket has ended once and left nothing.
func (a *absence) ended(id string) {
	a.t.Helper()
	eventually(a.t, "the socket has ended", func() bool {
		ends := strings.Count(strings.Join(a.history(id), "\n"), "DISCONNECT ")
		if ends > 1 {
			a.t.Fatalf("its history is %q", a.history(id))
		}
		return ends == 1
	})
	if info, err := a.GetSocket(a.t.Context(), id); err == nil {
		a.t.Errorf("the socket is still there: %+v", info)
	}
}

func everyoneOf(user string) broker.Target { return broker.Target{Users: []string{user}} }

// TestReturnAgainst lets returns race with what ends a socket or moves it.
func TestReturnAgainst(t *testing.T) {
	t.Run("a kick", func(t *testing.T) {
		ana := startAbsence(t, broker.Options{}, brokertest.Start)
		for range rounds {
			id := ana.session.ID
			answer := ana.race(func(ctx context.Context) error {
				out, err := ana.Disconnect(ctx, everyoneOf("ana"), "enough")
				if err == nil && out.Matched == 0 {
					return errors.New("nobody was disconnected")
				}
				return err
			})
			switch {
			case strings.HasPrefix(answer, "44"):
				expectCode(t, "the return", answer, "DISCONNECTED")
			case ana.session.Recovered:
				ana.client.Await("41")
			default: // the socket had ended, and the new one may have been hit as well
				t.Fatalf("the return is answered with %s", answer)
			}
			ana.ended(id)
			ana.renew()
		}
		ana.wantNothingLeft()
	})
	t.Run("a revocation", func(t *testing.T) {
		ana := startAbsence(t, broker.Options{}, brokertest.Start)
		for range rounds {
			id := ana.session.ID
			issued := issue(t, ana.Node, broker.TokenRequest{User: "ana", Permissions: brokertest.Everything})
			ana.token = issued.Token
			answer := ana.race(func(ctx context.Context) error {
				_, err := ana.RevokeTokens(ctx, broker.RevokeTokens{TokenID: issued.ID})
				return err
			})
			if strings.HasPrefix(answer, "40") {
				if !strings.Contains(ana.client.Await("41", `42["sala:disconnect"`), "TOKEN_REVOKED") {
					t.Error("the client isn't told why")
				}
				ana.ended(ana.session.ID)
			} else {
				expectCode(t, "the return", answer, "TOKEN_REVOKED")
				if _, err := ana.Disconnect(t.Context(), everyoneOf("ana"), ""); err != nil { // its first token is valid
					t.Error(err)
				}
				ana.ended(id)
			}
			ana.token = ana.Token("ana", brokertest.Everything)
			ana.renew()
		}
		ana.wantNothingLeft()
	})
	t.Run("the clearing of a room", func(t *testing.T) {
		ana := startAbsence(t, broker.Options{}, brokertest.Start)
		for range rounds {
			if _, err := ana.Broker.Join(t.Context(), everyoneOf("ana"), []string{"room"}); err != nil {
				t.Fatal(err)
			}
			ana.race(func(ctx context.Context) error {
				_, err := ana.ClearRoom(ctx, broker.ClearRoom{Room: "room", Notice: &broker.Message{Event: "closed"}})
				return err
			})
			ana.wantRecovered(true)
			ana.client.Expect("closed", "[]")
			ana.client.ExpectNothing()
			if rooms := roomsOf(t, ana.Node, ana.session.ID); len(rooms) > 0 {
				t.Errorf("ana is in %v", rooms)
			}
		}
	})
	t.Run("the end of the window", func(t *testing.T) {
		const window = 5 * time.Millisecond
		ana := startAbsence(t, broker.Options{Recovery: &broker.RecoveryOptions{Window: window}}, brokertest.Start)
		for range rounds {
			id := ana.session.ID
			ana.leaveUnseen()
			c := ana.Dial(nil)
			for end := time.Now().Add(window - 500*time.Microsecond + rand.N(time.Millisecond)); time.Now().Before(end); {
			}
			c.Recover("/", ana.token, ana.session, nil)
			ana.client = c
			if ana.session.Recovered {
				ana.send(1, "queued")
				ana.want(1)
				continue
			}
			if e := c.Next(); e.Args != `[{"recovered":false,"code":"EXPIRED"}]` {
				t.Errorf("the client is told %s", e.Args)
			}
			ana.ended(id)
			ana.settle()
		}
	})
	t.Run("a late goodbye over the old connection", func(t *testing.T) {
		ana := startAbsence(t, broker.Options{}, brokertest.Start)
		for range rounds {
			old, id := ana.client, ana.session.ID
			c := ana.Dial(nil)
			var goodbye sync.WaitGroup
			goodbye.Go(func() { old.TrySend("41") })
			c.Recover("/", ana.token, ana.session, nil)
			goodbye.Wait()
			ana.client = c
			if ana.session.Recovered {
				ana.send(1, "queued")
				ana.want(1)
				continue
			}
			if e := c.Next(); e.Args != `[{"recovered":false,"code":"UNKNOWN"}]` {
				t.Errorf("the client is told %s", e.Args)
			}
			ana.ended(id)
			ana.settle()
		}
	})
	t.Run("a drain", func(t *testing.T) {
		for range rounds / 6 {
			ana := startAbsence(t, broker.Options{}, brokertest.Start)
			id := ana.session.ID
			ana.leaveUnseen()
			c := ana.Dial(nil)
			var drained sync.WaitGroup
			drained.Go(func() {
				if err := ana.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
			packet := fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q}`, ana.token, ana.session.PID)
			c.TrySend(packet)
			c.ExpectEnd()
			drained.Wait()
			ana.ended(id)
			ana.wantNothingLeft()
		}
	})
}

// TestEndsInOneStep watches how a socket ends whose client is away. A client that returned after
// the socket had ended, and before its session had, wouldn't learn why it isn't recovered.
func TestEndsInOneStep(t *testing.T) {
	ana := startAbsence(t, broker.Options{}, brokertest.Start)
	for range rounds / 6 {
		ana.leave()
		look := broker.WatchEnd(ana.Broker, ana.session.ID)
		var begun, watching sync.WaitGroup
		begun.Add(3)
		for range 3 {
			watching.Go(func() {
				begun.Done()
				for ended := false; !ended; {
					gone, over := look()
					if gone && !over {
						t.Error("the socket has ended, and its client can return")
					}
					ended = gone
				}
			})
		}
		begun.Wait()
		if _, err := ana.Disconnect(t.Context(), everyoneOf("ana"), "enough"); err != nil {
			t.Error(err)
		}
		watching.Wait()
		ana.renew()
	}
}

// renew gives ana a new session.
func (a *absence) renew() {
	a.t.Helper()
	a.client.Close()
	a.session = &brokertest.Session{}
	a.comeBack()
	a.settle()
}

// leaveUnseen cuts ana's connection. Whether the broker has noticed is open.
func (a *absence) leaveUnseen() { a.client.Close() }

// wantNothingLeft disconnects everybody and checks that no session is left.
func (a *absence) wantNothingLeft() {
	a.t.Helper()
	if _, err := a.Disconnect(a.t.Context(), broker.Target{Everyone: true}, ""); err != nil {
		a.t.Error(err)
	}
	for _, metric := range []string{`sala_sockets{namespace="/"}`, `sala_sockets_away{namespace="/"}`, `sala_session_bytes{}`} {
		a.wantMetric(metric, 0)
	}
}

// A list may describe a socket for the first time while it goes away.
func TestDescribedWhileItGoesAway(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Recovery: &broker.RecoveryOptions{}})
	token := node.Token("ana", brokertest.Everything)
	listing, stop := context.WithCancel(t.Context())
	var lists sync.WaitGroup
	lists.Go(func() {
		for listing.Err() == nil {
			list, err := node.ListSockets(t.Context(), broker.SocketQuery{})
			for _, s := range list.Sockets {
				if s.Address == "" {
					t.Errorf("a socket has no address: %+v, %v", s, err)
				}
			}
		}
	})
	for range rounds {
		node.ReturnTo(token, &brokertest.Session{}).Close()
	}
	stop()
	lists.Wait()
}

// A request to return may arrive only after its client has given it up and has returned
// over another connection. Nobody answers there, so the client stays connected. What is
// answered before, such as an earlier ping, proves nothing.
func TestLateRequestToReturn(t *testing.T) {
	for name, pings := range map[string]int{"over a new connection": 0, "over one that answers an earlier ping": 1} {
		t.Run(name, func(t *testing.T) {
			withSession(t, broker.Options{ConnectTimeout: time.Minute}, func(t *testing.T, ana *absence) {
				late := ana.Dial(nil)
				late.Mute = true
				for range pings {
					<-time.After(26 * time.Second)
					ana.settle() // answers a ping
				}
				late.Send(fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q}`, ana.token, ana.session.PID))
				for range pings {
					late.Pong()
				}
				synctest.Wait()
				ana.send(1, "queued")
				ana.want(1)
				<-time.After(20 * time.Second)
				late.ExpectEnd()
				ana.send(2, "queued")
				ana.want(2)
				ana.wantHistory(ana.session.ID, "CONNECT")
			})
		})
	}
}

// A client may withdraw its request to return, and ask again over the same connection.
func TestWithdrawnRequestToReturn(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		c := ana.Dial(nil)
		c.Mute = true
		for range 20 {
			c.Send(fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q}`, ana.token, ana.session.PID))
			c.Send("41")
		}
		synctest.Wait()
		ana.send(1, "queued")
		ana.want(1)
		ana.wantHistory(ana.session.ID, "CONNECT")
		c.Send(fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q}`, ana.token, ana.session.PID))
		c.Mute = false
		if got := c.Await("40"); !strings.Contains(got, ana.session.PID) {
			t.Errorf("the return is answered with %s", got)
		}
		ana.wantHistory(ana.session.ID, "CONNECT", "AWAY connection replaced", "RESUMED")
	})
}
