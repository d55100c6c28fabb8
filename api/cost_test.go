package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/apierror"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// repeated returns a field again and again, with the same content.
func repeated(number protowire.Number, n int, content []byte) []byte {
	one := protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
	return []byte(strings.Repeat(string(one), n))
}

// heapOf returns what make's result keeps alive.
func heapOf(build func() any) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := build()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// The estimated cost of a request covers the memory that it takes, whatever it contains.
func TestCostCoversMemory(t *testing.T) {
	known, err := newShapes()
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	null, list := []byte{8, 0}, []byte{50, 0}
	object := []byte{42, 0}
	for name, tt := range map[string]struct {
		request proto.Message
		wire    []byte
	}{
		"events":  {&salav1.EmitBatchRequest{}, repeated(1, maxBatch, nil)},
		"rooms":   {&salav1.EmitRequest{}, repeated(2, n, nil)},
		"long":    {&salav1.EmitRequest{}, repeated(2, n, []byte("a name of some length, as rooms have it"))},
		"binary":  {&salav1.EmitRequest{}, repeated(10, n, []byte{1})},
		"empty":   {&salav1.EmitRequest{}, repeated(8, 1, repeated(1, n, nil))},
		"nulls":   {&salav1.EmitRequest{}, repeated(8, 1, repeated(1, n, null))},
		"lists":   {&salav1.EmitRequest{}, repeated(8, 1, repeated(1, n, list))},
		"objects": {&salav1.EmitRequest{}, repeated(8, 1, repeated(1, n, object))},
		"unknown": {&salav1.EmitRequest{}, repeated(99, n, nil)},
		"stream":  {&salav1.EmitStreamRequest{}, repeated(2, 1, repeated(2, n, nil))},
		"kinds":   {&salav1.SubscribeStart{}, repeated(4, 1, []byte(strings.Repeat("\x01", n)))},
	} {
		t.Run(name, func(t *testing.T) {
			cost, err := known.wire(tt.wire, tt.request.ProtoReflect().Descriptor().FullName())
			if err != nil {
				t.Fatal(err)
			}
			used := heapOf(func() any {
				if err := proto.Unmarshal(tt.wire, tt.request); err != nil {
					t.Fatal(err)
				}
				return tt.request
			})
			if cost < used {
				t.Errorf("it is said to cost %d bytes and takes %d", cost, used)
			}
		})
	}
	if _, err := known.wire(repeated(1, maxBatch+1, nil), "sala.v1.EmitBatchRequest"); err == nil {
		t.Error("a batch of more events than may be is decoded")
	}
}

func TestJSONCostCoversMemory(t *testing.T) {
	const n = 20_000
	many := func(value string) string { return strings.TrimSuffix(strings.Repeat(value+",", n), ",") }
	for name, text := range map[string]string{
		"rooms":   `{"rooms":[` + many(`""`) + `]}`,
		"numbers": `{"args":[` + many(`1`) + `]}`,
		"lists":   `{"args":[` + many(`[]`) + `]}`,
		"objects": `{"args":[` + many(`{}`) + `]}`,
		"members": `{"args":[` + many(`{"a":1}`) + `]}`,
		"quotes":  `{"args":["` + strings.Repeat(`\"`, n) + `",` + many(`null`) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			used := heapOf(func() any {
				request := &salav1.EmitRequest{}
				if err := protojson.Unmarshal([]byte(text), request); err != nil {
					t.Fatal(err)
				}
				return request
			})
			if cost := jsonCost([]byte(text)); cost < 2*used { // in the gateway, and in the service
				t.Errorf("it is said to cost %d bytes and takes twice %d", cost, used)
			}
		})
	}
}

// A key that lacks the scope of a call is refused before the request has
// arrived, and a request that would become too large before it is decoded.
func TestScopeComesBeforeTheRequest(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	for _, method := range []string{
		salav1.MessageService_EmitBatch_FullMethodName,
		salav1.MessageService_EmitWithAck_FullMethodName,
		salav1.MessageService_EmitStream_FullMethodName,
		salav1.EventService_Subscribe_FullMethodName,
	} {
		// A message is never sent.
		stream, err := h.conn.NewStream(as(t, readerKey), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, stream.RecvMsg(&salav1.EmitResponse{}), codes.PermissionDenied, apierror.ReasonScopeDenied, "")
	}
	rest := httptest.NewServer(h.server.newHTTPHandler(Config{MaxMessageBytes: 1000}, 200*time.Millisecond))
	defer rest.Close()
	if code, body := rawRequest(t, rest.Listener.Addr().String(), post("/v1/emit:batch", readerKey)); code != http.StatusForbidden || !strings.Contains(body, apierror.ReasonScopeDenied) {
		t.Errorf("over REST: %d %s", code, body)
	}

	many := make([]*salav1.EmitRequest, 200_000)
	for i := range many {
		many[i] = &salav1.EmitRequest{}
	}
	_, err := salav1.NewMessageServiceClient(h.conn).EmitBatch(as(t, adminKey), &salav1.EmitBatchRequest{Emits: many})
	wantStatus(t, err, codes.InvalidArgument, "INVALID_ARGUMENT", "emits: there are")
	for _, element := range []string{"{}", `""`, "[]", "0"} {
		body := fmt.Sprintf(`{"emits":[%s0]}`, strings.Repeat(element+",", 1_000_000/len(element)))
		code, _, answer := h.do(t, "POST", "/v1/emit:batch", body)
		if code != http.StatusRequestEntityTooLarge || !strings.Contains(answer, apierror.ReasonRequestTooLarge) {
			t.Errorf("%s: %d %.300s", element, code, answer)
		}
	}
	wantNoCalls(t, b)
	if _, _, text := h.do(t, "GET", "/metrics", ""); !strings.Contains(text, `sala_api_refused_total{bound="too_large"} 4`) {
		t.Errorf("the metrics don't count them: %s", text)
	}
}
