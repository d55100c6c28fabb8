package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func TestEmitStreamKeepsOrder(t *testing.T) {
	const n = 20_000
	var emitted []string
	b := &fakeBroker{emit: func(_ context.Context, _ broker.Target, m broker.Message) (broker.Report, error) {
		emitted = append(emitted, m.Event)
		if len(emitted)%1000 == 0 {
			return broker.Report{}, &broker.Error{Code: broker.CodeNotFound, Reason: "NAMESPACE_NOT_FOUND", Message: "no"}
		}
		return broker.Report{Matched: len(emitted), Queued: len(emitted)}, nil
	}}
	stream, err := salav1.NewMessageServiceClient(start(t, b).conn).EmitStream(as(t, adminKey))
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			if err := stream.Send(&salav1.EmitStreamRequest{
				Sequence: uint64(n - i), Emit: &salav1.EmitRequest{Event: fmt.Sprint("e", i)},
			}); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	for i := range n {
		resp, err := stream.Recv()
		if err != nil {
			t.Fatalf("result %d: %v", i, err)
		}
		if resp.GetSequence() != uint64(n-i) {
			t.Fatalf("result %d is for %d, want %d", i, resp.GetSequence(), n-i)
		}
		if failed := (i+1)%1000 == 0; failed != (resp.GetResult().GetError() != nil) || !failed && resp.GetResult().GetMatched() != uint32(i+1) {
			t.Fatalf("result %d: %v", i, resp.GetResult())
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last result: %v, want the end", err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if len(emitted) != n {
		t.Fatalf("%d events emitted, want %d", len(emitted), n)
	}
	for i, event := range emitted {
		if event != fmt.Sprint("e", i) {
			t.Fatalf("event %d is %s", i, event)
		}
	}
}

// A caller that reads no results is kept from writing: neither side grows.
func TestEmitStreamIsBounded(t *testing.T) {
	b := &fakeBroker{}
	stream, err := salav1.NewMessageServiceClient(start(t, b).conn).EmitStream(as(t, adminKey))
	if err != nil {
		t.Fatal(err)
	}
	const limit = 1_000_000
	progress := make(chan int, limit)
	go func() {
		defer close(progress)
		for i := range limit {
			if stream.Send(&salav1.EmitStreamRequest{Sequence: 1 << 60, Emit: &salav1.EmitRequest{Event: "e"}}) != nil {
				return
			}
			progress <- i
		}
	}()
	last := 0
	for stalled := false; !stalled; {
		select {
		case last = <-progress:
		case <-time.After(time.Second):
			stalled = true
		}
	}
	if last == 0 || last == limit-1 {
		t.Errorf("the caller wrote %d of %d events without reading a result", last+1, limit)
	}
	// It goes on as soon as results are read.
	for range last {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if next := <-progress; next <= last {
		t.Errorf("the caller is stuck at %d", next)
	}
}

func TestEmitStreamWithoutAnEvent(t *testing.T) {
	b := &fakeBroker{}
	stream, err := salav1.NewMessageServiceClient(start(t, b).conn).EmitStream(as(t, adminKey))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&salav1.EmitStreamRequest{Sequence: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	wantCalls(t, b, emitCall{broker.Target{}, broker.Message{Unreported: true}}) // which a broker refuses
}

// Shutdown ends a stream with a reason, after the results of what was emitted.
func TestEmitStreamEndsOnShutdown(t *testing.T) {
	h := start(t, &fakeBroker{matched: 1})
	stream, err := salav1.NewMessageServiceClient(h.conn).EmitStream(as(t, adminKey))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&salav1.EmitStreamRequest{Sequence: 7}); err != nil {
		t.Fatal(err)
	}
	if resp, err := stream.Recv(); err != nil || resp.GetSequence() != 7 {
		t.Fatalf("Recv = %v, %v", resp, err)
	}
	if err := h.server.Shutdown(timeout(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	_, err = stream.Recv()
	wantStatus(t, err, codes.Unavailable, "DRAINING", "not answered")
}

func TestEmitStreamCancelled(t *testing.T) {
	h := start(t, &fakeBroker{})
	ctx, cancel := context.WithCancel(as(t, adminKey))
	stream, err := salav1.NewMessageServiceClient(h.conn).EmitStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("Recv: %v", err)
	}
	// TestMain checks that its goroutine is gone.
}

// A caller that reads no results has few of them in gRPC's queues, where each takes
// many times its bytes: its events wait in the stream's window. None is lost.
func TestUnreadResultsAreFew(t *testing.T) {
	for _, compression := range []string{"identity", "gzip"} {
		t.Run(compression, func(t *testing.T) {
			const events = 3 * maxQueuedMessages // which fit into the window
			var emitted atomic.Int64
			h := start(t, &fakeBroker{emit: func(context.Context, broker.Target, broker.Message) (broker.Report, error) {
				emitted.Add(1)
				return broker.Report{}, nil
			}})
			a := attack(t, h.grpcAddr)
			err := errors.Join(
				a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}),
				a.WriteHeaders(http2.HeadersFrameParam{
					StreamID: 1, EndHeaders: true,
					BlockFragment: a.headers(salav1.MessageService_EmitStream_FullMethodName, "grpc-encoding", compression),
				}),
			)
			if err != nil {
				t.Fatal(err)
			}
			for range events {
				if err := a.WriteData(1, false, []byte{0, 0, 0, 0, 5, 0x08, 0x80, 0x80, 0x80, 0x01}); err != nil { // a large sequence
					t.Fatal(err)
				}
			}
			const result, step = 5 + 5, 8 // bytes of a result, and results that are read at a time
			for read := 0; read < events*result; {
				if err := a.WriteWindowUpdate(1, step*result); err != nil {
					t.Fatal(err)
				}
				for end := read + step*result; read < end; {
					frame, err := a.ReadFrame()
					if err != nil {
						t.Fatal(err)
					}
					if data, ok := frame.(*http2.DataFrame); ok {
						read += len(data.Data())
					}
				}
				if n := int(emitted.Load()); n > read/result+maxQueuedMessages+1 {
					t.Fatalf("%d events were emitted of which %d results were read", n, read/result)
				}
			}
		})
	}
}
