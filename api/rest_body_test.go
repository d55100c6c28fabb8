package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker/grace"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// rawRequest sends text as it is and returns the answer, once the server has
// closed the connection.
func rawRequest(t *testing.T, addr, text string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	read := bufio.NewReader(conn)
	resp, err := http.ReadResponse(read, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read.ReadByte(); err != io.EOF {
		t.Errorf("the connection isn't closed: %v", err)
	}
	return resp.StatusCode, string(answer)
}

func post(path, key string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\n{", path, key)
}

// Nothing of a body is read for a caller without a key, who gets the answer
// at once.
func TestRESTKeyComesBeforeTheBody(t *testing.T) {
	h := start(t, &fakeBroker{})
	rest := httptest.NewServer(h.server.newHTTPHandler(Config{MaxMessageBytes: 1000}, 200*time.Millisecond))
	defer rest.Close()
	addr := rest.Listener.Addr().String()
	for key, reason := range map[string]string{"": apierror.ReasonAPIKeyRequired, "wrong": apierror.ReasonAPIKeyInvalid} {
		status, body := rawRequest(t, addr, post("/v1/emit", key))
		if status != 401 || !strings.Contains(body, reason) {
			t.Errorf("key %q: %d %s, want 401 with %s", key, status, body, reason)
		}
	}
	if log := h.log.String(); !strings.Contains(log, `"method":"REST"`) || !strings.Contains(log, `"peer":"127.0.0.1:`) {
		t.Errorf("the log says nothing of the refusals: %s", log)
	}
}

func TestSlowBodies(t *testing.T) {
	h := start(t, &fakeBroker{})
	rest := httptest.NewServer(h.server.newHTTPHandler(Config{MaxMessageBytes: 1000}, 100*time.Millisecond))
	defer rest.Close()
	addr := rest.Listener.Addr().String()
	if status, body := rawRequest(t, addr, post("/v1/emit", adminKey)); status != 408 || !strings.Contains(body, apierror.ReasonRequestTimeout) {
		t.Errorf("%d %s, want 408 with %s", status, body, apierror.ReasonRequestTimeout)
	}
	for path, want := range map[string]int{"/livez": 405, "/nothing": 404} {
		if status, body := rawRequest(t, addr, post(path, adminKey)); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
}

// A call may take longer than its body.
func TestBodyTimeIsNoCallTime(t *testing.T) {
	const bodyTime = 50 * time.Millisecond
	release := make(chan struct{})
	h := start(t, &fakeBroker{})
	ended := make(chan error, 1)
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			ended <- r.Context().Err()
		case <-release:
			ended <- nil
		}
	})
	rest := httptest.NewServer(grace.LimitBodies(h.server.prepareREST(&bodies{1000, bodyTime, h.server.intake}, reading(slow)), bodyTime))
	defer rest.Close()
	time.AfterFunc(4*bodyTime, func() { close(release) })
	req, err := http.NewRequestWithContext(timeout(t), http.MethodPost, rest.URL, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	resp, err := rest.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if err := <-ended; err != nil {
		t.Errorf("the call ended with the time for its body: %v", err)
	}
}

// reading is a handler that takes the body as the gateway does.
func reading(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest := r.Body.(restBody).request //nolint:forcetypeassert // prepareREST has put it there
		rest.call.method = salav1.MessageService_Emit_FullMethodName
		if _, err := rest.open(); err != nil {
			refuse(w, statusOf(err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Bodies hold room for what has arrived of them: those that don't arrive keep
// nobody else's out, and those that would take too much are refused at once.
func TestBodiesAtOnce(t *testing.T) {
	h := start(t, &fakeBroker{})
	addr := strings.TrimPrefix(h.rest.URL, "http://")
	const half = "POST /v1/emit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + adminKey + "\r\nContent-Length: 1000000\r\n\r\n{"
	for range 200 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, half); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, body := h.do(t, "POST", "/v1/emit", `{"rooms":["a"],"event":"e"}`); code != http.StatusOK {
		t.Errorf("beside slow bodies: %d %s", code, body)
	}

	admin, receiving := h.callerOf(t, adminKey), h.server.intake.receiving
	receiving.mu.Lock()
	held := receiving.share - receiving.of[admin]
	receiving.mu.Unlock()
	for ; held > 0 && !receiving.try(admin, held); held -= firstBuffer { // slow bodies may still be on their way
	}
	request := "POST /v1/emit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + adminKey + "\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat(" ", 100_000)
	if status, body := rawRequest(t, addr, request); status != 429 || !strings.Contains(body, apierror.ReasonTooManyRequests) {
		t.Errorf("%d %s, want 429 with %s", status, body, apierror.ReasonTooManyRequests)
	}
	receiving.give(admin, held)
	if code, _, body := h.do(t, "POST", "/v1/emit", strings.Repeat(" ", 100_000)+`{"rooms":["a"],"event":"e"}`); code != http.StatusOK {
		t.Errorf("afterwards: %d %s", code, body)
	}
}

// Without a key a call is refused before its message has arrived.
func TestGRPCKeyComesBeforeTheMessage(t *testing.T) {
	h := start(t, &fakeBroker{})
	for name, tt := range map[string]struct{ key, reason string }{
		"none":  {"", apierror.ReasonAPIKeyRequired},
		"wrong": {"Bearer wrong", apierror.ReasonAPIKeyInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := timeout(t)
			if tt.key != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", tt.key)
			}
			// A message is never sent: a unary method would wait for it.
			stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, salav1.MessageService_Emit_FullMethodName)
			if err != nil {
				t.Fatal(err)
			}
			wantStatus(t, stream.RecvMsg(&salav1.EmitResponse{}), codes.Unauthenticated, tt.reason, "")
			if log := h.log.String(); !strings.Contains(log, salav1.MessageService_Emit_FullMethodName) || !strings.Contains(log, tt.reason) {
				t.Errorf("the log says nothing of it: %s", log)
			}
		})
	}
	err := h.conn.Invoke(timeout(t), "/sala.v1.Made/Up", &salav1.EmitRequest{}, &salav1.EmitResponse{})
	wantStatus(t, err, codes.Unauthenticated, apierror.ReasonAPIKeyRequired, "")
	if _, _, text := h.do(t, "GET", "/metrics", ""); strings.Contains(text, "Made/Up") || !strings.Contains(text, `method="unknown"`) {
		t.Errorf("the metrics have a name that a caller made up, or no count of it: %s", text)
	}
}
