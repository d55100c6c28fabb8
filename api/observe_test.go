package api

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// lines opens a stream over REST. next returns the next line that has something in it.
func (h *harness) lines(t *testing.T, path string, header ...string) (resp *http.Response, next func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.rest.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err = h.rest.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	in := bufio.NewScanner(resp.Body)
	return resp, func() string {
		t.Helper()
		for in.Scan() {
			if in.Text() != "" {
				return in.Text()
			}
		}
		t.Fatalf("the stream has ended: %v", in.Err())
		return ""
	}
}

func TestTailOverREST(t *testing.T) {
	h := startReal(t)
	for _, tt := range []struct{ accept, contentType, prefix string }{
		{"*/*", "application/x-ndjson", ""},
		{"text/event-stream", "text/event-stream", "data: "},
	} {
		resp, next := h.lines(t, "/v1/events?kinds=EVENT_KIND_EMIT&rooms=chat:42", "Accept", tt.accept)
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != tt.contentType {
			t.Fatalf("%s: %d %s", tt.accept, resp.StatusCode, got)
		}
		if got, want := next(), tt.prefix+`{"result":{"status":{"partial":false,"missingNodes":[]}}}`; got != want {
			t.Errorf("%s: %s, want %s", tt.accept, got, want)
		}
		for _, room := range []string{"other", "chat:42"} {
			if status, _, text := h.do(t, "POST", "/v1/emit", `{"rooms":["`+room+`"],"event":"news","args":["secret"]}`); status != 200 {
				t.Fatal(status, text)
			}
		}
		got := next()
		for _, want := range []string{
			tt.prefix + `{"result":{"event":{"kind":"EVENT_KIND_EMIT",`, `"event":"news"`, `"rooms":["chat:42"]`, `"key":"admin"`, `"result":"OUTCOME_RESULT_SENT"`, `"matched":0`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %s lacks %s", tt.accept, got, want)
			}
		}
		if strings.Contains(got, "secret") {
			t.Errorf("%s: %s has the arguments of a backend", tt.accept, got)
		}
		_ = resp.Body.Close()
	}
	// Only a stream becomes events, and an error stays JSON.
	for path, want := range map[string]string{"/v1/rooms": `{"rooms":[]`, "/v1/events?kinds=EVENT_KIND_DANCE": `{"code":3`, "/v1/events?rooms=": `{"code":3`} {
		resp, next := h.lines(t, path, "Accept", "text/event-stream")
		if got := next(); !strings.HasPrefix(got, want) || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s %s", path, resp.Header.Get("Content-Type"), got)
		}
	}
}

func TestTailEndsWithTheServer(t *testing.T) {
	h := startReal(t)
	stream, err := salav1.NewObserveServiceClient(h.conn).Tail(as(t, adminKey), &salav1.TailRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := stream.Recv(); err != nil || first.GetStatus() == nil {
		t.Fatalf("%v, %v", first, err)
	}
	if err := h.server.Shutdown(timeout(t)); err != nil {
		t.Error(err)
	}
	_, err = stream.Recv()
	wantStatus(t, err, codes.Unavailable, broker.ReasonDraining, "shutting down")
}
