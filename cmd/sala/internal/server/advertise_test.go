package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/salabroker/sala/cmd/sala/internal/certs"
	"github.com/salabroker/sala/cmd/sala/internal/config"
	"github.com/salabroker/sala/cmd/sala/internal/listen"
)

func TestAdvertise(t *testing.T) {
	const local, far = "redis://127.0.0.1:6379", "redis://redis.example.com"
	for name, tt := range map[string]struct {
		listen, redis, pod string
		at                 config.Advertise
		secure             bool
		want               string // PORT is that of the listener
		warns              bool
	}{
		"an address":            {listen: ":0", redis: far, at: config.Advertise{Host: "node1", Port: "80"}, want: "http://node1:80"},
		"a host":                {listen: ":0", redis: far, at: config.Advertise{Host: "2001:db8::1"}, want: "http://[2001:db8::1]:PORT"},
		"a URL":                 {listen: ":0", redis: far, at: config.Advertise{Scheme: "https", Host: "node1", Port: "443"}, want: "https://node1:443"},
		"with a certificate":    {listen: ":0", redis: far, at: config.Advertise{Host: "node1"}, secure: true, want: "https://node1:PORT"},
		"what it listens on":    {listen: "127.0.0.1:0", redis: local, pod: "10.1.2.3", want: "http://127.0.0.1:PORT"},
		"loopback, Redis isn't": {listen: "127.0.0.1:0", redis: far, want: "http://127.0.0.1:PORT", warns: true},
		"a pod":                 {listen: ":0", redis: local, pod: "10.1.2.3", want: "http://10.1.2.3:PORT"},
		"a pod of IPv6":         {listen: ":0", redis: local, pod: "fd00::3", want: "http://[fd00::3]:PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(envPodIP, tt.pod)
			public, err := listen.Clients(t.Context(), config.Listener{Addr: tt.listen}, listen.ClientLimits{}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = public.Close() }()
			if tt.secure {
				public.TLS = &certs.Source{}
			}
			var log bytes.Buffer
			s := &Server{public: public, log: slog.New(slog.NewTextHandler(&log, nil))}
			got := s.advertise(t.Context(), &config.Cluster{RedisURL: tt.redis, Advertise: tt.at})
			if want := strings.Replace(tt.want, "PORT", fmt.Sprint(public.Port()), 1); got != want || !strings.Contains(log.String(), "url="+want) {
				t.Errorf("it advertises %s, want %s, and logs %s", got, want, &log)
			}
			if strings.Contains(log.String(), "level=WARN") != tt.warns {
				t.Errorf("it logs %s", &log)
			}
		})
	}
}

// TestRoute finds the address of this machine that packets to a host come from.
func TestRoute(t *testing.T) {
	if got := routeTo(t.Context(), "127.0.0.1"); got != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("to loopback: %v", got)
	}
	for _, nowhere := range []string{"", "no such host", "host.invalid"} {
		if got := routeTo(t.Context(), nowhere); got.IsValid() {
			t.Errorf("to %q: %v", nowhere, got)
		}
	}
	for url, want := range map[string]string{
		"redis://h:1/2": "h", "rediss://u:p@h?addr=i": "h", "redis://": "127.0.0.1", "unix:///run/r.sock": "", "redis://[2001:db8::1]:6379": "2001:db8::1",
	} {
		if got := redisHost(url); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
