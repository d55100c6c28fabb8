package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// hostile is a connection over which a caller says what it likes.
type hostile struct {
	t    *testing.T
	conn net.Conn
	*http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
}

func attack(t *testing.T, addr string) *hostile {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	a := &hostile{t: t, conn: conn, Framer: http2.NewFramer(conn, bufio.NewReader(conn))}
	a.encoder = hpack.NewEncoder(&a.block)
	if err := a.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return a
}

// headers returns the header block of a call.
func (a *hostile) headers(method string, more ...string) []byte {
	a.block.Reset()
	fields := append([]string{
		":method", "POST", ":scheme", "http", ":path", method, ":authority", "sala",
		"content-type", "application/grpc", "te", "trailers", "authorization", "Bearer " + adminKey,
	}, more...)
	for i := 0; i < len(fields); i += 2 {
		if err := a.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			a.t.Fatal(err)
		}
	}
	return a.block.Bytes()
}

// ending reads until the server ends the connection, and returns with which
// code it said so; NO_ERROR if it said nothing.
func (a *hostile) ending() http2.ErrCode {
	a.t.Helper()
	code := http2.ErrCodeNo
	for {
		frame, err := a.ReadFrame()
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			a.t.Fatal("the server lets the connection be")
		}
		if err != nil {
			return code
		}
		if goAway, ok := frame.(*http2.GoAwayFrame); ok {
			code = goAway.ErrCode
		}
	}
}

// wellServed fails unless other callers are answered.
func wellServed(t *testing.T, h *harness) {
	t.Helper()
	if _, err := salav1.NewRoomServiceClient(h.conn).ListRooms(as(t, adminKey), &salav1.ListRoomsRequest{}); err != nil {
		t.Errorf("a neighbour's gRPC call: %v", err)
	}
	if code, _, body := h.do(t, "GET", "/v1/rooms", ""); code != http.StatusOK {
		t.Errorf("a neighbour's REST call: %d, %s", code, body)
	}
}

// Calls that are reset at once (CVE-2023-44487) occupy no more handlers than
// calls that aren't, even if the handlers take no notice of the reset.
func TestRapidReset(t *testing.T) {
	var running, most atomic.Int64
	release := make(chan struct{})
	full := make(chan struct{})
	h := start(t, &fakeBroker{emit: func(context.Context, broker.Target, broker.Message) (broker.Report, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == maxStreams {
			close(full)
		}
		<-release
		return broker.Report{}, nil
	}})
	a := attack(t, h.grpcAddr)
	flooded := make(chan int)
	go func() {
		defer close(flooded)
		for i := range 4 * maxStreams {
			id := uint32(2*i + 1)
			err := errors.Join(
				a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: a.headers(salav1.MessageService_Emit_FullMethodName), EndHeaders: true}),
				a.WriteData(id, true, make([]byte, 5)),
				a.WriteRSTStream(id, http2.ErrCodeCancel),
			)
			if err != nil { // the server has had enough
				return
			}
		}
	}()
	select {
	case <-full:
	case <-flooded:
	}
	wellServed(t, h)
	if n := most.Load(); n > maxStreams || n == 0 {
		t.Errorf("%d handlers run at once, at most %d may", n, maxStreams)
	}
	close(release)
	_ = a.conn.Close()
	<-flooded
	wellServed(t, h)
	if n := most.Load(); n > maxStreams {
		t.Errorf("%d handlers ran at once, at most %d may", n, maxStreams)
	}
}

func TestHeaderFloods(t *testing.T) {
	h := start(t, &fakeBroker{})
	method := salav1.RoomService_ListRooms_FullMethodName
	big := strings.Repeat("h", 8<<10)
	t.Run("too many", func(t *testing.T) {
		a := attack(t, h.grpcAddr)
		var more []string
		for i := range 20 {
			more = append(more, fmt.Sprintf("x-%d", i), big)
		}
		block := a.headers(method, more...)
		err := a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:16<<10]})
		for rest := block[16<<10:]; err == nil; rest = rest[min(len(rest), 16<<10):] {
			err = a.WriteContinuation(1, len(rest) <= 16<<10, rest[:min(len(rest), 16<<10)])
			if len(rest) <= 16<<10 {
				break
			}
		}
		if err := a.WriteData(1, true, make([]byte, 5)); err != nil {
			return // the connection was ended, which is as good
		}
		a.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		for {
			frame, err := a.ReadFrame()
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Fatal("the call has no end")
			}
			if err != nil {
				return // as above
			}
			if reset, ok := frame.(*http2.RSTStreamFrame); ok && reset.StreamID == 1 {
				return
			}
			if headers, ok := frame.(*http2.MetaHeadersFrame); ok && headers.StreamEnded() {
				if slices.Contains(headers.Fields, hpack.HeaderField{Name: "grpc-status", Value: "0"}) {
					t.Fatal("the call was answered")
				}
				return
			}
		}
	})
	t.Run("without end", func(t *testing.T) {
		a := attack(t, h.grpcAddr)
		ended := make(chan http2.ErrCode, 1)
		go func() { ended <- a.ending() }()
		if err := a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.headers(method)}); err != nil {
			t.Fatal(err)
		}
		block := bytes.Clone(a.headers(method, "x-flood", big))
		const most = 256 << 20
		sent := 0
		for ; sent < most; sent += len(block) {
			if err := a.WriteContinuation(1, false, block); err != nil {
				break
			}
		}
		if sent >= most {
			t.Errorf("the server has taken %d bytes of headers", sent)
		}
		<-ended
	})
	wellServed(t, h)
}

// Too many frames that serve no call end a connection, whether a key has been shown on it
// or not, and one that shows none ends however it keeps the server busy.
func TestIdleFrameFloods(t *testing.T) {
	h := start(t, &fakeBroker{})
	open := func(a *hostile, method string, more ...string) error {
		return a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.headers(method, more...), EndHeaders: true})
	}
	for name, flood := range map[string]func(a *hostile) error{
		"data":           func(a *hostile) error { return a.WriteData(1, false, nil) },
		"padding":        func(a *hostile) error { return a.WriteDataPadded(1, false, nil, make([]byte, 200)) },
		"bytes":          func(a *hostile) error { return a.WriteData(1, false, []byte{0}) },
		"settings":       func(a *hostile) error { return a.WriteSettings() },
		"settings' acks": func(a *hostile) error { return a.WriteSettingsAck() },
		"pings' acks":    func(a *hostile) error { return a.WritePing(true, [8]byte{}) },
		"windows":        func(a *hostile) error { return a.WriteWindowUpdate(0, 1) },
		"priorities":     func(a *hostile) error { return a.WritePriority(1, http2.PriorityParam{Weight: 1}) },
		"unknown":        func(a *hostile) error { return a.WriteRawFrame(0xee, 0, 0, nil) },
		"continuations":  func(a *hostile) error { return a.WriteContinuation(1, false, nil) },
	} {
		for _, method := range []string{"", salav1.MessageService_EmitStream_FullMethodName} {
			t.Run(name+method, func(t *testing.T) {
				a := attack(t, h.grpcAddr)
				ended := make(chan http2.ErrCode, 1)
				go func() { ended <- a.ending() }()
				switch {
				case name == "continuations":
					if err := a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.headers(method)}); err != nil {
						t.Fatal(err)
					}
				case method != "":
					if err := open(a, method); err != nil {
						t.Fatal(err)
					}
				}
				const most = 100_000
				sent := 0
				for sent < most && flood(a) == nil {
					sent++
				}
				if sent == most {
					t.Fatal("the server takes them all")
				}
				<-ended
			})
		}
	}
	wellServed(t, h)
}

// A peer that leaves its calls' answers unread has no more calls open than it may
// have, though gRPC has done with them: the connection ends.
func TestUnreadCalls(t *testing.T) {
	h := start(t, &fakeBroker{})
	a := attack(t, h.grpcAddr)
	if err := a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan http2.ErrCode, 1)
	go func() { ended <- a.ending() }()
	const most = 20 * maxOpenCalls
	sent := 0
	for ; sent < most; sent++ {
		id := uint32(2*sent + 1)
		err := errors.Join(
			a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: a.headers(salav1.RoomService_ListRooms_FullMethodName), EndHeaders: true}),
			a.WriteData(id, true, make([]byte, 5)),
		)
		if err != nil {
			break
		}
	}
	if sent == most {
		t.Errorf("%d calls are taken whose answers nobody reads", sent)
	}
	<-ended
	wellServed(t, h)
	if n := h.callerOf(t, adminKey).Unwritten.Load(); n > 0 {
		t.Errorf("%d bytes count as unread, though the connection has gone", n)
	}
}

// Answers that are read leave nothing behind, however many there are.
func TestReadAnswersAreNotUnread(t *testing.T) {
	h := start(t, &fakeBroker{})
	rooms := salav1.NewRoomServiceClient(h.conn)
	for range 3 * maxOpenCalls {
		if _, err := rooms.ListRooms(as(t, adminKey), &salav1.ListRoomsRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := salav1.NewMessageServiceClient(h.conn).EmitStream(as(t, adminKey))
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err := stream.Send(&salav1.EmitStreamRequest{Emit: &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "only the open stream counts", func() bool { return h.callerOf(t, adminKey).Unwritten.Load() == callOverhead })
}

// A connection without a key may watch a few things, and not send much.
func TestGuestsAreBounded(t *testing.T) {
	h := start(t, &fakeBroker{})
	health := grpc_health_v1.NewHealthClient(h.conn)
	var refused error
	for i := range maxGuestCallsOfConn + 1 {
		stream, err := health.Watch(timeout(t), &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = stream.Recv(); err != nil && i < maxGuestCallsOfConn {
			t.Fatalf("stream %d: %v", i, err)
		}
		refused = err
	}
	wantStatus(t, refused, codes.ResourceExhausted, apierror.ReasonTooManyRequests, "without an API key")
	if _, err := salav1.NewRoomServiceClient(h.conn).ListRooms(as(t, adminKey), &salav1.ListRoomsRequest{}); err != nil {
		t.Errorf("a call with a key, on the same connection: %v", err)
	}
}

func TestPingFlood(t *testing.T) {
	h := start(t, &fakeBroker{})
	a := attack(t, h.grpcAddr)
	ended := make(chan http2.ErrCode, 1)
	go func() { ended <- a.ending() }()
	for range 100_000 {
		if err := a.WritePing(false, [8]byte{1}); err != nil {
			break
		}
	}
	if code := <-ended; code != http2.ErrCodeEnhanceYourCalm && code != http2.ErrCodeNo {
		t.Errorf("it ended with %s", code)
	}
	wellServed(t, h)
}

// Connections that never begin to speak are closed.
func TestSlowHandshake(t *testing.T) {
	h := start(t, &fakeBroker{})
	impatient := h.server.newGRPCServer(50 * time.Millisecond)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- impatient.Serve(listener) }()
	for _, said := range []string{"", http2.ClientPreface[:5], http2.ClientPreface, "GET / HTTP/1.1\r\nHost: sala\r\n"} {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, said); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		var timeout net.Error
		if _, err := io.Copy(io.Discard, conn); errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("after %q the server waits on", said)
		}
		_ = conn.Close()
	}
	impatient.Stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Headers that the gateway could take for metadata set neither the key nor the
// peer's address, and neither does metadata of a gRPC caller.
func TestSpoofedMetadata(t *testing.T) {
	const spoofed = "203.0.113.66:6666"
	log := &records{}
	b := &fakeBroker{}
	h := start(t, b, func(cfg *Config) { cfg.Audit, cfg.AuditEmits = log, true })
	body := `{"rooms":["a"],"event":"e","argsJson":"[]"}`
	for _, tt := range []struct {
		name, key string
		status    int
	}{
		{"no key", "", 401}, {"a key without the scope", "Bearer " + readerKey, 403}, {"a key with it", "Bearer " + adminKey, 200},
	} {
		code, header, text := h.do(t, "POST", "/v1/emit", body, func(r *http.Request) {
			r.Header.Del("Authorization")
			if tt.key != "" {
				r.Header.Set("Authorization", tt.key)
			}
			for _, name := range []string{
				"Grpc-Metadata-Authorization", "grpcgateway-authorization", "Grpc-Metadata-Grpcgateway-Authorization", "Proxy-Authorization", "X-Authorization",
			} {
				r.Header.Set(name, "Bearer "+adminKey)
			}
			for _, name := range []string{
				"Grpc-Metadata-X-Sala-Rest-Peer", "X-Sala-Rest-Peer", "X-Forwarded-For", "Forwarded", "X-Real-Ip",
			} {
				r.Header.Set(name, spoofed)
			}
		})
		if code != tt.status {
			t.Errorf("%s: %d, want %d: %s", tt.name, code, tt.status, text)
		}
		for name := range header {
			if strings.HasPrefix(strings.ToLower(name), "grpc-") {
				t.Errorf("%s: the answer has %s", tt.name, name)
			}
		}
	}
	if calls := b.take(); len(calls) != 1 {
		t.Errorf("the broker was asked %d times", len(calls))
	}
	if _, err := salav1.NewMessageServiceClient(h.conn).Emit(metadata.AppendToOutgoingContext(as(t, adminKey), "x-forwarded-for", spoofed), &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e"}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(h.log.String(), "203.0.113") {
		t.Error("the log has an address that the caller made up")
	}
	log.take(t) // which looks at the peers
}

func TestMethodOverride(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	for _, header := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} {
		for path, want := range map[string]int{"/v1/rooms/a": 405, "/v1/rooms": 405, "/v1/rooms/a?_method=DELETE": 405} {
			for _, method := range []string{"DELETE", "GET"} {
				code, _, text := h.do(t, "POST", path, "", func(r *http.Request) {
					r.Header.Set(header, method)
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				})
				if code != want {
					t.Errorf("POST %s with %s: %s: %d, want %d: %s", path, header, method, code, want, text)
				}
			}
		}
	}
	if calls := b.take(); calls != nil {
		t.Errorf("the broker was asked: %v", calls)
	}
}

// However a path is written, nothing answers to it without a key, and with one
// it is the call that it looks like, or none.
func TestPathTricks(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	for _, target := range []string{
		"//v1/rooms", "/v1//rooms", "/v1/rooms/", "/./v1/rooms", "/x/../v1/rooms", "/v1/../v1/rooms", "/livez/../v1/rooms", "/v1/rooms/..",
		"/v1%2Frooms", "/%76%31/rooms", "/v1/%72ooms", "/v1/rooms/%2e%2e", "/v1/rooms/a%2Fb", "/v1/rooms/a%00b", "/v1/rooms/a%5Cb", `/v1\rooms`,
		"/V1/rooms", "/v1/rooms;x", "/v1/rooms%3Fx", "/v1/rooms%0d%0aX-Injected:%20yes", "/livez/v1/rooms", "/v1/rooms:clear", "/v1/rooms/a:clear/", "/sala.v1.RoomService/ListRooms",
		"http://sala/v1/rooms", "*", "/v1/rooms/a?room=b", "/metrics/../v1/rooms",
	} {
		for _, method := range []string{"GET", "POST", "DELETE", "PUT", "TRACE", "CONNECT", "OPTIONS"} {
			status, header := requestLine(t, h, method, target, "")
			if (status/100 == 2 && method+target != "OPTIONS*") || strings.Contains(header, "X-Injected") {
				t.Errorf("%s %s without a key: %d", method, target, status)
			}
			if calls := b.take(); calls != nil {
				t.Errorf("%s %s without a key: the broker was asked %v", method, target, calls)
			}
			if _, header := requestLine(t, h, method, target, adminKey); strings.Contains(header, "X-Injected") {
				t.Errorf("%s %s: a header was injected: %s", method, target, header)
			}
			for _, call := range b.take() {
				if c, ok := call.(broker.ClearRoom); ok && (method != "DELETE" || strings.Contains(c.Room, "..") && !strings.Contains(target, "%2e%2e")) {
					t.Errorf("%s %s cleared the room %q", method, target, c.Room)
				}
			}
		}
	}
}

// requestLine sends a request line as it is, and returns the answer's head.
func requestLine(t *testing.T, h *harness, method, target, key string) (status int, head string) {
	t.Helper()
	conn, err := net.Dial("tcp", h.rest.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	auth := ""
	if key != "" {
		auth = "Authorization: Bearer " + key + "\r\n"
	}
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: sala\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", method, target, auth); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ = strings.Cut(string(answer), "\r\n\r\n")
	if _, err := fmt.Sscanf(head, "HTTP/1.1 %d", &status); err != nil {
		t.Fatalf("%s %s: %q", method, target, answer)
	}
	return status, head
}

// rawCodec sends bytes as they are.
type rawCodec struct{ encoding.Codec }

func (rawCodec) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(_ []byte, _ any) error { return nil }
func (rawCodec) Name() string                    { return "proto" }

// A request that can't be decoded is the caller's fault.
func TestUndecodable(t *testing.T) {
	h := start(t, &fakeBroker{})
	conn, err := grpc.NewClient(h.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	deep := []byte{}
	for range 12_000 { // a ListValue in a Value in a ListValue …
		deep = append(appendLength([]byte{0x0a}, len(deep)), deep...) // ListValue.values
		deep = append(appendLength([]byte{0x32}, len(deep)), deep...) // Value.list_value
	}
	args := append(appendLength([]byte{0x0a}, len(deep)), deep...)
	message := append(appendLength([]byte{0x42}, len(args)), args...)
	for says, sent := range map[string][]byte{
		"args: is nested more than": message, "can't be decoded": {0x0a, 0xff}, "namespace: isn't UTF-8": {0x0a, 1, 0xff},
	} {
		var reply []byte
		err := conn.Invoke(as(t, adminKey), salav1.MessageService_Emit_FullMethodName, &sent, &reply, grpc.ForceCodec(rawCodec{}))
		wantStatus(t, err, codes.InvalidArgument, broker.ReasonInvalidArgument, says)
		stream, err := conn.NewStream(as(t, adminKey), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, salav1.EventService_Subscribe_FullMethodName, grpc.ForceCodec(rawCodec{}))
		if err != nil {
			t.Fatal(err)
		}
		cut := []byte{0x0a, 0xff}
		if err := stream.SendMsg(&cut); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&reply); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: in a stream: %v", says, err)
		}
	}
	if strings.Contains(h.log.String(), `"ERROR"`) {
		t.Error("the log calls it an error of the broker")
	}
}

func appendLength(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}
