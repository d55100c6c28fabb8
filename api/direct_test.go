package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
)

// A call over REST that is in flight when the server shuts down is waited for, and told if that
// takes too long. None begins after that.
func TestShutdownWithCallsOverREST(t *testing.T) {
	const path, body = "/v1/emit", `{"rooms":["a"],"event":"e","argsJson":"[]"}`
	tests := map[string]struct {
		patience time.Duration
		status   int
		answer   string
		err      error
	}{
		"the call ends":        {patience: time.Minute, status: http.StatusOK, answer: `"matched":7`},
		"it takes too long":    {status: http.StatusServiceUnavailable, answer: `did not answer this call`, err: context.DeadlineExceeded},
		"a stream ends itself": {patience: time.Minute, status: http.StatusServiceUnavailable, answer: `"DRAINING"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			entered, leave := make(chan struct{}), make(chan struct{})
			b := &fakeBroker{emit: func(ctx context.Context, _ broker.Target, _ broker.Message) (broker.Report, error) {
				close(entered)
				select {
				case <-leave:
					return broker.Report{Matched: 7}, nil
				case <-ctx.Done():
					return broker.Report{}, ctx.Err()
				}
			}, emitWithAck: func(ctx context.Context, _ func(broker.Ack) error) (broker.AckSummary, error) {
				close(entered)
				<-ctx.Done()
				return broker.AckSummary{}, ctx.Err()
			}}
			h := start(t, b)
			target := path
			if strings.Contains(name, "stream") {
				target += ":ack"
			}
			type answer struct {
				code int
				text string
			}
			answers := make(chan answer, 1)
			go func() {
				code, _, text := h.do(t, http.MethodPost, target, body)
				answers <- answer{code, text}
			}()
			<-entered
			ctx, cancel := context.WithTimeout(t.Context(), test.patience)
			defer cancel()
			stopped := make(chan error, 1)
			go func() { stopped <- h.server.Shutdown(ctx) }()
			<-h.server.stopping
			if code, _, text := h.do(t, http.MethodPost, path, body); code != http.StatusServiceUnavailable || !strings.Contains(text, `"DRAINING"`) {
				t.Errorf("a new call was answered %d %s", code, text)
			}
			if test.status == http.StatusOK {
				close(leave)
			}
			if got := <-answers; got.code != test.status || !strings.Contains(got.text, test.answer) {
				t.Errorf("the call was answered %d %s, want %d with %s", got.code, got.text, test.status, test.answer)
			}
			if err := <-stopped; !errors.Is(err, test.err) {
				t.Errorf("Shutdown: %v, want %v", err, test.err)
			}
		})
	}
}

// A stream that ends gives its last message first, and a service that panics before it has filled one
// leaves nobody waiting.
func TestEndOfDirectStream(t *testing.T) {
	failed := errors.New("failed")
	for range 100 {
		s := &directStream{wanted: make(chan any), filled: make(chan error, 1), ended: make(chan struct{})}
		go func() {
			<-s.wanted
			s.err = failed
			s.filled <- nil
			close(s.ended)
		}()
		if err := s.RecvMsg(nil); err != nil {
			t.Fatalf("the last message: %v", err)
		}
		if err := s.RecvMsg(nil); !errors.Is(err, failed) {
			t.Fatalf("after it: %v", err)
		}
		s = &directStream{wanted: make(chan any), filled: make(chan error, 1), ended: make(chan struct{})}
		go func() {
			<-s.wanted
			s.err = failed
			close(s.ended)
		}()
		for range 2 {
			if err := s.RecvMsg(nil); !errors.Is(err, failed) {
				t.Fatalf("the end: %v", err)
			}
		}
	}
}
