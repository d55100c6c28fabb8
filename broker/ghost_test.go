package broker_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/events"
	"github.com/salabroker/sala/broker/token"
)

// A token can end while backends decide about its client. The socket is let in and ended at once, whichever of the two
// the scheduler runs first, and nothing of it stays.
func TestTokenEndsWhileItsClientIsLetIn(t *testing.T) {
	const clients, each = 8, 60
	var clock jumpingClock
	node := brokertest.Start(t, broker.Options{
		Tokens:    brokertest.Keyring(t, token.Options{Now: clock.now}),
		Decisions: broker.DecisionOptions{Required: true},
	})
	token := issue(t, node, broker.TokenRequest{User: "ana", TTL: time.Minute, Permissions: broker.Permissions{Rooms: []string{"a"}}}).Token
	var asked sync.WaitGroup // clients of a round about whom nobody has decided
	serve(t, node, broker.SubscribeOptions{Group: "g", Kinds: []events.Kind{events.Connect}, Decide: true},
		func(s *broker.Subscription, d events.Delivery) error {
			if !d.NeedsDecision {
				return nil
			}
			asked.Done()
			go func() {
				asked.Wait()
				clock.set(time.Hour)
				_ = s.Decide(d.ID, events.Decision{})
			}()
			return nil
		})
	for range each {
		clock.set(0)
		asked.Add(clients)
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				c, err := node.TryDial(nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				if answer := c.Connect("/", map[string]string{"token": token}); !strings.HasPrefix(answer, "40") {
					t.Errorf("connect is answered with %s", answer)
					return
				}
				if e := c.Next(); e.Name != "sala:disconnect" || !strings.Contains(e.Args, "TOKEN_EXPIRED") {
					t.Errorf("got %+v, want the end of the token", e)
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
	}
	eventually(t, "no socket is left", func() bool {
		list, err := node.ListSockets(t.Context(), broker.SocketQuery{})
		return err == nil && len(list.Sockets) == 0
	})
	if rooms, err := node.ListRooms(t.Context(), broker.RoomQuery{}); err != nil || len(rooms.Rooms) > 0 {
		t.Errorf("rooms are left: %+v, %v", rooms, err)
	}
}
