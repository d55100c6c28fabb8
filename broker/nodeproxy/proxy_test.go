package nodeproxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// emit sends an event with one number to all sockets, from a node.
func emit(t *testing.T, node *node, n int) {
	t.Helper()
	_, err := node.Emit(t.Context(), broker.Target{Namespace: "/", Everyone: true}, broker.Message{Event: "n", Args: fmt.Appendf(nil, "[%d]", n)})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPollingAtAnyNode sends each request of a session to the next node.
func TestPollingAtAnyNode(t *testing.T) {
	for name, key := range map[string][]byte{"with a cluster key": clusterKey, "without": nil} {
		t.Run(name, func(t *testing.T) {
			nodes := startCluster(t, 3, key, broker.Options{})
			s := join(t, "ana", nodes...)
			var want []string
			for i := range 60 {
				emit(t, nodes[i%3], i)
				want = append(want, fmt.Sprintf(`42["n",%d]`, i))
				if i%10 != 9 {
					continue
				}
				if got := s.receive(len(want), nodes[1], nodes[2], nodes[0]); !slices.Equal(got, want) {
					t.Fatalf("it receives %q, want %q", got, want)
				}
				want = nil
			}
			for i := range 9 {
				s.post(nodes[i%3], fmt.Sprintf(`42["say",%d]`, i)+separator+`451-["say",{"_placeholder":true,"num":0}]`+separator+"bAAH/")
				want = append(want, fmt.Sprintf(`42["said",%d]`, i), `451-["said",{"_placeholder":true,"num":0}]`, "bAAH/")
			}
			if got := s.receive(len(want), nodes[2], nodes[0], nodes[1]); !slices.Equal(got, want) {
				t.Fatalf("it receives %q, want %q", got, want)
			}
		})
	}
}

// TestUpgradeAtAnotherNode upgrades a session over a node that doesn't have it, in the middle of
// messages in both directions.
func TestUpgradeAtAnotherNode(t *testing.T) {
	nodes := startCluster(t, 2, clusterKey, broker.Options{})
	s := join(t, "ana", nodes...)
	emit(t, nodes[0], 0)
	ws := s.probe(nodes[1])
	emit(t, nodes[1], 1)
	got := s.receive(1, nodes[1])
	write(t, ws, "5")
	for i := 2; i < 100; i++ {
		emit(t, nodes[i%2], i)
		write(t, ws, fmt.Sprintf(`42["say",%d]`, i))
	}
	write(t, ws, `451-["say",{"_placeholder":true,"num":0}]`)
	large := bytes.Repeat([]byte{0, 1, 2, 255}, 100_000)
	if err := ws.WriteMessage(websocket.BinaryMessage, large); err != nil {
		t.Fatal(err)
	}
	for len(got) < 2+2*98+2 {
		got = append(got, read(t, ws))
	}
	var numbers, said []string
	for _, packet := range got {
		if strings.Contains(packet, `"n"`) {
			numbers = append(numbers, packet)
		} else {
			said = append(said, packet)
		}
	}
	for i, packet := range numbers {
		if want := fmt.Sprintf(`42["n",%d]`, i); packet != want {
			t.Fatalf("message %d is %s", i, packet)
		}
	}
	for i, packet := range said[:98] {
		if want := fmt.Sprintf(`42["said",%d]`, i+2); packet != want {
			t.Fatalf("echo %d is %s", i, packet)
		}
	}
	if said[99] != string(large) {
		t.Error("an attachment came back changed")
	}
	if n := nodes[1].forwarding("websocket"); n != 1 {
		t.Errorf("%v WebSockets are passed on", n)
	}
	_ = ws.Close()
	eventually(t, "the WebSocket ends at both nodes", func() bool {
		return nodes[0].connections() == 0 && nodes[1].forwarding("websocket") == 0
	})
}

// TestEndsArePassedOn ends a WebSocket that is passed on, in every way and from either side.
func TestEndsArePassedOn(t *testing.T) {
	nodes := startCluster(t, 2, clusterKey, broker.Options{})
	ended := func() bool {
		return nodes[0].connections() == 0 && nodes[1].forwarding("websocket") == 0
	}
	for name, end := range map[string]func(ws *websocket.Conn){
		"the client closes": func(ws *websocket.Conn) {
			if err := ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				t.Errorf("the client gets %v", err)
			}
			_ = ws.Close()
		},
		"the client's connection is reset": func(ws *websocket.Conn) {
			_ = tcp(ws).SetLinger(0)
			_ = ws.NetConn().Close()
		},
		"the client stops sending": func(ws *websocket.Conn) {
			_ = tcp(ws).CloseWrite()
			if _, _, err := ws.ReadMessage(); err == nil {
				t.Error("the client gets a message")
			}
		},
		"the client breaks the protocol": func(ws *websocket.Conn) {
			if err := ws.WriteMessage(websocket.TextMessage, []byte{0xff}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseInvalidFramePayloadData) {
				t.Errorf("the client gets %v", err)
			}
			_ = ws.Close()
		},
		"a backend disconnects it": func(ws *websocket.Conn) {
			if _, err := nodes[1].Disconnect(t.Context(), broker.Target{Namespace: "/", Everyone: true}, "enough"); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`42["sala:disconnect",{"code":"DISCONNECTED","reason":"enough"}]`, "41"} {
				if got := read(t, ws); got != want {
					t.Errorf("the client gets %s, want %s", got, want)
				}
			}
			_ = ws.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			ws := join(t, "ana", nodes...).upgrade(nodes[1])
			emit(t, nodes[0], 1)
			if got := read(t, ws); got != `42["n",1]` {
				t.Fatalf("the client gets %s", got)
			}
			end(ws)
			eventually(t, "it ends at both nodes", ended)
		})
	}
}

// TestGivenUpPoll gives up polls at a node that passes them on. Without a t, by which the poll could
// come again, the session ends at once; with one, the repeat gets the answer at yet another node.
func TestGivenUpPoll(t *testing.T) {
	nodes := startCluster(t, 3, clusterKey, broker.Options{})
	s := join(t, "ana", nodes...)
	giveUp := func(at string) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := trySend(ctx, http.MethodGet, at, "", nil)
			done <- err
		}()
		eventually(t, "the poll waits at the session's node", func() bool { return nodes[1].forwarding("polling") == 1 })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		eventually(t, "the poll is given up", func() bool { return nodes[1].forwarding("polling") == 0 })
	}
	giveUp(s.url(nodes[1]))
	emit(t, nodes[0], 1)
	if got := send(t, http.MethodGet, s.repeated(nodes[2]), "", nil); got.body != `42["n",1]` {
		t.Errorf("the repeat gets %v", got)
	}
	if got := send(t, http.MethodGet, s.repeated(nodes[0]), "", nil); got.body != `42["n",1]` {
		t.Errorf("a second repeat gets %v", got)
	}
	eventually(t, "the session ends", func() bool {
		giveUp(strings.Replace(s.url(nodes[1]), "t=t", "t=1", 1)) // a number counts as none
		return nodes[0].connections() == 0
	})
}

// TestRepeatedPost sends a POST again to another node. It is delivered once.
func TestRepeatedPost(t *testing.T) {
	nodes := startCluster(t, 3, clusterKey, broker.Options{})
	s := join(t, "ana", nodes...)
	s.post(nodes[1], `42["say",1]`)
	for _, node := range []*node{nodes[2], nodes[0], nodes[1]} {
		if got := send(t, http.MethodPost, s.repeated(node), `42["say",1]`, nil); got.body != "ok" {
			t.Errorf("the repeat gets %v", got)
		}
	}
	s.post(nodes[2], `42["say",2]`)
	if got := s.receive(2, nodes...); !slices.Equal(got, []string{`42["said",1]`, `42["said",2]`}) {
		t.Errorf("there came %q", got)
	}
}

// TestLargestMessage posts the largest message, and one that is too large, through another node.
func TestLargestMessage(t *testing.T) {
	nodes := startCluster(t, 2, clusterKey, broker.Options{MaxMessageBytes: 3 << 20})
	s := join(t, "ana", nodes...)
	text := `42["say","` + strings.Repeat("x", 3<<20-20) + `"]`
	if got := s.post(nodes[1], text); got.body != "ok" {
		t.Fatal(got)
	}
	if got := s.receive(1, nodes[1]); len(got[0]) != len(text)+1 {
		t.Errorf("%d bytes of %d came back", len(got[0]), len(text)+1)
	}
	// The owner answers a message that is too large before it has read it, and closes the
	// connection. So the answer may get lost, also on the direct way. The session ends in any case.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := trySend(ctx, http.MethodPost, s.url(nodes[1]), strings.Repeat("y", 6<<20), nil)
	if err == nil && got.status != http.StatusRequestEntityTooLarge && got.String() != unknown {
		t.Errorf("too large: %v", got)
	}
	eventually(t, "the session ends", func() bool { return nodes[0].connections() == 0 })
}

// TestUnknownSessions compares the answers for sessions that no node has with those of a node that is
// alone.
func TestUnknownSessions(t *testing.T) {
	alone := &node{Node: brokertest.Start(t, broker.Options{})}
	nodes := startCluster(t, 2, clusterKey, broker.Options{})
	ended := join(t, "ana", nodes...)
	ended.post(nodes[1], "1")
	eventually(t, "the session has ended", func() bool { return nodes[0].connections() == 0 })
	for what, sid := range map[string]string{
		"random":            "abcdefghijklmnopqrstuvwx",
		"of a foreign node": "ABCDEFGHIJabcdefghijklmnopqrstuvwx",
		"of this node":      nodes[1].id + "abcdefghijklmnopqrstuvwx",
		"of another node":   nodes[0].id + "abcdefghijklmnopqrstuvwx",
		"a node's id":       nodes[0].id,
		"short":             "x",
		"long":              nodes[0].id + strings.Repeat("x", 10_000),
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
			for _, body := range []string{"1", "40"} {
				want, got := &session{t: t, sid: sid}, &session{t: t, sid: sid}
				a := send(t, method, want.url(alone), body, nil)
				b := send(t, method, got.url(nodes[1]), body, nil)
				if a.String() != b.String() {
					t.Errorf("%s: %s %q gets %v, want %v", what, method, body, b, a)
				}
			}
		}
		s := &session{t: t, sid: sid}
		_, resp, err := websocket.DefaultDialer.DialContext(t.Context(), strings.NewReplacer("http", "ws", "=polling", "=websocket").Replace(s.url(nodes[1])), nil)
		if err == nil || resp == nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: a WebSocket gets %+v, %v", what, resp, err)
		}
	}
}

// TestUnreachableNode asks for a session of a node whose address leads nowhere, elsewhere, or to
// another node.
func TestUnreachableNode(t *testing.T) {
	elsewhere := brokertest.Start(t, broker.Options{})
	for name, at := range map[string]func(nodes []*node) string{
		"nowhere":         func([]*node) string { return "http://127.0.0.1:1" },
		"elsewhere":       func([]*node) string { return elsewhere.URL },
		"to another node": func(nodes []*node) string { return nodes[0].URL },
	} {
		t.Run(name, func(t *testing.T) {
			nodes := startAs(t, 2, broker.Options{}, func(before []*node, c *broker.ClusterOptions) {
				c.Keys = [][]byte{clusterKey}
				if len(before) > 0 {
					c.URL = at(before)
				}
			})
			s := join(t, "ana", nodes[1])
			if got := s.get(nodes[0]); got.String() != unknown {
				t.Errorf("the poll gets %v", got)
			}
			emit(t, nodes[0], 1)
			if got := s.receive(1, nodes[1]); got[0] != `42["n",1]` {
				t.Errorf("its own node answers %q", got)
			}
		})
	}
}

// TestWithoutTheBus takes the bus away. The nodes still know each other, and pass requests on.
func TestWithoutTheBus(t *testing.T) {
	exchange := clustertest.NewExchange()
	nodes := startOn(t, exchange, 2, broker.Options{}, func(_ []*node, c *broker.ClusterOptions) { c.Keys = [][]byte{clusterKey} })
	s := join(t, "ana", nodes...)
	exchange.SetDown(true)
	defer exchange.SetDown(false)
	eventually(t, "the nodes notice", func() bool { return nodes[0].Isolated() && nodes[1].Isolated() })
	s.post(nodes[1], `42["say",1]`)
	if got := s.receive(1, nodes[1]); got[0] != `42["said",1]` {
		t.Errorf("it receives %q", got)
	}
}

const unknown = "400 " + `{"code":1,"message":"Session ID unknown"}` + "\n"
