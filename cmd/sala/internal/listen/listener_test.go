package listen

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/salabroker/sala/cmd/sala/internal/config"
)

func TestHostPort(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:0": "127.0.0.1:", ":0": "127.0.0.1:", "[::]:0": "127.0.0.1:", "127.0.0.1:0": "127.0.0.1:", "127.0.0.2:0": "127.0.0.2:", "[::1]:0": "[::1]:",
	} {
		l, err := Control(t.Context(), config.Listener{Name: "http", Flag: "--http-listen", Addr: addr}, slog.New(slog.DiscardHandler))
		if err != nil && (addr == "[::1]:0" || addr == "127.0.0.2:0") {
			continue // there is no IPv6, or, on macOS, only one loopback address
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := l.HostPort(); !strings.HasPrefix(got, want) || strings.HasSuffix(got, ":0") {
			t.Errorf("%s is reached at %s", addr, got)
		}
		conn, err := net.Dial("tcp", l.HostPort())
		if err != nil {
			t.Errorf("%s: %v", addr, err)
		} else {
			_ = conn.Close()
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
