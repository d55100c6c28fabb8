package api

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const tailKey = "tail-0123456789abcdef"

// TestRevokedKeyEndsItsStreams replaces the key of streams over gRPC and REST, while one of another
// key goes on.
func TestRevokedKeyEndsItsStreams(t *testing.T) {
	for _, tt := range []struct {
		name, entry, audited string
		code                 codes.Code
		reason               string
		next                 int // the status of the next call
	}{
		{"revoked", "", "Keys/Revoke tail", codes.Unauthenticated, apierror.ReasonAPIKeyInvalid, http.StatusUnauthorized},
		{"fewer scopes", "tail=" + tailKey + ":rooms:read", "Keys/Rescope tail", codes.Unavailable, apierror.ReasonAPIKeyChanged, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := &records{}
			h := startReal(t, func(cfg *Config) {
				cfg.Keys = append(cfg.Keys, mustKey(t, "tail="+tailKey+":events"))
				cfg.Audit = log
			})
			observe := salav1.NewObserveServiceClient(h.conn)
			mine, err := observe.Tail(as(t, tailKey), &salav1.TailRequest{})
			if err != nil {
				t.Fatal(err)
			}
			other, err := observe.Tail(as(t, adminKey), &salav1.TailRequest{})
			if err != nil {
				t.Fatal(err)
			}
			backend, err := salav1.NewEventServiceClient(h.conn).Subscribe(as(t, tailKey))
			if err != nil {
				t.Fatal(err)
			}
			if err := backend.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{Group: "g"}}}); err != nil {
				t.Fatal(err)
			}
			_, line := h.lines(t, "/v1/events", "Authorization", "Bearer "+tailKey)
			for _, receive := range []func() error{
				func() error { _, err := mine.Recv(); return err },
				func() error { _, err := other.Recv(); return err },
				func() error { _, err := backend.Recv(); return err },
			} {
				if err := receive(); err != nil {
					t.Fatal(err)
				}
			}
			line() // the status
			keys := []auth.Key{mustKey(t, "admin="+adminKey)}
			if tt.entry != "" {
				keys = append(keys, mustKey(t, tt.entry))
			}
			if err := h.server.ReplaceKeys(keys); err != nil {
				t.Fatal(err)
			}
			for what, receive := range map[string]func() error{
				"tail":      func() error { _, err := mine.Recv(); return err },
				"subscribe": func() error { _, err := backend.Recv(); return err },
			} {
				if err := receive(); status.Code(err) != tt.code || errorInfo(status.Convert(err)).GetReason() != tt.reason {
					t.Errorf("%s ends with %v", what, err)
				}
			}
			if got := line(); !strings.HasPrefix(got, `{"error":`) || !strings.Contains(got, tt.reason) {
				t.Errorf("over REST: %s", got)
			}
			if code, _, text := h.do(t, http.MethodGet, "/v1/events", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+tailKey) }); code != tt.next {
				t.Errorf("the next call gets %d %s", code, text)
			}
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+adminKey)
			if _, err := salav1.NewMessageServiceClient(h.conn).Emit(ctx, &salav1.EmitRequest{Rooms: []string{"r"}, Event: "e"}); err != nil {
				t.Fatal(err)
			}
			if got, err := other.Recv(); err != nil || got.GetEvent().GetEvent() != "e" {
				t.Errorf("the stream of another key: %v, %v", got, err)
			}
			var lines []string
			log.mu.Lock()
			for _, r := range log.all {
				lines = append(lines, strings.TrimPrefix(r.Method, "/sala.v1.")+" "+r.Key+" "+r.Code)
			}
			log.mu.Unlock()
			all := strings.Join(lines, "\n")
			for _, want := range []string{tt.audited + " OK", "ObserveService/Tail tail " + apierror.CodeName(tt.code), "EventService/Subscribe tail " + apierror.CodeName(tt.code)} {
				if !strings.Contains(all, want) {
					t.Errorf("the audit log lacks %q:\n%s", want, all)
				}
			}
		})
	}
}
