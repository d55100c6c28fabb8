package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/apierror"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func TestParseKey(t *testing.T) {
	for _, tt := range []struct {
		in, name, secret string
		scopes           []Scope
	}{
		{"s3cret", "default", "s3cret", AllScopes()},
		{"c2VjcmV0Cg==", "default", "c2VjcmV0Cg==", AllScopes()},
		{"c2VjcmV0LWtleS13aXRoLXBhZA==", "default", "c2VjcmV0LWtleS13aXRoLXBhZA==", AllScopes()},
		{"c2VjcmV0LWtleS1hYmM=", "default", "c2VjcmV0LWtleS1hYmM=", AllScopes()},
		{"ci=s3cret", "ci", "s3cret", AllScopes()},
		{"ci=c2VjcmV0Cg==", "ci", "c2VjcmV0Cg==", AllScopes()},
		{"my-web.app_2=k:emit", "my-web.app_2", "k", []Scope{ScopeEmit}},
		{"ci=k:tokens:issue,rooms:read, emit", "ci", "k", []Scope{ScopeTokensIssue, ScopeRoomsRead, ScopeEmit}},
	} {
		key, err := ParseKey(tt.in)
		if err != nil {
			t.Errorf("ParseKey(%q): %v", tt.in, err)
			continue
		}
		if key.Name() != tt.name || !slices.Equal(key.Scopes(), tt.scopes) {
			t.Errorf("ParseKey(%q) = %s with %v, want %s with %v", tt.in, key.Name(), key.Scopes(), tt.name, tt.scopes)
		}
		ring, err := newKeyring([]Key{key}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if ring.find(tt.secret) == nil {
			t.Errorf("ParseKey(%q): %q isn't the key", tt.in, tt.secret)
		}
		if ring.find(tt.secret+"x") != nil {
			t.Errorf("ParseKey(%q): a longer key matches", tt.in)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "is empty",
		"ci=:emit":                           "is empty",
		"backend=":                           "the key is empty",
		"hunter2hunter2_=":                   "the key is empty",
		"a.backend.with.dots=":               "the key is empty",
		"hunter2:emit":                       "give it a name",
		"a b=hunter2":                        "the name",
		"=hunter2":                           "the name",
		"ci=hunter2 x":                       "header",
		"ci=hunter2\u00e9":                   "header",
		"hunter2,hunter3":                    "header",
		"ci=hunter2:":                        `"" is no scope`,
		"ci=hunter2:emit,":                   `"" is no scope`,
		"ci=hunter2:rooms":                   "rooms:read",
		"ci=hunter2:Emit":                    "is no scope",
		"ci=hunter2:emit:emit":               "is no scope",
		"ci=abc:hunter2hunter2":              "14 characters",
		"ci=abc:emit,HUNTERTWO":              "9 characters",
		strings.Repeat("n", 65) + "=hunter2": "the name",
	} {
		_, err := ParseKey(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseKey(%q): %v; want an error with %q", in, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseKey(%q): the error tells the key: %v", in, err)
		}
	}
}

func TestKeyDoesNotPrintItsSecret(t *testing.T) {
	key := mustKey(t, "ci=hunter2-hunter2:emit")
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, key); strings.Contains(text, "hunter2") {
			t.Errorf("%s prints the secret: %s", format, text)
		}
	}
}

func TestNewRefusesKeys(t *testing.T) {
	for name, keys := range map[string][]Key{
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

func TestZeroKeyLetsNobodyIn(t *testing.T) {
	ring := keyring{&caller{}}
	for _, secret := range []string{"", "\x00"} {
		if ring.find(secret) != nil {
			t.Errorf("%q matches the zero Key", secret)
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
