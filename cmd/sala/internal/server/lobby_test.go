package server

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// TestProbesGetThrough crowds the control listeners with connections that show
// no key: probes are answered all the same, and callers stay.
func TestProbesGetThrough(t *testing.T) {
	s := newTestServer(t)
	s.Start()
	defer s.Stop(t.Context())

	callers := &http.Client{Transport: &http.Transport{}}
	defer callers.CloseIdleConnections()
	get := func(client *http.Client, path string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.http.url()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+s.cfg.DevKey)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return response.StatusCode
	}
	if code := get(callers, "/v1/rooms"); code != http.StatusOK {
		t.Fatalf("a caller: %d", code)
	}
	conn, err := grpc.NewClient(s.grpc.reachable(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.cfg.DevKey)
	stream, err := salav1.NewMessageServiceClient(conn).EmitStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exchange := func() error {
		if err := stream.Send(&salav1.EmitStreamRequest{Emit: &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e"}}); err != nil {
			return err
		}
		_, err := stream.Recv()
		return err
	}
	if err := exchange(); err != nil {
		t.Fatalf("a stream: %v", err)
	}

	for l, says := range map[*listener]string{s.http: "GET / HTTP/1.1\r\nHost: x\r\n", s.grpc: http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"} {
		for range 2 * lobbyPlaces {
			_, _ = io.WriteString(hold(t, l.gate), says) // it may have been closed already
		}
		eventually(t, "the lobby has closed the oldest", func() bool {
			waiting, evicted, _ := l.gate.lobby.counts()
			return waiting <= lobbyShare && evicted >= 2*lobbyPlaces-lobbyShare
		})
	}
	if code := get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "/livez"); code != http.StatusOK {
		t.Errorf("/livez: %d", code)
	}
	probe, err := grpc.NewClient(s.grpc.reachable(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = probe.Close() }()
	if _, err := grpc_health_v1.NewHealthClient(probe).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Errorf("the health check: %v", err)
	}
	if err := exchange(); err != nil {
		t.Errorf("the stream, afterwards: %v", err)
	}
	if code := get(callers, "/v1/rooms"); code != http.StatusOK {
		t.Errorf("the caller, afterwards: %d", code)
	}
}

// TestLobbyKeepsThoseThatSpeak has one that has sent something outlast a flood of
// silent ones, and a new one outlast those that speak without end.
func TestLobbyKeepsThoseThatSpeak(t *testing.T) {
	g := &gate{gateOptions: gateOptions{lobby: newLobby()}}
	come := func(spoke bool) *passage {
		p := &passage{TCPConn: &net.TCPConn{}, gate: g, from: netip.MustParseAddr("192.0.2.1")}
		g.lobby.enter(p)
		p.spoke.Store(spoke)
		return p
	}
	probe := come(true)
	for range 10 * lobbyPlaces {
		come(false)
	}
	if probe.place == nil {
		t.Error("a probe that has asked goes for those that say nothing")
	}
	for range 10 * lobbyPlaces {
		come(true)
	}
	probe = come(false)
	for range lobbyShare/2 - 1 {
		come(true)
	}
	if probe.place == nil {
		t.Error("a new one goes for those that speak")
	}
}

// TestLobby has connections come, speak, show a key and go.
func TestLobby(t *testing.T) {
	g := &gate{gateOptions: gateOptions{lobby: newLobby()}}
	l := g.lobby
	come := func(address string) (p, evicted *passage) {
		p = &passage{TCPConn: &net.TCPConn{}, gate: g, from: netip.MustParseAddr(address)}
		return p, l.enter(p)
	}
	var crowd []*passage
	for range lobbyShare {
		p, evicted := come("192.0.2.1")
		if evicted != nil {
			t.Fatal("one goes while there is room")
		}
		crowd = append(crowd, p)
	}
	neighbour, _ := come("192.0.2.2")
	l.heard(crowd[0])
	if _, evicted := come("192.0.2.1"); evicted != crowd[1] {
		t.Error("it isn't the one of its address that goes that has been silent for the longest time")
	}
	if _, evicted := come("2001:db8::1"); evicted != nil {
		t.Error("one goes while there is room")
	}
	for i := range lobbyPlaces - lobbyShare - 2 {
		_, _ = come(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String())
	}
	if _, evicted := come("198.51.100.1"); evicted != crowd[2] {
		t.Error("it isn't the one that goes that has been silent for the longest time")
	}

	for range 2 { // it shows it with each call
		if !l.admit(neighbour) || neighbour.place != nil {
			t.Error("one that shows a key doesn't leave the lobby")
		}
	}
	if l.admit(crowd[1]) {
		t.Error("one is admitted that has gone")
	}
	for i := range callerShare {
		p, _ := come("2001:db8:1::1")
		if got := l.admit(p); !got {
			t.Fatalf("caller %d of an address isn't admitted", i)
		}
	}
	last, _ := come("2001:db8:1::2")
	if l.admit(last) {
		t.Error("an address has more callers than it may have")
	}
	for range maxControlConnections - callerShare - 1 {
		p, _ := come("192.0.2.3")
		if !l.admit(p) {
			t.Fatal("a caller of another address isn't admitted")
		}
	}
	p, _ := come("192.0.2.4")
	if l.admit(p) {
		t.Error("there are more callers than there may be")
	}
	l.leave(neighbour)
	if !l.admit(p) {
		t.Error("a place doesn't come back")
	}
	l.leave(p)
	if waiting, _, refused := l.counts(); waiting > lobbyPlaces || refused != 2 {
		t.Errorf("%d are waiting, %d were refused", waiting, refused)
	}
}
