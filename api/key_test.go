package api

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/auth"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func TestGetKey(t *testing.T) {
	const secret = "key-that-nobody-may-see-again"
	h := start(t, &fakeBroker{}, func(cfg *Config) {
		cfg.Keys = append(cfg.Keys, mustKey(t, "shop="+secret+":rooms:read:/chat:room-*,rooms:read:/ops,emit"))
	})
	want := &salav1.GetKeyResponse{Name: "shop", Scopes: []*salav1.KeyScope{
		{Scope: "rooms:read", Limits: []*salav1.KeyLimit{{Namespace: "/chat", Rooms: "room-*"}, {Namespace: "/ops"}}},
		{Scope: "emit"},
	}}
	got, err := salav1.NewKeyServiceClient(h.conn).GetKey(as(t, secret), &salav1.GetKeyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, got, want)

	code, _, text := h.do(t, "GET", "/v1/keys:self", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) })
	if code != http.StatusOK || !strings.Contains(text, `"scopes":[{"scope":"rooms:read","limits":[{"namespace":"/chat","rooms":"room-*"},`) {
		t.Errorf("status %d: %s", code, text)
	}
	if strings.Contains(text, secret) {
		t.Errorf("the answer contains the key: %s", text)
	}
}

func TestGetKeyWithAllScopes(t *testing.T) {
	h := start(t, &fakeBroker{})
	got, err := salav1.NewKeyServiceClient(h.conn).GetKey(as(t, adminKey), &salav1.GetKeyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.GetScopes()) != len(auth.AllScopes()) || len(got.GetScopes()[0].GetLimits()) != 0 {
		t.Errorf("got %v, want all scopes without limits", got)
	}
}

func TestGetKeyNeedsAKey(t *testing.T) {
	h := start(t, &fakeBroker{})
	_, err := salav1.NewKeyServiceClient(h.conn).GetKey(as(t, "unknown-key-of-a-stranger"), &salav1.GetKeyRequest{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v, want Unauthenticated", err)
	}
	code, _, _ := h.do(t, "GET", "/v1/keys:self", "", func(r *http.Request) { r.Header.Del("Authorization") })
	if code != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", code)
	}
}
