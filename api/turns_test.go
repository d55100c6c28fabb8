package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/turns"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Large requests and answers take turns, small ones don't.
func TestLargeCallsTakeTurns(t *testing.T) {
	large := `["` + strings.Repeat("x", 2*smallCost) + `"]`
	for name, call := range map[string]func(*testing.T, *harness){
		"a request over REST": func(t *testing.T, h *harness) {
			status, _, text := h.do(t, http.MethodPost, "/v1/emit", `{"rooms":["a"],"event":"e","args":`+large+`}`)
			if status != http.StatusOK {
				t.Errorf("%d %s", status, text)
			}
		},
		"a request over gRPC": func(t *testing.T, h *harness) {
			_, err := salav1.NewMessageServiceClient(h.conn).Emit(as(t, adminKey), &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e", ArgsJson: large})
			if err != nil {
				t.Error(err)
			}
		},
		"an answer over REST": func(t *testing.T, h *harness) {
			if status, _, text := h.do(t, http.MethodGet, "/v1/rooms/a/messages", ""); status != http.StatusOK {
				t.Errorf("%d %s", status, text)
			}
		},
		"an ack": func(t *testing.T, h *harness) {
			stream, err := salav1.NewMessageServiceClient(h.conn).EmitWithAck(as(t, adminKey), &salav1.EmitWithAckRequest{Rooms: []string{"a"}, Event: "e"})
			for err == nil && stream.Context().Err() == nil {
				var answer *salav1.EmitWithAckResponse
				if answer, err = stream.Recv(); answer.GetSummary() != nil {
					return
				}
			}
			t.Error(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			only := turns.New(1)
			b := &fakeBroker{
				messages: broker.MessagesPage{Messages: []broker.RoomMessage{{Event: "e", Args: []byte(large)}}},
				emitWithAck: func(_ context.Context, each func(broker.Ack) error) (broker.AckSummary, error) {
					return broker.AckSummary{}, each(broker.Ack{Args: json.RawMessage(large)})
				},
			}
			h := start(t, b, func(c *Config) { c.Turns = only })
			only.Take("the test")
			done := make(chan struct{})
			go func() {
				defer close(done)
				call(t, h)
			}()
			for range 50 { // a call that doesn't wait is over before the last of these
				if status, _, text := h.do(t, http.MethodGet, "/v1/rooms/a", ""); status != http.StatusOK {
					t.Fatalf("a small call meanwhile: %d %s", status, text)
				}
			}
			select {
			case <-done:
				t.Error("it took no turn")
			default:
			}
			only.Give()
			<-done
			if !only.Try() {
				t.Error("it has kept its turn")
			}
		})
	}
}
