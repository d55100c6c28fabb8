package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestNumbersInBodies sends numbers over REST: the broker gets their texts.
func TestNumbersInBodies(t *testing.T) {
	fake := &fakeBroker{}
	h := start(t, fake)
	status, _, body := h.do(t, http.MethodPost, "/v1/emit", `{"event":"e","rooms":[7,"a"],"users":[8.0],"idempotencyKey":10,"args":[{"room":9}]}`)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	calls := fake.take()
	if got := fmt.Sprintf("%+v", calls); len(calls) != 1 || !strings.Contains(got, "Rooms:[7 a] Users:[8]") || !strings.Contains(got, "IdempotencyKey:10") {
		t.Errorf("the broker got %s", got)
	}
	if status, _, body := h.do(t, http.MethodPost, "/v1/presence:count", `{"rooms":[7]}`); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	wantRESTError(t, h, http.MethodPost, "/v1/emit", `{"event":"e","rooms":[true]}`, http.StatusBadRequest, "INVALID_ARGUMENT", "rooms")
}
