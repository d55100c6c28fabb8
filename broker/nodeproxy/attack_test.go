package nodeproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/nodeproxy"
)

// wiretap is what stands between two nodes and reads along.
type wiretap struct {
	URL string

	mu    sync.Mutex
	to    *url.URL // nil: nowhere yet
	proof string
	path  string // with the query
}

// tap returns a wiretap that leads nowhere yet.
func tap(t *testing.T) *wiretap {
	t.Helper()
	w := &wiretap{}
	transport := &http.Transport{DisableKeepAlives: true}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		to := w.note(r)
		if to == nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		passOn := &httputil.ReverseProxy{Transport: transport, Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host = to.Scheme, to.Host
			pr.Out.Host = pr.In.Host
		}}
		passOn.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.URL = server.URL
	return w
}

// note keeps a client's request, not what nodes ask for themselves, and returns where it goes.
func (w *wiretap) note(r *http.Request) (to *url.URL) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, nodeproxy.Path+"forward") {
		w.proof, w.path = r.Header.Get("Sala-Proof"), r.URL.RequestURI()
	}
	return w.to
}

// lead makes requests arrive at a URL, or nowhere.
func (w *wiretap) lead(t *testing.T, to string) {
	t.Helper()
	var at *url.URL
	if to != "" {
		parsed, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		at = parsed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = at
}

// last returns the last request of a client between the nodes.
func (w *wiretap) last() (proof, path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.proof, w.path
}

// TestRecordedRequests sends recordings of a node's requests: as they were, changed, and to another
// node.
func TestRecordedRequests(t *testing.T) {
	line := tap(t)
	nodes := startAs(t, 3, broker.Options{}, func(before []*node, c *broker.ClusterOptions) {
		c.Keys = [][]byte{clusterKey}
		if len(before) == 1 {
			c.URL = line.URL
		}
	})
	line.lead(t, nodes[1].URL)
	s := join(t, "ana", nodes[1])
	emit(t, nodes[0], 1)
	if got := s.get(nodes[0]); got.body != `42["n",1]` {
		t.Fatal(got)
	}
	stranger := func(node *node, method, path, proof string) answer {
		return send(t, method, node.URL+path, "", http.Header{"Sala-Proof": {proof}})
	}
	proof, path := line.last()
	if got := stranger(nodes[1], http.MethodGet, path, proof); got.status != http.StatusForbidden {
		t.Errorf("a recording gets %v", got)
	}
	if n := nodes[1].metric("sala_cluster_received_requests_total", "replayed"); n != 1 {
		t.Errorf("%v recordings were counted", n)
	}
	line.lead(t, "")
	if got := s.get(nodes[0]); got.String() != unknown {
		t.Errorf("a client whose request is lost gets %v", got)
	}
	proof, path = line.last() // of a request that hasn't arrived
	for what, got := range map[string]answer{
		"another method":  stranger(nodes[1], http.MethodPost, path, proof),
		"another query":   stranger(nodes[1], http.MethodGet, path+"&t=x", proof),
		"another path":    stranger(nodes[1], http.MethodGet, strings.Replace(path, "forward", "release", 1), proof),
		"another node":    stranger(nodes[2], http.MethodGet, path, proof),
		"without a proof": stranger(nodes[1], http.MethodGet, path, ""),
		"with two proofs": send(t, http.MethodGet, nodes[1].URL+path, "", http.Header{"Sala-Proof": {proof, proof}}),
	} {
		if got.status != http.StatusForbidden {
			t.Errorf("%s: %v", what, got)
		}
	}
	emit(t, nodes[0], 2)
	if got := stranger(nodes[1], http.MethodGet, path, proof); got.body != `42["n",2]` {
		t.Errorf("the request itself gets %v, so the test shows nothing", got)
	}
}

// TestNoLoops has a node pass on a request for a session of a third node. It goes no further.
func TestNoLoops(t *testing.T) {
	exchange := clustertest.NewExchange()
	rogue := clustertest.StartNode(t, cluster.Options{Bus: exchange.Bus(), Keys: [][]byte{clusterKey}})
	nodes := startOn(t, exchange, 2, broker.Options{}, func(_ []*node, c *broker.ClusterOptions) { c.Keys = [][]byte{clusterKey} })
	s := join(t, "ana", nodes[0])
	before := nodes[0].metric("sala_cluster_received_requests_total", "ok")
	for _, at := range nodes {
		eventually(t, "the nodes know each other", func() bool { _, ok := rogue.Node(cluster.NodeID(at.id)); return ok })
		to, _ := rogue.Node(cluster.NodeID(at.id))
		query := url.Values{"EIO": {"4"}, "transport": {"polling"}, "sid": {strings.Repeat("A", 10) + s.sid}}.Encode()
		if at == nodes[1] {
			query = url.Values{"EIO": {"4"}, "transport": {"polling"}, "sid": {s.sid}}.Encode()
		}
		proof, err := rogue.SealRequest(to, "GET "+nodeproxy.Path+"forward?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := send(t, http.MethodGet, at.URL+nodeproxy.Path+"forward?"+query, "", http.Header{"Sala-Proof": {encode(proof)}})
		if got.status != http.StatusNotFound {
			t.Errorf("a session of another node: %v", got)
		}
	}
	if n := nodes[0].metric("sala_cluster_received_requests_total", "ok") - before; n != 1 {
		t.Errorf("the node of the session has received %v requests, want only the one that was sent to it", n)
	}
}

// TestAThousandSessions asks for sessions that don't exist.
func TestAThousandSessions(t *testing.T) {
	nodes := startCluster(t, 2, clusterKey, broker.Options{})
	s := join(t, "ana", nodes...)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for i := range 1000 {
		sid := fmt.Sprintf("%s%024d", nodes[i%2].id, i)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, (&session{t: t, sid: sid}).url(nodes[0]), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := (answer{status: resp.StatusCode, body: string(body)}).String(); got != unknown {
			t.Fatalf("it gets %s", got)
		}
	}
	emit(t, nodes[0], 1)
	if got := s.receive(1, nodes[1]); got[0] != `42["n",1]` {
		t.Errorf("a client gets %q", got)
	}
	if n := nodes[0].connections(); n != 1 {
		t.Errorf("there are %d connections", n)
	}
}

// TestSlowNode asks for a session at a node that accepts connections and does nothing.
func TestSlowNode(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	nodes := startAs(t, 2, broker.Options{}, func(before []*node, c *broker.ClusterOptions) {
		c.Keys = [][]byte{clusterKey}
		if len(before) == 1 {
			c.URL = "http://" + silent.Addr().String()
		}
	})
	s := join(t, "ana", nodes[1])
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := trySend(ctx, http.MethodGet, s.url(nodes[0]), "", nil)
		done <- err
	}()
	eventually(t, "the poll waits", func() bool { return nodes[0].forwarding("polling") == 1 })
	cancel() // the client gives up, and so does the node
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	eventually(t, "the poll has ended", func() bool { return nodes[0].forwarding("polling") == 0 })
	if n := nodes[0].metric("sala_cluster_forwarded_requests_total", "canceled", "polling"); n != 1 {
		t.Errorf("%v were counted", n)
	}
}
