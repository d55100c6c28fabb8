package server

import (
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// TestPublicHealth asks the public listener whether the node is well, while it
// is and while it drains.
func TestPublicHealth(t *testing.T) {
	for _, wanted := range []bool{false, true} {
		cfg := testConfig(t, func(f *config.Flags) { f.PublicHealth = wanted })
		s, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler), io.Discard, buildinfo.Info{Version: "test"})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		ask := func(path, want string) {
			t.Helper()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.public.URL()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Close = true
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			text, _ := io.ReadAll(response.Body)
			got := response.Status + " " + string(text)
			if !wanted {
				got, want = response.Status, "404 Not Found"
			}
			if got != want {
				t.Errorf("%s: %q, want %q", path, got, want)
			}
		}
		ask("/livez", "200 OK ok\n")
		ask("/readyz", "200 OK ok\n")
		nodes, err := s.broker.ListNodes(t.Context())
		if err != nil || len(nodes.Nodes) != 1 {
			t.Fatalf("%+v, %v", nodes, err)
		}
		if _, err := s.broker.Drain(t.Context(), nodes.Nodes[0].ID); err != nil {
			t.Error(err)
		}
		ask("/livez", "200 OK ok\n")
		ask("/readyz", "503 Service Unavailable not ready\n")
		s.Stop(t.Context())
	}
}
