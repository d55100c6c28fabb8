package api

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/explain"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/eventhub"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// halved stands in messages for the half of an emoji, which Go's protobuf would
// refuse to send. Those of other languages send it.
const halved = "HALF"

// halvingCodec is the codec of a caller that checks nothing.
type halvingCodec struct{ encoding.CodecV2 }

func (c halvingCodec) Marshal(v any) (mem.BufferSlice, error) {
	data, err := c.CodecV2.Marshal(v)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(bytes.ReplaceAll(data.Materialize(), []byte(halved), []byte("a\xed\xa0\xbd")))}, nil
}

// careless connects a caller that sends text that isn't UTF-8.
func (h *harness) careless(t *testing.T) *harness {
	t.Helper()
	conn, err := grpc.NewClient(h.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(halvingCodec{encoding.GetCodecV2("proto")})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	other := *h
	other.conn = conn
	return &other
}

// nested returns lists in lists, too deep for protobuf.
func nested() *structpb.ListValue {
	list := &structpb.ListValue{}
	for range explain.MaxWireDepth/2 + 10 {
		list = &structpb.ListValue{Values: []*structpb.Value{structpb.NewListValue(list)}}
	}
	return list
}

// large returns a list that is larger than a request may be.
func large() *structpb.ListValue {
	list := &structpb.ListValue{}
	for range 110_000 {
		list.Values = append(list.Values, structpb.NewNumberValue(0))
	}
	return list
}

// An answer that can't be accepted is rejected by itself. The stream goes on, and
// the delivery can still be answered.
func TestUndecodableAnswers(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{})
	b := h.careless(t).backend(t, &salav1.SubscribeStart{Group: "g", Credits: 100, Decide: true})
	half, _ := structpb.NewList([]any{"ok", map[string]any{"k": []any{halved}}})
	for _, tt := range []struct {
		name   string
		reply  *salav1.EventReply
		code   codes.Code
		reason string
		says   string
	}{
		{"args", &salav1.EventReply{Args: half}, codes.InvalidArgument, "INVALID_ARGUMENT", "reply.args: isn't UTF-8"},
		{"args_json", &salav1.EventReply{ArgsJson: `["` + halved + `"]`}, codes.InvalidArgument, "INVALID_ARGUMENT", "reply.args_json: isn't UTF-8"},
		{"code", &salav1.EventReply{Error: &salav1.EventError{Code: halved}}, codes.InvalidArgument, "INVALID_ARGUMENT", "reply.error.code: isn't UTF-8"},
		{
			"message", &salav1.EventReply{Error: &salav1.EventError{Code: "C", Message: halved}},
			codes.InvalidArgument, "INVALID_ARGUMENT", "reply.error.message: isn't UTF-8",
		},
		{"nested", &salav1.EventReply{Args: nested()}, codes.InvalidArgument, "INVALID_ARGUMENT", "reply.args: is nested"},
		{"large", &salav1.EventReply{Args: large()}, codes.ResourceExhausted, apierror.ReasonRequestTooLarge, "at most 1148576 are allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			replies := ask(hub, messageOf(nil, "q"))
			id := b.event().GetDeliveryId()
			tt.reply.DeliveryId = id
			b.send(replyRequest(tt.reply))
			b.wantRejected(id, tt.code, tt.reason, tt.says)
			b.send(replyRequest(&salav1.EventReply{DeliveryId: id, ArgsJson: "[1]"}))
			if r := <-replies; string(r.Args) != "[1]" {
				t.Errorf("the reply is %+v", r)
			}
		})
	}
	decision := decided(t, hub)
	id := b.event().GetDeliveryId()
	for field, accept := range map[string]*salav1.EventAccept{
		"rooms[1]": {Rooms: []string{"a", halved}}, "data": {Data: structpb.NewStringValue(halved)},
	} {
		b.send(decisionRequest(&salav1.EventDecision{DeliveryId: id, Decision: &salav1.EventDecision_Accept{Accept: accept}}))
		b.wantRejected(id, codes.InvalidArgument, "INVALID_ARGUMENT", "decision.accept."+field+": isn't UTF-8")
	}
	b.send(replyRequest(&salav1.EventReply{DeliveryId: halved}))
	b.wantRejected("", codes.InvalidArgument, "INVALID_ARGUMENT", "reply.delivery_id: isn't UTF-8")
	b.send(decisionRequest(&salav1.EventDecision{DeliveryId: id, Decision: &salav1.EventDecision_Accept{}}))
	if d := <-decision; d.Refusal != nil {
		t.Errorf("the decision is %+v", d)
	}
}

// Even a message that makes no sense at all doesn't end a started stream.
func TestUndecodableStart(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{})
	b := h.careless(t).dial(as(t, adminKey), t)
	b.send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{Group: halved}}})
	wantStatus(t, b.ends(), codes.InvalidArgument, "INVALID_ARGUMENT", "start.group: isn't UTF-8")

	conn, err := grpc.NewClient(h.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	raw := &sendingCodec{CodecV2: encoding.GetCodecV2("proto")}
	stream, err := salav1.NewEventServiceClient(conn).Subscribe(as(t, adminKey), grpc.ForceCodecV2(raw))
	if err != nil {
		t.Fatal(err)
	}
	b = &backend{t, stream}
	b.send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{Credits: 1}}})
	if b.recv().GetStarted() == nil {
		t.Fatal("it doesn't start")
	}
	for _, wire := range []string{"\x0a\xff", "\xff", "\x12\x7f", "\x12\x05\x0a\x0a"} {
		raw.next = []byte(wire)
		b.send(nil)
		b.wantRejected("", codes.InvalidArgument, "INVALID_ARGUMENT", "can't be decoded")
	}
	hub.Publish(messageOf(nil, "still here"))
	if e := b.event(); e.GetEvent() != "still here" {
		t.Errorf("the event is %v", e)
	}
}

// sendingCodec sends next, once, whatever it is given.
type sendingCodec struct {
	encoding.CodecV2
	next []byte
}

func (c *sendingCodec) Marshal(v any) (mem.BufferSlice, error) {
	if c.next == nil {
		return c.CodecV2.Marshal(v)
	}
	data := mem.BufferSlice{mem.SliceBuffer(c.next)}
	c.next = nil
	return data, nil
}

func TestUndecodableEvents(t *testing.T) {
	b := &fakeBroker{emit: func(_ context.Context, _ broker.Target, m broker.Message) (broker.Report, error) {
		return broker.Report{Matched: 1, Queued: 1}, nil
	}}
	client := salav1.NewMessageServiceClient(start(t, b).careless(t).conn)
	half, _ := structpb.NewList([]any{halved})
	bad := map[string]*salav1.EmitRequest{
		"event: isn't UTF-8":           {Event: halved},
		"args: isn't UTF-8":            {Event: "e", Args: half},
		"args: is nested":              {Event: "e", Args: nested()},
		"args_json: isn't UTF-8":       {Event: "e", ArgsJson: halved},
		"rooms[1]: isn't UTF-8":        {Event: "e", Rooms: []string{"a", halved}},
		"except_sockets[0]: isn't UTF": {Event: "e", ExceptSockets: []string{halved}},
	}
	stream, err := client.EmitStream(as(t, adminKey))
	if err != nil {
		t.Fatal(err)
	}
	sequence := uint64(0)
	for says, emit := range bad {
		sequence++
		if err := stream.Send(&salav1.EmitStreamRequest{Sequence: sequence, Emit: emit}); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if failed := resp.GetResult().GetError(); err != nil || resp.GetSequence() != sequence ||
			failed.GetReason() != "INVALID_ARGUMENT" || !strings.HasPrefix(failed.GetMessage(), "emit."+says) {
			t.Errorf("%s in a stream: %v, %v", says, resp, err)
		}
		batch, err := client.EmitBatch(as(t, adminKey), &salav1.EmitBatchRequest{Emits: []*salav1.EmitRequest{{Event: "a"}, emit, {Event: "b"}}})
		if err != nil || len(batch.GetResults()) != 3 || batch.GetResults()[0].GetQueued() != 1 || batch.GetResults()[2].GetQueued() != 1 {
			t.Fatalf("%s in a batch: %v, %v", says, batch, err)
		}
		if failed := batch.GetResults()[1].GetError(); failed.GetReason() != "INVALID_ARGUMENT" || !strings.HasPrefix(failed.GetMessage(), "emits[1]."+says) {
			t.Errorf("%s in a batch: %v", says, failed)
		}
		_, err = client.Emit(as(t, adminKey), emit)
		wantStatus(t, err, codes.InvalidArgument, "INVALID_ARGUMENT", says)
	}
	if err := stream.Send(&salav1.EmitStreamRequest{Sequence: 100, Emit: &salav1.EmitRequest{Event: "e", Args: large()}}); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil || resp.GetSequence() != 100 || resp.GetResult().GetError().GetReason() != apierror.ReasonRequestTooLarge {
		t.Errorf("too large: %v, %v", resp, err)
	}
	if err := stream.Send(&salav1.EmitStreamRequest{Sequence: 101, Emit: &salav1.EmitRequest{Event: "e"}}); err != nil {
		t.Fatal(err)
	}
	if resp, err := stream.Recv(); err != nil || resp.GetSequence() != 101 || resp.GetResult().GetQueued() != 1 {
		t.Errorf("afterwards: %v, %v", resp, err)
	}
}

// A client's ack fits a message that every caller can decode.
func TestAcksFitEveryCaller(t *testing.T) {
	deep := strings.Repeat("[", maxValueDepth) + strings.Repeat("]", maxValueDepth)
	object := `[` + strings.Repeat(`{"a":`, maxValueDepth) + "1" + strings.Repeat("}", maxValueDepth) + `]`
	zeros := "[0" + strings.Repeat(",0", 300_000) + "]"
	for text, isList := range map[string]bool{`["a"]`: true, deep: true, "[" + deep + "]": false, object: false, zeros: false} {
		m := ackMessage(broker.Ack{Args: []byte(text)}, false)
		if got := m.GetArgs() != nil; got != isList || got == (m.GetArgsJson() == text) {
			t.Errorf("%.50s is a list: %v", text, got)
		}
	}
}
