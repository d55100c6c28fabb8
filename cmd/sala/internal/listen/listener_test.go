package listen

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/salabroker/sala/cmd/sala/internal/config"
)

func TestHostPort(t *testing.T) {
	for addr, want := range map[string]string{"0.0.0.0:0": "127.0.0.1:", ":0": "127.0.0.1:", "127.0.0.1:0": "127.0.0.1:"} {
		l, err := Control(t.Context(), config.Listener{Name: "http", Flag: "--http-listen", Addr: addr}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if got := l.HostPort(); !strings.HasPrefix(got, want) || strings.HasSuffix(got, ":0") {
			t.Errorf("%s is reached at %s", addr, got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
