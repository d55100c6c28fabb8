package nodeproxy_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/nodeproxy"
)

// results records what a proxy did.
type results struct {
	mu       sync.Mutex
	last     nodeproxy.Result
	received cluster.LossReason
}

func (r *results) Forwarded(_ string, result nodeproxy.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = result
}

func (r *results) Received(reason cluster.LossReason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received = reason
}

func (r *results) result() nodeproxy.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// pair is a proxy, and the session that another node has.
type pair struct {
	proxy   *nodeproxy.Proxy
	results *results
	sid     string
	before  func(w http.ResponseWriter, r *http.Request, next func()) // called with each request at the other node
}

// newPair runs two nodes. The second one has the sessions, and describe changes what it says about
// itself.
func newPair(t *testing.T, secure bool, describe func(*cluster.Info), sessions http.HandlerFunc) *pair {
	t.Helper()
	exchange := clustertest.NewExchange()
	keys := [][]byte{clusterKey}
	server := httptest.NewUnstartedServer(nil)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) // of failed handshakes
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	info := cluster.Info{URL: server.URL}
	if secure {
		sum := sha256.Sum256(server.Certificate().Raw)
		info.Certificate = string(sum[:])
	}
	if describe != nil {
		describe(&info)
	}
	options := func(mesh *cluster.Mesh, r *results) nodeproxy.Options {
		return nodeproxy.Options{Mesh: mesh, Release: func(string) {}, Observer: r, Logger: slog.New(slog.DiscardHandler)}
	}
	first := clustertest.StartNode(t, cluster.Options{Bus: exchange.Bus(), Keys: keys})
	second := clustertest.StartNode(t, cluster.Options{Bus: exchange.Bus(), Keys: keys, Info: func() cluster.Info { return info }})
	handler := nodeproxy.New(options(second.Mesh, &results{})).Handler(sessions)
	p := &pair{results: &results{}, sid: string(second.ID()) + "xxxxxxxxxxxxxxxxxxxxxxxx", before: func(_ http.ResponseWriter, _ *http.Request, next func()) { next() }}
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.before(w, r, func() { handler.ServeHTTP(w, r) })
	})
	eventually(t, "the nodes know each other", func() bool { return first.HasNode(second.ID()) })
	p.proxy = nodeproxy.New(options(first.Mesh, p.results))
	t.Cleanup(func() {
		if err := p.proxy.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return p
}

// send has the proxy pass a request on, and returns the answer; nil if it wasn't passed on.
func (p *pair) send(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	r.URL.RawQuery += "&sid=" + p.sid
	if !p.proxy.Forward(w, r.WithContext(t.Context()), p.sid, false) {
		return nil
	}
	return w.Result()
}

// TestWhatArrives compares a request with the one that the node of the session gets.
func TestWhatArrives(t *testing.T) {
	var got *http.Request
	var body []byte
	p := newPair(t, false, nil, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	})
	r := httptest.NewRequest(http.MethodPost, "https://chat.example.com/socket.io/?transport=polling&t=a%3Bb;c", strings.NewReader("42"))
	r.RemoteAddr = "203.0.113.9:4711"
	for name, value := range map[string]string{
		"Cookie": "a=b", "User-Agent": "Mozilla/5.0", "Content-Type": "text/plain", "Origin": "https://chat.example.com",
		"Sala-Proof": "forged", "X-Forwarded-For": "198.51.100.1", "Forwarded": "for=198.51.100.1", "X-Forwarded-Proto": "http",
		"Connection": "Upgrade, X-Hop", "Upgrade": "h2c", "X-Hop": "1",
	} {
		r.Header.Set(name, value)
	}
	resp := p.send(t, r)
	if resp == nil {
		t.Fatalf("it isn't passed on: %v", p.results.result())
	}
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusTeapot || string(answer) != "short and stout" {
		t.Errorf("the answer is %d %q", resp.StatusCode, answer)
	}
	want := map[string]string{
		"Cookie": "a=b", "User-Agent": "Mozilla/5.0", "Content-Type": "text/plain", "Origin": "https://chat.example.com",
		"Sala-Proof": "", "X-Forwarded-For": "203.0.113.9", "Forwarded": "", "X-Forwarded-Proto": "https", "Connection": "", "Upgrade": "", "X-Hop": "",
	}
	for name, value := range want {
		if got.Header.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), value)
		}
	}
	if got.RemoteAddr != "203.0.113.9:4711" || got.Host != "chat.example.com" || got.TLS != nil || string(body) != "42" {
		t.Errorf("%s, %s, %v, %q arrive", got.RemoteAddr, got.Host, got.TLS, body)
	}
	if query := "transport=polling&t=a%3Bb;c&sid=" + p.sid; got.URL.RawQuery != query {
		t.Errorf("the query is %s, want %s", got.URL.RawQuery, query)
	}
	for name, value := range map[string]string{"Connection": "close", "Content-Type": "text/html", "Sala-Node": ""} {
		if resp.Header.Get(name) != value {
			t.Errorf("in the answer %s is %q, want %q", name, resp.Header.Get(name), value)
		}
	}
}

// TestSecureNodes passes requests on to nodes whose listeners have certificates.
func TestSecureNodes(t *testing.T) {
	for name, tt := range map[string]struct {
		describe func(*cluster.Info)
		want     nodeproxy.Result
	}{
		"with the certificate that it announces": {nil, nodeproxy.Passed},
		"with another certificate":               {func(i *cluster.Info) { i.Certificate = strings.Repeat("x", 32) }, nodeproxy.Unreachable},
		"with one that nobody knows":             {func(i *cluster.Info) { i.Certificate = "" }, nodeproxy.Unreachable},
		"without encryption":                     {func(i *cluster.Info) { i.URL = strings.Replace(i.URL, "https", "http", 1) }, nodeproxy.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, true, tt.describe, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) })
			r := httptest.NewRequest(http.MethodGet, "/socket.io/?transport=polling", nil)
			r.TLS = &tls.ConnectionState{}
			p.send(t, r)
			if got := p.results.result(); got != tt.want {
				t.Errorf("the result is %q, want %q", got, tt.want)
			}
		})
	}
}

// TestOverClosedConnection has the other node close a connection that was kept while a request is on
// its way. The request is sent again. A POST is never delivered twice; a poll is, over what looks like
// another connection of its client, so that its session takes it for the same.
func TestOverClosedConnection(t *testing.T) {
	for name, tt := range map[string]struct {
		delivered bool // before the connection is closed
		want      nodeproxy.Result
		body      string
		times     int32 // that it is delivered
	}{
		"before it has arrived":            {false, nodeproxy.Passed, "42", 1},
		"after it has arrived":             {true, nodeproxy.Refused, "42", 1},
		"large, before it has arrived":     {false, nodeproxy.Unreachable, strings.Repeat("x", 8<<10), 0},
		"a poll, before it has arrived":    {false, nodeproxy.Passed, "", 1},
		"a poll, after it has arrived":     {true, nodeproxy.Passed, "", 2},
		"the largest small, not arrived":   {false, nodeproxy.Passed, strings.Repeat("x", 4<<10), 1},
		"a little larger, and not arrived": {false, nodeproxy.Unreachable, strings.Repeat("x", 4<<10+1), 0},
	} {
		t.Run(name, func(t *testing.T) {
			var hungUp atomic.Bool
			var delivered atomic.Int32  // at the request whose connection is closed, and after
			var seen sync.Map           // connections
			var raw http.ResponseWriter // of the last request; they come one after another
			hangUp := func() {
				hungUp.Store(true)
				nc, _, err := http.NewResponseController(raw).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_ = nc.Close()
			}
			due := false // to hang up
			p := newPair(t, false, nil, func(_ http.ResponseWriter, r *http.Request) {
				if due || hungUp.Load() {
					delivered.Add(1)
				}
				if _, _, err := net.SplitHostPort(r.RemoteAddr); !due && hungUp.Load() && tt.body == "" && err == nil {
					t.Errorf("the poll that comes again is from %s, as before", r.RemoteAddr)
				}
				if due {
					due = false
					hangUp()
				}
			})
			p.before = func(w http.ResponseWriter, r *http.Request, next func()) {
				_, kept := seen.LoadOrStore(r.RemoteAddr, true)
				due = kept && !hungUp.Load()
				raw = w
				if due && !tt.delivered {
					hangUp()
					return
				}
				next()
			}
			for i := 0; !hungUp.Load() && i < 1000; i++ { // until a connection is used again
				r := httptest.NewRequest(http.MethodGet, "/socket.io/?transport=polling", nil)
				if tt.body != "" {
					r = httptest.NewRequest(http.MethodPost, "/socket.io/?transport=polling", strings.NewReader(tt.body))
				}
				p.send(t, r)
			}
			if got := p.results.result(); got != tt.want || delivered.Load() != tt.times {
				t.Errorf("the result is %q, want %q; it was delivered %d times, want %d", got, tt.want, delivered.Load(), tt.times)
			}
		})
	}
}

// TestUnfinishedPost has the other node answer a large POST before all of it has come, and then has a
// client go away in the middle of one.
func TestUnfinishedPost(t *testing.T) {
	p := newPair(t, false, nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	done := make(chan bool, 2)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done <- p.proxy.Forward(w, r, p.sid, false)
	}))
	defer front.Close()
	begin := func(declared, sent int) net.Conn {
		nc, err := net.Dial("tcp", front.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(nc, "POST /?sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", p.sid, declared, strings.Repeat("x", sent)); err != nil {
			t.Fatal(err)
		}
		return nc
	}
	early := begin(1_000_000, 50_000)
	defer func() { _ = early.Close() }()
	// What the client sends after the answer may have its connection reset.
	if got, err := io.ReadAll(early); !strings.HasPrefix(string(got), "HTTP/1.1 400 ") {
		t.Errorf("there came %q, %v", got, err)
	}
	if served := <-done; !served {
		t.Error("the other node's answer isn't passed on")
	}
	for _, declared := range []int{100, 100_000} {
		_ = begin(declared, 10).Close()
		<-done
		if got := p.results.result(); got != nodeproxy.Canceled {
			t.Errorf("of %d bytes: the result is %q", declared, got)
		}
	}
}

// TestOrigins sends requests of pages to a node that passes them on.
func TestOrigins(t *testing.T) {
	nodes := startCluster(t, 2, clusterKey, broker.Options{AllowedOrigins: []string{"https://a.example"}})
	s := join(t, "ana", nodes...)
	page := func(origin string) http.Header { return http.Header{"Origin": {origin}} }
	emit(t, nodes[0], 1)
	got := send(t, http.MethodGet, s.url(nodes[1]), "", page("https://a.example"))
	if got.body != `42["n",1]` {
		t.Errorf("an allowed page gets %v", got)
	}
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Vary", "Content-Type", "Content-Length", "Date", "Cache-Control"} {
		if len(got.header[name]) != 1 {
			t.Errorf("%s: %q", name, got.header[name])
		}
	}
	if got := send(t, http.MethodOptions, s.url(nodes[1]), "", page("https://a.example")); got.status != http.StatusNoContent {
		t.Errorf("a preflight gets %v", got)
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if got := send(t, method, s.url(nodes[1]), "", page("https://b.example")); got.status != http.StatusForbidden || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("another page gets %v", got)
		}
	}
}
