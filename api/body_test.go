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
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
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
	for key, reason := range map[string]string{"": ReasonAPIKeyRequired, "wrong": ReasonAPIKeyInvalid} {
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
	if status, body := rawRequest(t, addr, post("/v1/emit", adminKey)); status != 408 || !strings.Contains(body, ReasonRequestTimeout) {
		t.Errorf("%d %s, want 408 with %s", status, body, ReasonRequestTimeout)
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
	rest := httptest.NewServer(limitBodyTime(bodyTime, h.server.prepareREST(newBodyLimits(1000, bodyTime), slow)))
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

func TestBodiesAtOnce(t *testing.T) {
	h := start(t, &fakeBroker{})
	limits := newBodyLimits(1000, 20*time.Millisecond)
	for range maxBodies {
		limits.slots <- struct{}{}
	}
	rest := httptest.NewServer(h.server.prepareREST(limits, http.NotFoundHandler()))
	defer rest.Close()
	addr := rest.Listener.Addr().String()
	request := strings.Replace(post("/v1/emit", adminKey), "1000", "1", 1)
	if status, body := rawRequest(t, addr, request); status != 429 || !strings.Contains(body, ReasonTooManyRequests) {
		t.Errorf("%d %s, want 429 with %s", status, body, ReasonTooManyRequests)
	}
	<-limits.slots
	request = strings.Replace(request, "Host: x", "Host: x\r\nConnection: close", 1)
	for range 2 { // the slot comes back
		if status, body := rawRequest(t, addr, request); status != 404 {
			t.Errorf("%d %s, want 404", status, body)
		}
	}
}

// Without a key a call is refused before its message has arrived.
func TestGRPCKeyComesBeforeTheMessage(t *testing.T) {
	h := start(t, &fakeBroker{})
	for name, tt := range map[string]struct{ key, reason string }{
		"none":  {"", ReasonAPIKeyRequired},
		"wrong": {"Bearer wrong", ReasonAPIKeyInvalid},
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
	wantStatus(t, err, codes.Unauthenticated, ReasonAPIKeyRequired, "")
	if _, _, text := h.do(t, "GET", "/metrics", ""); strings.Contains(text, "Made/Up") || !strings.Contains(text, `method="unknown"`) {
		t.Errorf("the metrics have a name that a caller made up, or no count of it: %s", text)
	}
}
