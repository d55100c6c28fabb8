package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func TestNewRefuses(t *testing.T) {
	keys := []auth.Key{mustKey(t, "k")}
	for name, cfg := range map[string]Config{
		"no broker": {Keys: keys, MaxMessageBytes: 1},
		"no limit":  {Broker: &fakeBroker{}, Keys: keys},
		"no keys":   {Broker: &fakeBroker{}, MaxMessageBytes: 1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: New accepts it", name)
		}
	}
}

// The least configuration works, and what was never served can be shut down.
func TestShutdownOfAnIdleServer(t *testing.T) {
	server, err := New(Config{Broker: &fakeBroker{}, Keys: []auth.Key{mustKey(t, "k")}, MaxMessageBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := server.Shutdown(timeout(t)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(listener); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve left its listener open: %v", err)
	}
}

func TestPanicCostsOneCall(t *testing.T) {
	const payload = "what a client said"
	b := &fakeBroker{emit: func(_ context.Context, _ broker.Target, m broker.Message) (broker.Report, error) {
		switch m.Event {
		case "value":
			panic(payload)
		case "runtime":
			return broker.Report{Matched: []int{}[len(m.Event)]}, nil
		}
		return broker.Report{Matched: 1}, nil
	}}
	h := start(t, b)
	client := salav1.NewMessageServiceClient(h.conn)
	for event, says := range map[string]string{"value": "a value of type string", "runtime": "index out of range"} {
		_, err := client.Emit(as(t, adminKey), &salav1.EmitRequest{Event: event, ArgsJson: `["` + payload + `"]`})
		wantStatus(t, err, codes.Internal, "INTERNAL", "its log says why")
		log := h.log.String()
		if !strings.Contains(log, says) || !strings.Contains(log, "server_test.go") {
			t.Errorf("%s: the log lacks %q or the stack: %s", event, says, log)
		}
		if strings.Contains(log, payload) {
			t.Errorf("%s: the log has the payload: %s", event, log)
		}
	}
	stream, err := client.EmitStream(as(t, adminKey))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&salav1.EmitStreamRequest{Emit: &salav1.EmitRequest{Event: "value"}}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantStatus(t, err, codes.Internal, "INTERNAL", "its log says why")
	wantRESTError(t, h, "POST", "/v1/emit", `{"event":"value"}`, 500, "INTERNAL", "its log says why")
	if resp, err := client.Emit(as(t, adminKey), &salav1.EmitRequest{Event: "fine"}); err != nil || resp.GetMatched() != 1 {
		t.Errorf("after the panics: %v, %v", resp, err)
	}
}

func TestLog(t *testing.T) {
	const secret = "payload-token-or-key"
	b := &fakeBroker{issueToken: func(r broker.TokenRequest) (broker.IssuedToken, error) {
		switch r.User {
		case "bad":
			return broker.IssuedToken{}, &broker.Error{Code: broker.CodeInvalidArgument, Reason: "WHY", Message: secret}
		case "broken":
			return broker.IssuedToken{}, errors.New("the disk is full")
		}
		return broker.IssuedToken{Token: secret}, nil
	}}
	h := start(t, b, func(cfg *Config) { cfg.Keys = append(cfg.Keys, mustKey(t, "ci="+secret)) })
	client := salav1.NewTokenServiceClient(h.conn)
	for _, user := range []string{secret, "bad", "broken"} {
		_, _ = client.IssueToken(as(t, secret), &salav1.IssueTokenRequest{User: user})
	}
	h.do(t, "POST", "/v1/tokens", `{"user":"`+secret+`"}`)
	_, _ = client.IssueToken(as(t, secret+"x"), &salav1.IssueTokenRequest{})

	type line struct{ Level, Msg, Method, Code, Reason, Key, Peer, Error string }
	want := []line{
		{Level: "DEBUG", Code: "OK", Key: "ci"},
		{Level: "INFO", Code: "INVALID_ARGUMENT", Reason: "WHY", Key: "ci"},
		{Level: "ERROR", Code: "INTERNAL", Reason: "INTERNAL", Key: "ci", Error: "the disk is full"},
		{Level: "DEBUG", Code: "OK", Key: "admin"},
		{Level: "INFO", Code: "UNAUTHENTICATED", Reason: apierror.ReasonAPIKeyInvalid},
	}
	lines := strings.Split(strings.TrimSpace(h.log.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d: %s", len(lines), len(want), h.log)
	}
	for i, text := range lines {
		var got line
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if host, port, err := net.SplitHostPort(got.Peer); err != nil || host != "127.0.0.1" || port == "0" {
			t.Errorf("line %d: the peer is %q", i, got.Peer)
		}
		if !strings.Contains(text, `"duration":`) {
			t.Errorf("line %d has no duration: %s", i, text)
		}
		got.Peer = ""
		want[i].Msg, want[i].Method = "rpc", "/sala.v1.TokenService/IssueToken"
		if got != want[i] {
			t.Errorf("line %d: %+v\nwant    %+v", i, got, want[i])
		}
	}
	if strings.Contains(h.log.String(), secret) {
		t.Errorf("the log tells a secret: %s", h.log)
	}
}

func TestGRPCRequestSize(t *testing.T) {
	h := start(t, &fakeBroker{})
	client := salav1.NewMessageServiceClient(h.conn)
	const maxRequest = 100_000 + 1<<20
	if _, err := client.Emit(as(t, adminKey), &salav1.EmitRequest{ArgsJson: strings.Repeat("x", maxRequest-100)}); err != nil {
		t.Errorf("a request at the limit: %v", err)
	}
	_, err := client.Emit(as(t, adminKey), &salav1.EmitRequest{ArgsJson: strings.Repeat("x", maxRequest)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a request over the limit: %v", err)
	}
}

// A page of sockets can be larger than gRPC's clients take by default.
func TestLargeResponsesOverREST(t *testing.T) {
	sockets := make([]broker.SocketInfo, 1000)
	for i := range sockets {
		sockets[i] = broker.SocketInfo{ID: "s", Data: json.RawMessage(`"` + strings.Repeat("d", 10_000) + `"`)}
	}
	h := start(t, &fakeBroker{sockets: sockets})
	if status, _, text := h.do(t, "GET", "/v1/sockets", ""); status != 200 || len(text) < 10_000_000 {
		t.Errorf("%d with %d bytes", status, len(text))
	}
}

func TestDeadlineReachesTheBroker(t *testing.T) {
	b := &fakeBroker{getRoom: func(ctx context.Context) (broker.RoomInfo, error) {
		<-ctx.Done()
		return broker.RoomInfo{}, ctx.Err()
	}}
	h := start(t, b)
	ctx, cancel := context.WithTimeout(as(t, adminKey), 20*time.Millisecond)
	defer cancel()
	_, err := salav1.NewRoomServiceClient(h.conn).GetRoom(ctx, &salav1.GetRoomRequest{Room: "a"})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("GetRoom: %v", err)
	}
}

func TestHealthAndDrain(t *testing.T) {
	h := start(t, &fakeBroker{})
	client := grpc_health_v1.NewHealthClient(h.conn)
	watch, err := client.Watch(timeout(t), &grpc_health_v1.HealthCheckRequest{Service: "sala.v1.RoomService"})
	if err != nil {
		t.Fatal(err)
	}
	want := func(status grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		resp, err := watch.Recv()
		if err != nil || resp.GetStatus() != status {
			t.Fatalf("Watch = %v, %v; want %v", resp, err, status)
		}
	}
	want(grpc_health_v1.HealthCheckResponse_SERVING)
	h.server.Drain()
	want(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	resp, err := client.Check(timeout(t), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || resp.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("Check = %v, %v", resp, err)
	}
	if _, err := salav1.NewRoomServiceClient(h.conn).ListRooms(as(t, adminKey), &salav1.ListRoomsRequest{}); err != nil {
		t.Errorf("a call while draining: %v", err)
	}
}

// A stream of reflection, which waits for its caller alone, must not hold up a shutdown.
func TestShutdownEndsReflection(t *testing.T) {
	h := start(t, &fakeBroker{})
	stream, err := grpc_reflection_v1.NewServerReflectionClient(h.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // one question behind the other works as ever
		question := &grpc_reflection_v1.ServerReflectionRequest_ListServices{ListServices: "*"}
		if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: question}); err != nil {
			t.Fatal(err)
		}
		if answer, err := stream.Recv(); err != nil || len(answer.GetListServicesResponse().GetService()) == 0 {
			t.Fatalf("%v, %v", answer, err)
		}
	}
	if err := h.server.Shutdown(timeout(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
}

// Nobody who watches keeps the server from going down.
func TestShutdownEndsWatching(t *testing.T) {
	h := start(t, &fakeBroker{})
	watch, err := grpc_health_v1.NewHealthClient(h.conn).Watch(timeout(t), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := h.server.Shutdown(timeout(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	_, err = watch.Recv()
	wantStatus(t, err, codes.Unavailable, "DRAINING", "shutting down")
}

func TestReflection(t *testing.T) {
	h := start(t, &fakeBroker{})
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	for _, method := range []string{ // their messages are the same on the wire
		grpc_reflection_v1.ServerReflection_ServerReflectionInfo_FullMethodName,
		grpc_reflection_v1alpha.ServerReflection_ServerReflectionInfo_FullMethodName,
	} {
		stream, err := h.conn.NewStream(timeout(t), desc, method)
		if err != nil {
			t.Fatal(err)
		}
		err = stream.SendMsg(&grpc_reflection_v1.ServerReflectionRequest{
			MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
		})
		if err != nil {
			t.Fatal(err)
		}
		resp := &grpc_reflection_v1.ServerReflectionResponse{}
		if err := stream.RecvMsg(resp); err != nil || !strings.Contains(resp.String(), "sala.v1.MessageService") {
			t.Errorf("%s: %v, %v", method, resp, err)
		}
	}
}

// blocked returns a broker whose GetRoom waits for release, and what says that
// it does.
func blocked(release <-chan struct{}) (b *fakeBroker, entered <-chan struct{}) {
	in := make(chan struct{}, 1)
	return &fakeBroker{getRoom: func(context.Context) (broker.RoomInfo, error) {
		in <- struct{}{}
		<-release
		return broker.RoomInfo{Name: "late"}, nil
	}}, in
}

func TestShutdownWaitsForCalls(t *testing.T) {
	release := make(chan struct{})
	b, entered := blocked(release)
	h := start(t, b)
	type answer struct {
		room *salav1.GetRoomResponse
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		room, err := salav1.NewRoomServiceClient(h.conn).GetRoom(as(t, adminKey), &salav1.GetRoomRequest{Room: "a"})
		answers <- answer{room, err}
	}()
	<-entered
	down := make(chan error, 1)
	go func() { down <- h.server.Shutdown(timeout(t)) }()
	// The listener closes first: new calls are refused.
	for {
		conn, err := net.Dial("tcp", h.grpcAddr)
		if err != nil {
			break
		}
		_, _ = io.Copy(io.Discard, conn) // until the server hangs up
		_ = conn.Close()
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown didn't wait: %v", err)
	default:
	}
	close(release)
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if got := <-answers; got.err != nil || got.room.GetName() != "late" {
		t.Errorf("the call in flight: %v, %v", got.room, got.err)
	}
	wantRESTError(t, h, "GET", "/v1/rooms", "", 503, "DRAINING", "shutting down")
}

func TestShutdownIsBounded(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	b, entered := blocked(release)
	h := start(t, b)
	failed := make(chan error, 1)
	go func() {
		_, err := salav1.NewRoomServiceClient(h.conn).GetRoom(as(t, adminKey), &salav1.GetRoomRequest{Room: "a"}, grpc.WaitForReady(false))
		failed <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown = %v, want the context's error", err)
	}
	if err := <-failed; status.Code(err) != codes.Unavailable {
		t.Errorf("the call that was cut: %v", err)
	}
}
