package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/history"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func TestEmit(t *testing.T) {
	b := &fakeBroker{emit: func(context.Context, broker.Target, broker.Message) (broker.Report, error) {
		return broker.Report{
			Matched: 6, Queued: 3, Kept: 1, Dropped: 2,
			Positions:  []broker.RoomPosition{{Room: "a", Position: history.Position{Epoch: "x", Offset: 7}}},
			Unrecorded: []string{"b"}, Duplicate: true,
		}, nil
	}}
	client := salav1.NewMessageServiceClient(start(t, b).conn)
	resp, err := client.Emit(as(t, adminKey), &salav1.EmitRequest{
		Namespace: "/n", Rooms: []string{"a"}, Users: []string{"u"}, Sockets: []string{"s"},
		ExceptRooms: []string{"b"}, ExceptUsers: []string{"eva"}, ExceptSockets: []string{"t"},
		Event: "e", ArgsJson: ` [1.50, {"b":1,"a":2}] `, Attachments: [][]byte{{0, 255}}, Volatile: true,
		IdempotencyKey: "once", ConflateKey: "newest", SkipHistory: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	positions := []*salav1.RoomPosition{{Room: "a", Epoch: "x", Offset: 7}}
	wantProto(t, resp, &salav1.EmitResponse{
		Matched: 6, Queued: 3, Kept: 1, Dropped: 2, Positions: positions, UnrecordedRooms: []string{"b"}, Duplicate: true,
	})
	wantCalls(t, b, emitCall{
		broker.Target{
			Namespace: "/n", Rooms: []string{"a"}, Users: []string{"u"}, Sockets: []string{"s"},
			ExceptRooms: []string{"b"}, ExceptUsers: []string{"eva"}, ExceptSockets: []string{"t"},
		},
		broker.Message{
			Event: "e", Args: json.RawMessage(` [1.50, {"b":1,"a":2}] `), Attachments: [][]byte{{0, 255}}, Volatile: true,
			IdempotencyKey: "once", ConflateKey: "newest", SkipHistory: true,
		},
	})

	everyone, err := client.Broadcast(as(t, adminKey), &salav1.BroadcastRequest{
		Namespace: "/n", ExceptRooms: []string{"b"}, ExceptUsers: []string{"eva"}, ExceptSockets: []string{"t"}, Event: "e", Args: list(t, "x"), Volatile: true,
		IdempotencyKey: "once",
	})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, everyone, &salav1.BroadcastResponse{Matched: 6, Queued: 3, Kept: 1, Dropped: 2, Duplicate: true})
	wantCalls(t, b, emitCall{
		broker.Target{Namespace: "/n", Everyone: true, ExceptRooms: []string{"b"}, ExceptUsers: []string{"eva"}, ExceptSockets: []string{"t"}},
		broker.Message{Event: "e", Args: json.RawMessage(`["x"]`), Volatile: true, IdempotencyKey: "once"},
	})

	// Without a target nobody is meant, and the broker says so.
	if _, err := client.Emit(as(t, adminKey), &salav1.EmitRequest{Event: "e"}); err != nil {
		t.Fatal(err)
	}
	wantCalls(t, b, emitCall{broker.Target{}, broker.Message{Event: "e"}})

	batch, err := client.EmitBatch(as(t, adminKey), &salav1.EmitBatchRequest{Emits: []*salav1.EmitRequest{{Rooms: []string{"a"}, Event: "e", IdempotencyKey: "once"}}})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, batch, &salav1.EmitBatchResponse{Results: []*salav1.EmitResult{{
		Matched: 6, Queued: 3, Kept: 1, Dropped: 2, Positions: positions, UnrecordedRooms: []string{"b"}, Duplicate: true,
	}}})
	wantCalls(t, b, emitCall{broker.Target{Rooms: []string{"a"}}, broker.Message{Event: "e", IdempotencyKey: "once"}})
}

func TestEventArgs(t *testing.T) {
	deep := structpb.NewNumberValue(math.Inf(1))
	deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewNullValue(), deep}})
	deep = structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"k": deep}})
	for _, tt := range []struct {
		name   string
		req    *salav1.EmitRequest
		want   string
		fields []string
		says   string
	}{
		{"none", &salav1.EmitRequest{}, "", nil, ""},
		{"empty", &salav1.EmitRequest{Args: list(t)}, "[]", nil, ""},
		{"all kinds", &salav1.EmitRequest{Args: list(t, nil, true, 1, -0.5, 1e21, "s", []any{}, map[string]any{"b": 1, "a": 2})},
			`[null,true,1,-0.5,1e+21,"s",[],{"a":2,"b":1}]`, nil, ""},
		{"not escaped for HTML", &salav1.EmitRequest{Args: list(t, "<a href='x'>&é😀\n\"")}, `["<a href='x'>&é😀\n\""]`, nil, ""},
		{"a value without a kind", &salav1.EmitRequest{Args: &structpb.ListValue{Values: []*structpb.Value{{}}}}, "[null]", nil, ""},
		{"NaN", &salav1.EmitRequest{Args: list(t, math.NaN())}, "", []string{"args"}, "args[0] is not a finite number"},
		{"infinite within", &salav1.EmitRequest{Args: &structpb.ListValue{Values: []*structpb.Value{deep}}}, "", []string{"args"}, "args[0].k[1]"},
		{"text", &salav1.EmitRequest{ArgsJson: " [ 1 ] "}, " [ 1 ] ", nil, ""},
		{"both", &salav1.EmitRequest{Args: list(t), ArgsJson: "[]"}, "", []string{"args", "args_json"}, "one of them"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args, err := eventArgs(tt.req)
			if string(args) != tt.want {
				t.Errorf("args = %s, want %s", args, tt.want)
			}
			if tt.fields == nil && err != nil {
				t.Fatal(err)
			}
			if tt.fields != nil {
				err = apierror.Classify(err).Status().Err()
				wantStatus(t, err, codes.InvalidArgument, "INVALID_ARGUMENT", tt.says)
				if got := violations(err); !slices.Equal(got, tt.fields) {
					t.Errorf("violations = %v, want %v", got, tt.fields)
				}
			}
		})
	}
}

// An error names the field that the caller has set.
func TestArgsFieldIsRenamed(t *testing.T) {
	failed := &broker.Error{
		Code: broker.CodeInvalidArgument, Reason: "INVALID_ARGUMENT", Message: "event: bad; args: bad",
		Fields: []broker.FieldViolation{{Field: "event", Description: "bad"}, {Field: "args", Description: "bad"}},
	}
	client := salav1.NewMessageServiceClient(start(t, &fakeBroker{err: failed}).conn)
	_, err := client.Emit(as(t, adminKey), &salav1.EmitRequest{ArgsJson: "{}"})
	wantStatus(t, err, codes.InvalidArgument, "INVALID_ARGUMENT", "event: bad; args_json: bad")
	if got := violations(err); !slices.Equal(got, []string{"event", "args_json"}) {
		t.Errorf("violations = %v", got)
	}
	_, err = client.Broadcast(as(t, adminKey), &salav1.BroadcastRequest{Args: list(t, 1)})
	if got := violations(err); !slices.Equal(got, []string{"event", "args"}) {
		t.Errorf("violations = %v", got)
	}
	if failed.Fields[1].Field != "args" {
		t.Error("the broker's error was changed")
	}
}

func TestEmitBatch(t *testing.T) {
	b := &fakeBroker{emit: func(_ context.Context, _ broker.Target, m broker.Message) (broker.Report, error) {
		switch m.Event {
		case "":
			return broker.Report{}, &broker.Error{
				Code: broker.CodeInvalidArgument, Reason: "INVALID_ARGUMENT", Message: "event: empty",
				Fields: []broker.FieldViolation{{Field: "event", Description: "empty"}},
			}
		case "boom":
			return broker.Report{}, errors.New("a secret of the machine's")
		}
		return broker.Report{Matched: 4, Queued: 1, Kept: 2, Dropped: 1}, nil
	}}
	h := start(t, b)
	client := salav1.NewMessageServiceClient(h.conn)
	resp, err := client.EmitBatch(as(t, adminKey), &salav1.EmitBatchRequest{Emits: []*salav1.EmitRequest{
		{Event: "a"}, {}, {Event: "boom"}, {Event: "b", Args: list(t, 1), ArgsJson: "[1]"}, {Event: "c"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	done := &salav1.EmitResult{Matched: 4, Queued: 1, Kept: 2, Dropped: 1}
	const both = "args and args_json are both set; give the arguments in one of them"
	wantProto(t, resp, &salav1.EmitBatchResponse{Results: []*salav1.EmitResult{
		done,
		{Error: &salav1.EmitError{Code: 3, Reason: "INVALID_ARGUMENT", Message: "emits[1].event: empty"}},
		{Error: &salav1.EmitError{Code: 13, Reason: "INTERNAL", Message: "the broker failed; its log says why"}},
		{Error: &salav1.EmitError{Code: 3, Reason: "INVALID_ARGUMENT", Message: "emits[3].args: " + both + "; emits[3].args_json: " + both}},
		done,
	}})
	var events []string
	for _, call := range b.take() {
		events = append(events, call.(emitCall).Message.(broker.Message).Event)
	}
	if want := []string{"a", "", "boom", "c"}; !reflect.DeepEqual(events, want) {
		t.Errorf("emitted %q, want %q", events, want)
	}
	if !strings.Contains(h.log.String(), "a secret of the machine's") {
		t.Errorf("the log doesn't say what went wrong: %s", h.log)
	}
}

func TestEmitBatchSize(t *testing.T) {
	client := salav1.NewMessageServiceClient(start(t, &fakeBroker{}).conn)
	for n, ok := range map[int]bool{0: false, 1: true, 1000: true, 1001: false} {
		req := &salav1.EmitBatchRequest{}
		for range n {
			req.Emits = append(req.Emits, &salav1.EmitRequest{Event: "e"})
		}
		resp, err := client.EmitBatch(as(t, adminKey), req)
		if ok != (err == nil) || ok && len(resp.GetResults()) != n {
			t.Errorf("%d events: %d results, %v", n, len(resp.GetResults()), err)
		}
		if !ok && !slices.Equal(violations(err), []string{"emits"}) {
			t.Errorf("%d events: violations %v", n, violations(err))
		}
	}
}
