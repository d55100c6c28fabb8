package nodeproxy_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// TestDrainInBetween drains a node that only passes requests on. A poll is answered, so that the next
// goes elsewhere; a client over WebSocket is told to connect again, after what was sent to it.
func TestDrainInBetween(t *testing.T) {
	nodes := startCluster(t, 2, clusterKey, broker.Options{})
	polling, upgraded := join(t, "ana", nodes...), join(t, "ben", nodes...)
	ws := upgraded.upgrade(nodes[1])
	// An answer over it says that the node of the session has finished the upgrade.
	if err := ws.WriteMessage(websocket.TextMessage, []byte(`427["x"]`)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, ws); !strings.HasPrefix(got, "437") {
		t.Fatalf("over WebSocket comes %s", got)
	}
	answered := make(chan answer)
	go func() {
		got, err := trySend(t.Context(), http.MethodGet, polling.url(nodes[1]), "", nil)
		if err != nil {
			t.Error(err)
		}
		answered <- got
	}()
	eventually(t, "the poll is passed on", func() bool { return nodes[1].forwarding("polling") == 1 })
	if _, err := nodes[1].Drain(t.Context(), nodes[1].id); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got.String() != "200 6" {
		t.Errorf("the poll is answered with %v", got)
	}
	if got := read(t, ws); !strings.HasPrefix(got, `42["sala:disconnect",{"code":"DRAINING"`) {
		t.Errorf("over WebSocket comes %s", got)
	}
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("its end is %v", err)
	}
	_ = ws.Close()

	// Later polls at the node are short, and it passes no WebSocket on any longer.
	if got := polling.get(nodes[1]); got.String() != "200 6" {
		t.Errorf("a later poll gets %v", got)
	}
	at := strings.NewReplacer("http", "ws", "=polling", "=websocket").Replace(polling.url(nodes[1]))
	if _, resp, err := websocket.DefaultDialer.DialContext(t.Context(), at, nil); err == nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("an upgrade: %v", err)
	}
	emit(t, nodes[0], 1)
	if got := polling.receive(1, nodes[1], nodes[0]); got[0] != `42["n",1]` {
		t.Errorf("the session gets %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := nodes[1].Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// TestDrainWhileUpgrading drains a node through which a client is upgrading to a WebSocket. It is sent
// away once it has finished, and not only when the node ends.
func TestDrainWhileUpgrading(t *testing.T) {
	nodes := startCluster(t, 2, clusterKey, broker.Options{})
	ws := join(t, "ana", nodes...).probe(nodes[1])
	eventually(t, "the WebSocket is passed on", func() bool { return nodes[1].forwarding("websocket") == 1 })
	before := nodes[0].metric("sala_cluster_received_requests_total", "ok")
	if _, err := nodes[1].Drain(t.Context(), nodes[1].id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node of the session has been asked", func() bool {
		return nodes[0].metric("sala_cluster_received_requests_total", "ok") > before
	})
	write(t, ws, "5")
	if got := read(t, ws); !strings.HasPrefix(got, `42["sala:disconnect",{"code":"DRAINING"`) {
		t.Errorf("over WebSocket comes %s", got)
	}
}

// TestShutdownCutsWhatStays stops a node in between whose client ignores that it shall go.
func TestShutdownCutsWhatStays(t *testing.T) {
	nodes := startCluster(t, 2, clusterKey, broker.Options{})
	ws := join(t, "ana", nodes...).probe(nodes[1]) // the upgrade is never completed
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := nodes[1].Shutdown(ctx); err == nil {
		t.Error("nothing was cut")
	}
	if _, _, err := ws.ReadMessage(); err == nil {
		t.Error("the WebSocket is still open")
	}
}

// TestSessionsOutliveADrainInBetween drains a node that passes on the WebSocket of a client that may
// return. The node of its session stays, and so does its socket.
func TestSessionsOutliveADrainInBetween(t *testing.T) {
	nodes := startCluster(t, 2, clusterKey, broker.Options{Recovery: &broker.RecoveryOptions{Window: time.Minute}})
	token := nodes[0].Token("ana", brokertest.Everything)
	ws := joinWith(t, map[string]any{"token": token, "recover": true}, nodes...).upgrade(nodes[1])
	if _, err := nodes[1].Drain(t.Context(), nodes[1].id); err != nil {
		t.Fatal(err)
	}
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			break
		}
	}
	eventually(t, "the socket is away", func() bool {
		list, err := nodes[0].ListSockets(t.Context(), broker.SocketQuery{})
		return err == nil && len(list.Sockets) == 1 && list.Sockets[0].Away
	})
}
