package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/outcome"
	"github.com/salabroker/sala/broker/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeBroker answers with what a test puts in; a method without a function
// answers with nothing. calls records what was asked.
type fakeBroker struct {
	emit        func(context.Context, broker.Target, broker.Message) (broker.Report, error)
	issueToken  func(broker.TokenRequest) (broker.IssuedToken, error)
	verifyToken func(string) (token.Claims, error)
	getRoom     func(context.Context) (broker.RoomInfo, error)
	reading     func() // called by Messages
	emitWithAck func(context.Context, func(broker.Ack) error) (broker.AckSummary, error)
	subscribe   func(broker.SubscribeOptions) (*broker.Subscription, error)
	// socketNamespace is where the socket is that is looked at.
	socketNamespace string
	err             error // of every method without a function

	rooms    []broker.RoomInfo
	sockets  []broker.SocketInfo
	nodes    []broker.NodeInfo
	messages broker.MessagesPage
	users    []broker.PresentUser
	counts   []broker.RoomCount
	groups   []broker.GroupInfo
	stats    []broker.NodeStats
	limits   []outcome.LimitHit
	matched  int
	refused  int
	nextPage string
	coverage broker.PartialResult

	mu    sync.Mutex
	calls []any
}

type (
	getRoomCall       struct{ Namespace, Room string }
	clearMessagesCall struct{ Namespace, Room string }
	countUsersCall    struct {
		Namespace string
		Rooms     []string
	}
	onlineCall struct {
		Namespace string
		Users     []string
	}
	emitCall       struct{ Target, Message any }
	getSocketCall  struct{ ID string }
	joinCall       struct{ Target, Rooms any }
	leaveCall      struct{ Target, Rooms any }
	disconnectCall struct{ Target, Reason any }
	updateCall     struct{ Target, Data any }
	ackCall        struct{ Target, Message, Options any }
	drainCall      struct{ Node string }
	verifyCall     struct{ Raw string }
	listNodesCall  struct{}
	listGroupsCall struct{}
	statsCall      struct{ Points int }
	listLimitsCall struct{ Namespaces []string }
)

func (f *fakeBroker) record(call any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
}

func (f *fakeBroker) outcome() (broker.Outcome, error) {
	return broker.Outcome{Matched: f.matched, Refused: f.refused, PartialResult: f.coverage}, f.err
}

// take returns what was asked since the last time.
func (f *fakeBroker) take() []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fakeBroker) IssueToken(_ context.Context, r broker.TokenRequest) (broker.IssuedToken, error) {
	f.record(r)
	if f.issueToken != nil {
		return f.issueToken(r)
	}
	return broker.IssuedToken{}, f.err
}

func (f *fakeBroker) VerifyToken(_ context.Context, raw string) (token.Claims, error) {
	f.record(verifyCall{raw})
	if f.verifyToken != nil {
		return f.verifyToken(raw)
	}
	return token.Claims{}, f.err
}

func (f *fakeBroker) ListRooms(_ context.Context, q broker.RoomQuery) (broker.RoomList, error) {
	f.record(q)
	return broker.RoomList{Rooms: f.rooms, Next: f.nextPage, PartialResult: f.coverage}, f.err
}

func (f *fakeBroker) GetRoom(ctx context.Context, namespace, room string) (broker.RoomInfo, error) {
	f.record(getRoomCall{namespace, room})
	if f.getRoom != nil {
		return f.getRoom(ctx)
	}
	return broker.RoomInfo{Name: room, Namespace: namespace, PartialResult: f.coverage}, f.err
}

func (f *fakeBroker) ClearRoom(_ context.Context, c broker.ClearRoom) (broker.Outcome, error) {
	f.record(c)
	return f.outcome()
}

func (f *fakeBroker) Messages(_ context.Context, q broker.MessagesQuery) (broker.MessagesPage, error) {
	f.record(q)
	if f.reading != nil {
		f.reading()
	}
	return f.messages, f.err
}

func (f *fakeBroker) ClearMessages(_ context.Context, namespace, room string) error {
	f.record(clearMessagesCall{namespace, room})
	return f.err
}

func (f *fakeBroker) Users(_ context.Context, q broker.UserQuery) (broker.UserList, error) {
	f.record(q)
	return broker.UserList{Users: f.users, Next: f.nextPage, PartialResult: f.coverage}, f.err
}

func (f *fakeBroker) CountUsers(_ context.Context, namespace string, rooms []string) (broker.RoomCounts, error) {
	f.record(countUsersCall{namespace, rooms})
	return broker.RoomCounts{Counts: f.counts, PartialResult: f.coverage}, f.err
}

func (f *fakeBroker) Online(_ context.Context, namespace string, users []string) (broker.OnlineUsers, error) {
	f.record(onlineCall{namespace, users})
	return broker.OnlineUsers{Users: users, PartialResult: f.coverage}, f.err
}

func (f *fakeBroker) Emit(ctx context.Context, t broker.Target, m broker.Message) (broker.Report, error) {
	m.Caller = "" // which TestTailOverREST checks
	f.record(emitCall{t, m})
	if f.emit != nil {
		return f.emit(ctx, t, m)
	}
	return broker.Report{Matched: f.matched, Queued: f.matched, PartialResult: f.coverage}, f.err
}

func (f *fakeBroker) ListSockets(_ context.Context, q broker.SocketQuery) (broker.SocketList, error) {
	f.record(q)
	return broker.SocketList{Sockets: f.sockets, Next: f.nextPage, PartialResult: f.coverage}, f.err
}

func (f *fakeBroker) GetSocket(_ context.Context, id string) (broker.SocketInfo, error) {
	f.record(getSocketCall{id})
	return broker.SocketInfo{ID: id, Namespace: f.socketNamespace}, f.err
}

func (f *fakeBroker) Join(_ context.Context, t broker.Target, rooms []string) (broker.Outcome, error) {
	f.record(joinCall{t, rooms})
	return f.outcome()
}

func (f *fakeBroker) Leave(_ context.Context, t broker.Target, rooms []string) (broker.Outcome, error) {
	f.record(leaveCall{t, rooms})
	return f.outcome()
}

func (f *fakeBroker) Disconnect(_ context.Context, t broker.Target, reason string) (broker.Outcome, error) {
	f.record(disconnectCall{t, reason})
	return f.outcome()
}

func (f *fakeBroker) Update(_ context.Context, t broker.Target, data json.RawMessage) (broker.Outcome, error) {
	f.record(updateCall{t, data})
	return f.outcome()
}

func (f *fakeBroker) RevokeTokens(_ context.Context, r broker.RevokeTokens) (broker.RevokeOutcome, error) {
	f.record(r)
	out, err := f.outcome()
	return broker.RevokeOutcome{Outcome: out, NotStored: out.Partial}, err
}

func (f *fakeBroker) EmitWithAck(ctx context.Context, t broker.Target, m broker.Message, o broker.AckOptions, each func(broker.Ack) error) (broker.AckSummary, error) {
	m.Caller = "" // as above
	f.record(ackCall{t, m, o})
	if f.emitWithAck != nil {
		return f.emitWithAck(ctx, each)
	}
	return broker.AckSummary{Expected: f.matched, TimedOut: f.matched}, f.err
}

func (f *fakeBroker) Drain(_ context.Context, node string) (broker.NodeInfo, error) {
	f.record(drainCall{node})
	return broker.NodeInfo{ID: node, State: broker.NodeDraining}, f.err
}

func (f *fakeBroker) Subscribe(o broker.SubscribeOptions) (*broker.Subscription, error) {
	f.record(o)
	if f.subscribe == nil {
		return nil, f.err
	}
	return f.subscribe(o)
}

func (f *fakeBroker) AwaitSubscribed(context.Context) broker.PartialResult { return f.coverage }

// Tail always fails: only a broker makes tails.
func (f *fakeBroker) Tail(_ context.Context, o broker.TailOptions) (*broker.Tail, error) {
	f.record(o)
	if f.err != nil {
		return nil, f.err
	}
	return nil, &broker.Error{Code: broker.CodeUnavailable, Reason: "X", Message: "no hub here"}
}

func (f *fakeBroker) ListGroups(context.Context) (broker.GroupList, error) {
	f.record(listGroupsCall{})
	return broker.GroupList{Groups: f.groups, PartialResult: f.coverage}, f.err
}

func (f *fakeBroker) Stats(_ context.Context, points int) (broker.StatsList, error) {
	f.record(statsCall{points})
	return broker.StatsList{Nodes: f.stats, PartialResult: f.coverage}, f.err
}

func (f *fakeBroker) ListLimits(_ context.Context, namespaces []string) (broker.LimitList, error) {
	f.record(listLimitsCall{namespaces})
	return broker.LimitList{Limits: f.limits, PartialResult: f.coverage}, f.err
}

func (f *fakeBroker) Explain(_ context.Context, q broker.ExplainQuery) (broker.Explanation, error) {
	f.record(q)
	return broker.Explanation{}, f.err
}

func (f *fakeBroker) ListNodes(context.Context) (broker.NodeList, error) {
	f.record(listNodesCall{})
	return broker.NodeList{Nodes: f.nodes, PartialResult: f.coverage}, f.err
}

// The API keys of the tests.
const (
	adminKey  = "admin-0123456789"
	readerKey = "reader-0123456789" // rooms:read
)

// harness is a server with its clients, over real listeners.
type harness struct {
	server   *Server
	grpcAddr string
	conn     *grpc.ClientConn // without a key
	rest     *httptest.Server
	log      *syncBuffer
	metrics  *prometheus.Registry
}

func start(t testing.TB, b Broker, edits ...func(*Config)) *harness {
	t.Helper()
	h := &harness{log: &syncBuffer{}, metrics: prometheus.NewRegistry()}
	cfg := Config{
		Broker:          b,
		Keys:            []auth.Key{mustKey(t, "admin="+adminKey), mustKey(t, "reader="+readerKey+":rooms:read")},
		MaxMessageBytes: 100_000,
		Logger:          slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics:         h.metrics,
		Gatherer:        h.metrics,
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	server, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.server = server
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.grpcAddr = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	h.conn, err = grpc.NewClient(h.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	h.rest = httptest.NewServer(server.HTTPHandler())
	t.Cleanup(func() {
		h.rest.Close()
		_ = h.conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return h
}

func mustKey(t testing.TB, s string) auth.Key {
	t.Helper()
	key, err := auth.ParseKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// as returns a context that carries an API key and ends with the test.
func as(t testing.TB, key string) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(timeout(t), "authorization", "Bearer "+key)
}

func timeout(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// do sends a REST request with the admin's key, or with the header of edits.
func (h *harness) do(t *testing.T, method, path, body string, edits ...func(*http.Request)) (status int, header http.Header, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(timeout(t), method, h.rest.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	for _, edit := range edits {
		edit(req)
	}
	resp, err := h.rest.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var read bytes.Buffer
	if _, err := read.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, read.String()
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// take returns the text and forgets it.
func (b *syncBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.buf.Reset()
	return b.buf.String()
}
