package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
)

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}, {"serve", "--version"}} {
		code, out, stderr := sala(t, args...)
		if want := buildinfo.Get().String() + "\n"; code != exitOK || out != want || stderr != "" {
			t.Errorf("%v: exit code %d, %q, %q; want %q", args, code, out, stderr, want)
		}
	}
	_, out, _ := sala(t, "version", "-o", "json")
	var got buildinfo.Info
	if err := json.Unmarshal([]byte(out), &got); err != nil || got != buildinfo.Get() {
		t.Errorf("got %q (%v), want %+v", out, err, buildinfo.Get())
	}
	var fields map[string]string
	if err := json.Unmarshal([]byte(out), &fields); err != nil || len(fields) != 5 {
		t.Errorf("got the fields %v (%v), want all five", fields, err)
	}
}

// TestUserAgent looks at what servers learn of the commands that call them.
func TestUserAgent(t *testing.T) {
	want := buildinfo.Get().UserAgent()
	agents := make(chan string, 1)

	rest := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { agents <- r.UserAgent() }))
	defer rest.Close()
	if code, _, stderr := sala(t, "health", "--http-listen", rest.Listener.Addr().String()); code != exitOK {
		t.Fatal(stderr)
	}
	if got := <-agents; got != want {
		t.Errorf("sala health says it is %q, want %q", got, want)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	control := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		agents <- strings.Join(md.Get("user-agent"), ",")
		return status.Error(codes.Unimplemented, "no such service")
	}))
	go func() { _ = control.Serve(listener) }()
	defer control.Stop()
	if code, _, _ := sala(t, "rooms", "--server", listener.Addr().String()); code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	// grpc-go appends its own.
	if got := <-agents; !strings.HasPrefix(got, want+" grpc-go/") {
		t.Errorf("sala rooms says it is %q, want %q", got, want)
	}
}
