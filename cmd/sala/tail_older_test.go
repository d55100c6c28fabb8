package main

import (
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// olderBroker is the event service of a broker that knows no outcomes.
type olderBroker struct {
	salav1.UnimplementedEventServiceServer
}

// Subscribe implements salav1.EventServiceServer.
func (olderBroker) Subscribe(stream grpc.BidiStreamingServer[salav1.SubscribeRequest, salav1.SubscribeResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if !first.GetStart().GetObserve() || first.GetStart().GetGroup() != "" {
		return net.ErrClosed
	}
	for _, response := range []*salav1.SubscribeResponse{
		{Response: &salav1.SubscribeResponse_Started{Started: &salav1.SubscribeStarted{}}},
		{Response: &salav1.SubscribeResponse_Event{Event: &salav1.ClientEvent{
			Kind: salav1.EventKind_EVENT_KIND_JOIN, Namespace: "/", Room: "lobby", Socket: &salav1.EventSocket{Id: "s1", User: "ana"},
		}}},
	} {
		if err := stream.Send(response); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

func TestTailOfAnOlderBroker(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	salav1.RegisterEventServiceServer(server, olderBroker{})
	go func() { _ = server.Serve(listener) }() // it ends with Stop
	t.Cleanup(server.Stop)
	for _, tt := range []struct {
		args      []string
		code      int
		out, says string
	}{
		{nil, exitOK, "join        / ana s1 lobby\n", "this broker is of an older release: it tells what clients do"},
		{[]string{"--kind", "join"}, exitOK, "join        / ana s1 lobby\n", "this broker is of an older release: it tells what clients do"},
		{[]string{"--user", "ana"}, exitFailure, "", "can't select by --user"},
		{[]string{"--problems"}, exitFailure, "", "can't select by --user"},
		{[]string{"--kind", "emit"}, exitFailure, "", "doesn't know the kind emit"},
	} {
		args := append([]string{"tail", "--server", listener.Addr().String(), "--api-key", testKey, "-n", "1"}, tt.args...)
		code, out, stderr := sala(t, args...)
		if code != tt.code || !strings.HasSuffix(out, tt.out) || !strings.Contains(stderr, tt.says) {
			t.Errorf("%v: exit code %d, %s%s", tt.args, code, out, stderr)
		}
	}
}
