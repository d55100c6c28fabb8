package api

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/eventhub"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// callerOf returns who calls with a key.
func (h *harness) callerOf(t *testing.T, key string) *auth.Caller {
	t.Helper()
	by, err := h.server.auth.Authenticate([]string{"Bearer " + key}, func() string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return by
}

// inUse returns how many bytes are taken.
func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// beginMessage opens an EmitStream and sends the beginning of a message.
func (a *hostile) beginMessage(stream uint32, length, sent int) {
	a.t.Helper()
	err := a.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: a.headers(salav1.MessageService_EmitStream_FullMethodName), EndHeaders: true,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	begun := make([]byte, 5+sent)
	binary.BigEndian.PutUint32(begun[1:], uint32(length))
	if err := a.WriteData(stream, false, begun); err != nil {
		a.t.Fatal(err)
	}
}

// Messages that have begun to arrive on streams continue if there is room for them.
// The others wait in their windows, and other keys notice nothing.
func TestMessagesWaitForRoom(t *testing.T) {
	h := start(t, &fakeBroker{}, func(cfg *Config) { cfg.MemoryLimit = 1 }) // a key has room for one large message
	const streams, length = 20, 1_000_000
	a := attack(t, h.grpcAddr)
	for i := range streams {
		a.beginMessage(uint32(2*i+1), length, 1000)
	}
	ctx, receiving := timeout(t), h.server.intake.receiving
	for waiting := 0; waiting < streams-1; runtime.Gosched() {
		if ctx.Err() != nil {
			t.Fatalf("%d of %d messages wait", waiting, streams)
		}
		receiving.mu.Lock()
		waiting = len(receiving.waiting)
		receiving.mu.Unlock()
	}
	windows := map[uint32]uint32{}
	for answered := false; !answered; {
		frame, err := a.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := frame.(type) {
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				continue
			}
			windows[f.StreamID] += f.Increment
			if err := a.WritePing(false, [8]byte{1}); err != nil {
				t.Fatal(err)
			}
		case *http2.PingFrame:
			answered = f.IsAck()
		}
	}
	if len(windows) != 1 {
		t.Errorf("the windows of %d streams are open, want one: %v", len(windows), windows)
	}
	if _, err := salav1.NewRoomServiceClient(h.conn).ListRooms(as(t, readerKey), &salav1.ListRoomsRequest{}); err != nil {
		t.Errorf("another key's call: %v", err)
	}
}

// A message that is too long in coming ends its stream.
func TestHalfAMessage(t *testing.T) {
	h := start(t, &fakeBroker{})
	h.server.intake.arriving = 50 * time.Millisecond
	a := attack(t, h.grpcAddr)
	a.beginMessage(1, 1_000_000, 1000)
	decoder := hpack.NewDecoder(4096, nil)
	for {
		frame, err := a.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		headers, ok := frame.(*http2.HeadersFrame)
		if !ok || !headers.StreamEnded() {
			continue
		}
		fields, err := decoder.DecodeFull(headers.HeaderBlockFragment())
		if err != nil {
			t.Fatal(err)
		}
		want := hpack.HeaderField{Name: "grpc-status", Value: fmt.Sprint(int(codes.DeadlineExceeded))}
		for _, field := range fields {
			if field.Name == want.Name && field.Value != want.Value {
				t.Errorf("the stream ended with %s, want %s", field, want)
			}
		}
		break
	}
	ctx := timeout(t)
	for h.server.intake.receiving.inUse() != 0 {
		if ctx.Err() != nil {
			t.Fatal("its room is still taken")
		}
		runtime.Gosched()
	}
}

// A message for which there is no room fails by itself, and its stream goes on. Small
// messages need none.
func TestNoRoomForAMessage(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{})
	h.server.intake.patience = 10 * time.Millisecond
	by := h.callerOf(t, adminKey)
	b := h.backend(t, &salav1.SubscribeStart{Group: "g", Credits: 10})
	stream, err := salav1.NewMessageServiceClient(h.conn).EmitStream(as(t, adminKey))
	if err != nil {
		t.Fatal(err)
	}
	emit := func(sequence uint64, e *salav1.EmitRequest) *salav1.EmitError {
		t.Helper()
		e.Event = "e"
		if err := stream.Send(&salav1.EmitStreamRequest{Sequence: sequence, Emit: e}); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetSequence() != sequence {
			t.Errorf("the result is of %d, want %d", resp.GetSequence(), sequence)
		}
		return resp.GetResult().GetError()
	}
	large := `["` + strings.Repeat("x", 90_000) + `"]`
	for name, tt := range map[string]struct {
		of   *budget
		emit *salav1.EmitRequest
	}{
		"to arrive":     {h.server.intake.receiving, &salav1.EmitRequest{Rooms: []string{"a"}, ArgsJson: large}},
		"to be decoded": {h.server.intake.decoding, &salav1.EmitRequest{Rooms: make([]string, 1000)}},
	} {
		t.Run(name, func(t *testing.T) {
			if !tt.of.try(by, tt.of.share) {
				t.Fatal("there is no room")
			}
			if failed := emit(7, tt.emit); failed.GetReason() != apierror.ReasonTooManyRequests || codes.Code(failed.GetCode()) != codes.ResourceExhausted {
				t.Errorf("without room: %v", failed)
			}
			if failed := emit(8, &salav1.EmitRequest{Rooms: []string{"a"}}); failed != nil {
				t.Errorf("a small one: %v", failed)
			}
			replies := ask(hub, messageOf(nil, "q"))
			id := b.event().GetDeliveryId()
			b.send(replyRequest(&salav1.EventReply{DeliveryId: id, ArgsJson: large}))
			b.wantRejected(id, codes.ResourceExhausted, apierror.ReasonTooManyRequests, "")
			tt.of.give(by, tt.of.share)
			b.send(replyRequest(&salav1.EventReply{DeliveryId: id, ArgsJson: "[1]"}))
			if r := <-replies; string(r.Args) != "[1]" {
				t.Errorf("the reply is %+v", r)
			}
			if failed := emit(9, tt.emit); failed != nil {
				t.Errorf("with room: %v", failed)
			}
			if used := tt.of.inUse(); used != 0 {
				t.Errorf("%d bytes are still taken", used)
			}
		})
	}
}

// What a compressed message becomes counts before it is unpacked. One that becomes
// too large, or nothing, fails by itself.
func TestCompressedMessages(t *testing.T) {
	fake := &fakeBroker{}
	h := start(t, fake)
	h.server.intake.patience = 10 * time.Millisecond
	by, receiving := h.callerOf(t, adminKey), h.server.intake.receiving
	stream, err := salav1.NewMessageServiceClient(h.conn).EmitStream(as(t, adminKey), grpc.UseCompressor("gzip"))
	if err != nil {
		t.Fatal(err)
	}
	args := `["` + strings.Repeat("x", 90_000) + `"]`
	for sequence, tt := range []struct {
		args, reason string
		taken        int64
	}{
		{args, "", 0},
		{`["` + strings.Repeat("x", 20_000_000) + `"]`, apierror.ReasonRequestTooLarge, 0},
		{args, apierror.ReasonTooManyRequests, receiving.share - 50_000}, // the compressed message fits, what it becomes doesn't
		{args, "", 0},
	} {
		if !receiving.try(by, tt.taken) {
			t.Fatal("there is no room")
		}
		if err := stream.Send(&salav1.EmitStreamRequest{
			Sequence: uint64(sequence), Emit: &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e", ArgsJson: tt.args},
		}); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.GetResult().GetError().GetReason(); got != tt.reason {
			t.Errorf("message %d: %q, want %q", sequence, got, tt.reason)
		}
		receiving.give(by, tt.taken)
	}
	for _, call := range fake.take() {
		if got := call.(emitCall).Message.(broker.Message).Args; string(got) != args {
			t.Errorf("the broker got %.100s", got)
		}
	}
}

// A message that can't be unpacked fails alone.
func TestCorruptCompression(t *testing.T) {
	h := start(t, &fakeBroker{})
	a := attack(t, h.grpcAddr)
	if err := a.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: a.headers(salav1.MessageService_EmitStream_FullMethodName, "grpc-encoding", "gzip"), EndHeaders: true,
	}); err != nil {
		t.Fatal(err)
	}
	whole := []byte{0, 0, 0, 0, 2, 8, 9} // sequence 9, not compressed
	if err := a.WriteData(1, false, append([]byte{1, 0, 0, 0, 3, 'n', 'o', '!'}, whole...)); err != nil {
		t.Fatal(err)
	}
	var answers bytes.Buffer
	var sequences []uint64
	for len(sequences) < 2 {
		frame, err := a.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			if f.StreamEnded() {
				t.Fatal("the stream has ended")
			}
		case *http2.DataFrame:
			answers.Write(f.Data())
		}
		for answers.Len() > 5 && answers.Len() >= 5+int(binary.BigEndian.Uint32(answers.Bytes()[1:])) {
			header := answers.Next(5)
			if header[0] != 0 {
				t.Fatal("a result is compressed")
			}
			resp := &salav1.EmitStreamResponse{}
			if err := proto.Unmarshal(answers.Next(int(binary.BigEndian.Uint32(header[1:]))), resp); err != nil {
				t.Fatal(err)
			}
			sequences = append(sequences, resp.GetSequence())
			if failed := resp.GetResult().GetError(); resp.GetSequence() == 0 && failed.GetReason() != broker.ReasonInvalidArgument {
				t.Errorf("the corrupt message: %v", failed)
			}
		}
	}
	if fmt.Sprint(sequences) != "[0 9]" {
		t.Errorf("the answers are of %d", sequences)
	}
}
