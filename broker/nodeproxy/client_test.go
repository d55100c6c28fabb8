package nodeproxy_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

const separator = "\x1e" // between packets of a payload

var clusterKey = []byte("a key of the tests that is long enough to sign")

// node is a broker in a cluster.
type node struct {
	*brokertest.Node
	t        *testing.T
	id       string
	registry *prometheus.Registry
}

// startCluster runs nodes that know each other, without a cluster key if key is nil.
func startCluster(t *testing.T, n int, key []byte, o broker.Options) []*node {
	t.Helper()
	return startAs(t, n, o, func(_ []*node, c *broker.ClusterOptions) {
		if key != nil {
			c.Keys = [][]byte{key}
		}
	})
}

// startAs runs nodes that know each other. adjust gets the options of each, and the nodes before it.
func startAs(t *testing.T, n int, o broker.Options, adjust func(before []*node, c *broker.ClusterOptions)) []*node {
	t.Helper()
	return startOn(t, clustertest.NewExchange(), n, o, adjust)
}

// startOn is startAs on an exchange that may have other nodes.
func startOn(t *testing.T, exchange *clustertest.Exchange, n int, o broker.Options, adjust func(before []*node, c *broker.ClusterOptions)) []*node {
	t.Helper()
	var nodes []*node
	o.Relay = append(o.Relay, broker.RelayRule{Event: "say", Emit: "said", To: broker.RelayToSender})
	for range n {
		each := o
		each.Cluster = &broker.ClusterOptions{Bus: exchange.Bus()}
		adjust(nodes, each.Cluster)
		registry := prometheus.NewRegistry()
		each.Metrics = registry
		nodes = append(nodes, &node{Node: brokertest.Start(t, each), t: t, registry: registry})
	}
	for _, node := range nodes {
		eventually(t, "each node knows the others", func() bool {
			list, err := node.ListNodes(t.Context())
			return err == nil && len(list.Nodes) >= n && !list.Partial
		})
		s := open(t, node)
		node.id = string(cluster.OwnerOf(s.sid))
		s.post(node, "1")
		eventually(t, "the first session has ended", func() bool { return node.connections() == 0 })
	}
	return nodes
}

func (n *node) connections() int {
	connections, _ := n.Load()
	return connections
}

// forwarding returns how many polls or WebSockets the node passes on.
func (n *node) forwarding(transport string) int {
	return int(n.metric("sala_cluster_forwarding", transport))
}

// metric returns the value of a metric with these values of its labels, in order.
func (n *node) metric(name string, labels ...string) float64 {
	n.t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			values := make([]string, 0, len(labels))
			for _, pair := range m.GetLabel() {
				values = append(values, pair.GetValue())
			}
			if family.GetName() == name && slices.Equal(values, labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	n.t.Fatalf("there is no metric %s %q", name, labels)
	return 0
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// session is a client over long-polling that chooses a node for each request.
type session struct {
	t      *testing.T
	sid    string
	serial int
}

// answer is what a node answers.
type answer struct {
	status int
	body   string
	header http.Header
}

func (a answer) String() string { return fmt.Sprint(a.status, " ", a.body) }

// open opens a session at a node, without a socket.
func open(t *testing.T, node *node) *session {
	t.Helper()
	s := &session{t: t}
	got := s.get(node)
	var handshake struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(got.body, "0")), &handshake); err != nil || handshake.SID == "" {
		t.Fatalf("the handshake is %v", got)
	}
	s.sid = handshake.SID
	return s
}

// join opens a session and connects it as a user, who may do anything, through other nodes.
func join(t *testing.T, user string, nodes ...*node) *session {
	t.Helper()
	return joinWith(t, map[string]any{"token": nodes[0].Token(user, brokertest.Everything)}, nodes...)
}

// joinWith is join with what the client sends to connect.
func joinWith(t *testing.T, auth map[string]any, nodes ...*node) *session {
	t.Helper()
	s := open(t, nodes[0])
	packet, _ := json.Marshal(auth)
	if got := s.post(nodes[len(nodes)-1], "40"+string(packet)); got.body != "ok" {
		t.Fatalf("the CONNECT was answered with %v", got)
	}
	if got := s.get(nodes[min(1, len(nodes)-1)]); !strings.HasPrefix(got.body, "40{") {
		t.Fatalf("connect was answered with %v", got)
	}
	return s
}

// url is the address of the session's next request, which gets a number of its own.
func (s *session) url(node *node) string {
	s.serial++
	return s.repeated(node)
}

// repeated is the address of the session's last request.
func (s *session) repeated(node *node) string {
	query := url.Values{"EIO": {"4"}, "transport": {"polling"}, "t": {fmt.Sprintf("t%d", s.serial)}}
	if s.sid != "" {
		query.Set("sid", s.sid)
	}
	return node.URL + "/socket.io/?" + query.Encode()
}

func (s *session) get(node *node) answer {
	s.t.Helper()
	return send(s.t, http.MethodGet, s.url(node), "", nil)
}

func (s *session) post(node *node, body string) answer {
	s.t.Helper()
	return send(s.t, http.MethodPost, s.url(node), body, nil)
}

func send(t *testing.T, method, at, body string, header http.Header) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := trySend(ctx, method, at, body, header)
	if err != nil {
		t.Fatalf("%s %s: %v", method, at, err)
	}
	return got
}

func trySend(ctx context.Context, method, at, body string, header http.Header) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	// A connection for each request, so that none outlives a test.
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(text), resp.Header}, err
}

// receive polls at each node in turn until n messages have come.
func (s *session) receive(n int, nodes ...*node) []string {
	s.t.Helper()
	var messages []string
	for i := 0; len(messages) < n; i++ {
		got := s.get(nodes[i%len(nodes)])
		if got.status != http.StatusOK {
			s.t.Fatalf("after %d messages: %v", len(messages), got)
		}
		for packet := range strings.SplitSeq(got.body, separator) {
			if strings.HasPrefix(packet, "4") || strings.HasPrefix(packet, "b") {
				messages = append(messages, packet)
			}
		}
	}
	return messages
}

// probe begins an upgrade over a node, and returns the WebSocket after the exchange of probes.
func (s *session) probe(node *node) *websocket.Conn {
	s.t.Helper()
	ws := s.dial(node)
	write(s.t, ws, "2probe")
	if got := read(s.t, ws); got != "3probe" {
		s.t.Fatalf("the probe was answered with %q", got)
	}
	return ws
}

func (s *session) dial(node *node) *websocket.Conn {
	s.t.Helper()
	at := strings.Replace(s.url(node), "http", "ws", 1)
	ws, resp, err := websocket.DefaultDialer.DialContext(s.t.Context(), strings.Replace(at, "transport=polling", "transport=websocket", 1), nil)
	if err != nil {
		s.t.Fatalf("%v (%+v)", err, resp)
	}
	s.t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	return ws
}

// upgrade moves the session to a WebSocket over a node.
func (s *session) upgrade(node *node) *websocket.Conn {
	s.t.Helper()
	ws := s.probe(node)
	write(s.t, ws, "5")
	return ws
}

func write(t *testing.T, ws *websocket.Conn, packet string) {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, ws *websocket.Conn) string {
	t.Helper()
	_, packet, err := ws.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	return string(packet)
}

func tcp(ws *websocket.Conn) *net.TCPConn { return ws.NetConn().(*net.TCPConn) }

func encode(proof []byte) string { return base64.RawURLEncoding.EncodeToString(proof) }
