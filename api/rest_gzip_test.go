package api

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// TestGzip: callers may compress, and what a request becomes has the limit of one
// that wasn't compressed.
func TestGzip(t *testing.T) {
	fake := &fakeBroker{}
	h := start(t, fake)
	client := salav1.NewMessageServiceClient(h.conn)
	compressed := grpc.UseCompressor(gzip.Name)
	args := `["` + strings.Repeat("x", 100_000) + `"]`
	if _, err := client.Emit(as(t, adminKey), &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e", ArgsJson: args}, compressed); err != nil {
		t.Fatal(err)
	}
	calls := fake.take()
	if len(calls) != 1 || string(calls[0].(emitCall).Message.(broker.Message).Args) != args {
		t.Errorf("the broker got %.100v", calls)
	}
	for _, n := range []int{3 << 20, 8 << 20} {
		_, err := client.Emit(as(t, adminKey), &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e", ArgsJson: `["` + strings.Repeat("x", n) + `"]`}, compressed)
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%d bytes: %v, want RESOURCE_EXHAUSTED", n, err)
		}
	}
	_, err := client.Emit(context.Background(), &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e"}, compressed)
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a key: %v", err)
	}
	if calls := fake.take(); len(calls) > 0 {
		t.Errorf("the broker got %.100v", calls)
	}
}
