package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/eventhub"
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
	serve(t, node, broker.SubscribeOptions{Group: "g", Kinds: []eventhub.Kind{eventhub.Connect}, Decide: true},
		func(s *broker.Subscription, d eventhub.Delivery) error {
			if !d.NeedsDecision {
				return nil
			}
			asked.Done()
			go func() {
				asked.Wait()
				clock.set(time.Hour)
				_ = s.Decide(d.ID, eventhub.Decision{})
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

// Clients come, join, ask, answer and reset their connection at any moment, while others emit to them, ask them, clear
// their rooms and throw them out. Nothing of them stays: no socket, room, interest, count of their address, or question.
func TestResetsLeaveNothing(t *testing.T) {
	const workers, each = 8, 120
	nodes, exchange := brokertest.StartCluster(t, 2, broker.Options{
		Rooms:     broker.RoomEvents{JoinEvent: "join"},
		Decisions: broker.DecisionOptions{Timeout: 10 * time.Minute},
		Limits:    broker.Limits{ConnectionsPerIP: workers + 1, ConnectionsPerUser: 2 * workers},
	})
	node := nodes[0]
	subscriptions := exchange.Subscriptions()
	token := node.Token("ana", broker.Permissions{Rooms: []string{"a", "b"}, Join: []string{"**"}})
	serve(t, nodes[1], broker.SubscribeOptions{Group: "g", Decide: true}, func(s *broker.Subscription, d eventhub.Delivery) error {
		switch {
		case d.NeedsDecision:
			err := s.Decide(d.ID, eventhub.Decision{Rooms: []string{"c"}})
			if late := new(broker.Error); errors.As(err, &late) && late.Reason == eventhub.ReasonDeliveryExpired {
				return nil // the client is gone, as the test ends long before the time for a decision does
			}
			return err
		case d.NeedsAck:
			return s.Reply(d.ID, eventhub.Reply{Args: json.RawMessage(`[1]`)})
		}
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for _, disturb := range []func(){
		func() { _, _ = node.Emit(ctx, broker.Target{Rooms: []string{"a"}}, broker.Message{Event: "e"}) },
		func() {
			_, _ = nodes[1].EmitWithAck(ctx, broker.Target{Everyone: true}, broker.Message{Event: "e"},
				broker.AckOptions{Timeout: 20 * time.Millisecond}, func(broker.Ack) error { return nil })
		},
		func() { _, _ = nodes[1].ClearRoom(ctx, broker.ClearRoom{Room: "b"}) },
		func() { _, _ = node.Disconnect(ctx, broker.Target{Rooms: []string{"joined"}}, "") },
	} {
		others.Go(func() {
			for pause := time.NewTicker(time.Millisecond); ctx.Err() == nil; <-pause.C {
				disturb()
			}
		})
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range each {
				resetClient(t, strings.TrimPrefix(node.URL, "http://"), token)
			}
		})
	}
	all.Wait()
	stop()
	others.Wait()
	eventually(t, "nothing is left", func() bool {
		connections, sockets := node.Load()
		rooms, err := node.ListRooms(t.Context(), broker.RoomQuery{})
		return connections+sockets == 0 && err == nil && len(rooms.Rooms) == 0 && exchange.Subscriptions() == subscriptions &&
			broker.PendingAcks(node.Broker)+broker.PendingAcks(nodes[1].Broker) == 0
	})
	for range workers + 1 { // as many as the address may have, once the last reset request has been seen
		eventually(t, "the address may have its connections again", func() bool {
			_, err := node.TryDial(nil)
			return err == nil
		})
	}
}

// resetClient does some of what a client does and resets its connection. The result depends on the moment.
func resetClient(t *testing.T, address, token string) {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() {
		_ = nc.(*net.TCPConn).SetLinger(0)
		_ = nc.Close()
	}()
	// Something to read always comes soon: the answer to the handshake, the answer to the CONNECT, messages to the rooms, or
	// the end. If a backend's decision were lost, nothing would come.
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = fmt.Fprint(nc, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: sala\r\nConnection: Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	said := []string{
		fmt.Sprintf(`40{"token":%q}`, token), `421["join","joined"]`, `422["e"]`, `430["answer"]`, `422["e"]`,
	}
	answer := make([]byte, 1024)
	for i, message := range said[:rand.N(len(said)+1)] {
		if rand.N(2) == 0 {
			n, err := nc.Read(answer)
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				t.Errorf("nothing came behind %q", said[:i])
			case bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 429 ")): // the last connection is still counted
				return
			}
		}
		_, _ = nc.Write(ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte(message)))))
		for end := time.Now().Add(rand.N(200 * time.Microsecond)); time.Now().Before(end); {
		}
	}
}
