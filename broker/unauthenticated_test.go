package broker_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// TestUnauthenticatedConnectionsEnd opens connections over each transport that connect
// to no namespace. They are closed; one that has a socket stays.
func TestUnauthenticatedConnectionsEnd(t *testing.T) {
	registry := prometheus.NewRegistry()
	node := brokertest.Start(t, broker.Options{ConnectTimeout: 2 * time.Second, Metrics: registry})
	neighbour := node.Join("bob")

	silent, refused := node.Dial(nil), node.Dial(nil)
	refused.Send("40/nowhere,") // and gains nothing by it
	pollSession(t, node)
	probe := halfUpgrade(t, node, pollSession(t, node))

	silent.ExpectEnd()
	refused.ExpectEnd()
	if _, message, err := probe.ReadMessage(); err == nil {
		t.Errorf("the half of an upgrade is still there: %s", message)
	}
	eventually(t, "all four have ended", func() bool {
		return gather(t, registry)[`sala_connections_closed_total{reason="forced close"}`] == 4
	})
	neighbour.ExpectNothing()
}

// pollSession opens a session over long-polling and returns its id.
func pollSession(t *testing.T, node *brokertest.Node) string {
	t.Helper()
	status, _, body := poll(t, node, "")
	var handshake struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(body, "0")), &handshake); err != nil || status != http.StatusOK {
		t.Fatalf("the handshake was answered with %d %s", status, body)
	}
	return handshake.SID
}

// halfUpgrade begins an upgrade as far as the answer to the probe.
func halfUpgrade(t *testing.T, node *brokertest.Node, sid string) *websocket.Conn {
	t.Helper()
	url := "ws" + strings.TrimPrefix(node.URL, "http") + "/socket.io/?EIO=4&transport=websocket&sid=" + sid
	ws, resp, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(10 * time.Second))
	if err := ws.WriteMessage(websocket.TextMessage, []byte("2probe")); err != nil {
		t.Fatal(err)
	}
	if _, answer, err := ws.ReadMessage(); string(answer) != "3probe" {
		t.Fatalf("the probe was answered with %q, %v", answer, err)
	}
	return ws
}
