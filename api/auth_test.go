package api

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func TestNewRefusesKeys(t *testing.T) {
	for name, keys := range map[string][]auth.Key{
		"none":  nil,
		"twice": {mustKey(t, "a=same:emit"), mustKey(t, "b=same")},
	} {
		if _, err := New(Config{Broker: &fakeBroker{}, MaxMessageBytes: 1, Keys: keys}); err == nil {
			t.Errorf("%s: New accepted the keys", name)
		} else if strings.Contains(err.Error(), "same\"") {
			t.Errorf("%s: the error tells the key: %v", name, err)
		}
	}
}

func TestAuthentication(t *testing.T) {
	h := start(t, &fakeBroker{})
	rooms := salav1.NewRoomServiceClient(h.conn)
	for _, tt := range []struct {
		name    string
		headers []string
		code    codes.Code
		reason  string
		says    string
	}{
		{"no key", nil, codes.Unauthenticated, apierror.ReasonAPIKeyRequired, "Authorization: Bearer <api key>"},
		{"empty", []string{""}, codes.Unauthenticated, apierror.ReasonAPIKeyRequired, "Bearer"},
		{"no scheme", []string{adminKey}, codes.Unauthenticated, apierror.ReasonAPIKeyRequired, "Bearer"},
		{"basic", []string{"Basic " + adminKey}, codes.Unauthenticated, apierror.ReasonAPIKeyRequired, "Bearer"},
		{"no key behind the scheme", []string{"Bearer "}, codes.Unauthenticated, apierror.ReasonAPIKeyRequired, "Bearer"},
		{"twice", []string{"Bearer " + adminKey, "Bearer " + adminKey}, codes.Unauthenticated, apierror.ReasonAPIKeyRequired, "once"},
		{"unknown", []string{"Bearer nonsense"}, codes.Unauthenticated, apierror.ReasonAPIKeyInvalid, "doesn't know this API key"},
		{"a part of a key", []string{"Bearer " + adminKey[:8]}, codes.Unauthenticated, apierror.ReasonAPIKeyInvalid, ""},
		{"key", []string{"Bearer " + adminKey}, codes.OK, "", ""},
		{"lower case scheme", []string{"bearer " + adminKey}, codes.OK, "", ""},
		{"scope is there", []string{"Bearer " + readerKey}, codes.OK, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := timeout(t)
			for _, value := range tt.headers {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
			}
			_, err := rooms.ListRooms(ctx, &salav1.ListRoomsRequest{})
			wantStatus(t, err, tt.code, tt.reason, tt.says)
		})
	}
}

func TestScopes(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	ctx := as(t, readerKey)
	_, err := salav1.NewMessageServiceClient(h.conn).Emit(ctx, &salav1.EmitRequest{})
	wantStatus(t, err, codes.PermissionDenied, apierror.ReasonScopeDenied, `"emit"`)
	stream, err := salav1.NewMessageServiceClient(h.conn).EmitStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantStatus(t, err, codes.PermissionDenied, apierror.ReasonScopeDenied, `"emit"`)
	_, err = salav1.NewRoomServiceClient(h.conn).ClearRoom(ctx, &salav1.ClearRoomRequest{Room: "a"})
	wantStatus(t, err, codes.PermissionDenied, apierror.ReasonScopeDenied, `"rooms:clear"`)
	if calls := b.take(); calls != nil {
		t.Errorf("the broker was asked: %v", calls)
	}
}

func TestHealthNeedsNoKey(t *testing.T) {
	h := start(t, &fakeBroker{})
	resp, err := grpc_health_v1.NewHealthClient(h.conn).Check(timeout(t), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("Check = %v, %v", resp, err)
	}
}

// wantStatus checks a status' code, its ErrorInfo and a part of its message.
func wantStatus(t *testing.T, err error, code codes.Code, reason, says string) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code || !strings.Contains(st.Message(), says) {
		t.Fatalf("got %v, want %s with %q", err, code, says)
	}
	if info := errorInfo(st); code != codes.OK && (info.GetReason() != reason || info.GetDomain() != "sala") {
		t.Errorf("ErrorInfo = %v, want %s in sala", info, reason)
	}
}
