package sala

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/salabroker/sala/sdk/go/salav1"
)

func TestDialRefusesKeysThatNoHeaderCanHold(t *testing.T) {
	for _, key := range []string{"", "two words", "secret\n", "secrét", "…"} {
		client, err := Dial("127.0.0.1:1", key)
		if err == nil {
			_ = client.Close()
			t.Errorf("the key %q is accepted", key)
		} else if strings.Contains(err.Error(), "secr") || strings.Contains(err.Error(), "words") {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func TestDialDecidesBetweenTLSAndPlaintext(t *testing.T) {
	private, err := TLSFromFiles("", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		address  string
		opts     []Option
		protocol string // empty: refused
	}{
		{"127.0.0.1:9090", nil, "insecure"},
		{"localhost:9090", nil, "insecure"},
		{"[::1]:9090", nil, "insecure"},
		{"sala.internal:9090", nil, "tls"},
		{"192.0.2.1:9090", nil, "tls"},
		{"localhost.example:9090", nil, "tls"},
		{"192.0.2.1:9090", []Option{WithPlaintext()}, "insecure"},
		{"http://sala.internal:9090", nil, "insecure"},
		{"https://127.0.0.1:9090/", nil, "tls"},
		{"127.0.0.1:9090", []Option{WithTLS(private)}, "tls"},
		{"http://127.0.0.1:9090", []Option{WithTLS(private)}, ""},
		{"https://127.0.0.1:9090", []Option{WithPlaintext()}, ""},
		{"127.0.0.1:9090", []Option{WithTLS(private), WithPlaintext()}, ""},
		{"127.0.0.1", nil, ""},
		{":9090", nil, ""},
		{"ftp://127.0.0.1:9090", nil, ""},
		{"https://127.0.0.1:9090/path", nil, ""},
	} {
		at, err := parseAddress(test.address)
		var protocol string
		if err == nil {
			o := options{}
			for _, set := range test.opts {
				set(&o)
			}
			credentials, failed := o.transport(at)
			if failed == nil {
				protocol = credentials.Info().SecurityProtocol
			}
		}
		if protocol != test.protocol {
			t.Errorf("%s with %d options: %q, want %q", test.address, len(test.opts), protocol, test.protocol)
		}
	}
	if _, err := Dial("127.0.0.1:9090", ""); err == nil {
		t.Error("an empty key was accepted")
	}
}

func TestArgsKeepWhatTheyHold(t *testing.T) {
	data := []byte{0, 1, 255}
	args := []any{nil, "<hé>", 1.5, []any{data, map[string]any{"file": data}}, data, struct {
		A []byte `json:"a"`
	}{data}}
	encoded, err := encodeArgs(args)
	if err != nil {
		t.Fatal(err)
	}
	want := `[null,"<hé>",1.5,[{"_placeholder":true,"num":0},{"file":{"_placeholder":true,"num":1}}],{"_placeholder":true,"num":2},{"a":"AAH/"}]`
	if encoded.JSON() != want || len(encoded.Attachments()) != 3 {
		t.Errorf("encoded as %s with %d attachments", encoded.JSON(), len(encoded.Attachments()))
	}
	values, err := encoded.Values()
	if err != nil || !reflect.DeepEqual(values[:5], args[:5]) {
		t.Errorf("decoded as %v, %v", values, err)
	}
	var (
		nothing *int
		text    string
		n       float64
		list    []any
		file    []byte
	)
	if err := encoded.Scan(&nothing, &text, &n, &list, &file); err != nil || text != "<hé>" || n != 1.5 || !reflect.DeepEqual(file, data) {
		t.Errorf("scanned %q %v %v: %v", text, n, file, err)
	}
	var refused *ClientError
	for _, err := range []error{encoded.Scan(&text, &n), Args{}.Scan(&text)} {
		if !errors.As(err, &refused) || refused.Code != "INVALID_ARGUMENT" {
			t.Errorf("Scan returned %v", err)
		}
	}
	var loop []any
	loop = append(loop, nil)
	loop[0] = loop
	if _, err := encodeArgs(loop); err == nil {
		t.Error("an argument that contains itself was encoded")
	}
}

func TestEmitIsRepeatedWithTheSameKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := start(t)
		b.fail = []error{status.Error(codes.Unavailable, ""), status.Error(codes.DeadlineExceeded, ""), status.Error(codes.Unavailable, "")}
		sent, err := client.To("a").Emit(t.Context(), "news", 1)
		if err != nil || sent.Matched != 2 || sent.Queued != 1 || sent.Kept != 1 {
			t.Fatalf("%+v, %v", sent, err)
		}
		if len(b.emits) != 4 || b.emits[0].GetIdempotencyKey() == "" {
			t.Fatalf("%d calls, the key is %q", len(b.emits), b.emits[0].GetIdempotencyKey())
		}
		for _, emit := range b.emits {
			if emit.GetIdempotencyKey() != b.emits[0].GetIdempotencyKey() || emit.GetArgsJson() != "[1]" {
				t.Errorf("the call was repeated as %v", emit)
			}
		}
		before := len(b.emits)
		if _, err := client.To("a").Emit(t.Context(), "news"); err != nil || b.emits[before].GetIdempotencyKey() == b.emits[0].GetIdempotencyKey() {
			t.Errorf("another event has the same key; %v", err)
		}
	})
}

func TestEmitIsNotRepeated(t *testing.T) {
	limited, err := status.New(codes.ResourceExhausted, "").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		fail  error
		emit  func(Target) Target
		calls int
	}{
		"because nobody asked for it":          {status.Error(codes.Unavailable, ""), Target.NoRetry, 1},
		"because the event is invalid":         {status.Error(codes.InvalidArgument, ""), nil, 1},
		"because the broker has no room":       {status.Error(codes.ResourceExhausted, ""), nil, 1},
		"unless the broker says when to":       {limited.Err(), nil, 2},
		"unless it says so, whatever one asks": {limited.Err(), Target.NoRetry, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, client := start(t)
				b.fail = []error{test.fail}
				target := client.To("a")
				if test.emit != nil {
					target = test.emit(target)
				}
				began := time.Now()
				_, err := target.Emit(t.Context(), "news")
				if (err != nil) != (test.calls == 1) || len(b.emits) != test.calls {
					t.Errorf("%d calls, %v", len(b.emits), err)
				}
				if test.calls == 2 && time.Since(began) < time.Second {
					t.Errorf("it was repeated after %v", time.Since(began))
				}
			})
		})
	}
}

func TestCallsEndAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := start(t)
		for range 1000 {
			b.fail = append(b.fail, status.Error(codes.Unavailable, "down"))
		}
		began := time.Now()
		_, err := client.To("a").Emit(t.Context(), "news")
		if CodeOf(err) != codes.Unavailable || time.Since(began) > DefaultTimeout || time.Since(began) < DefaultTimeout/2 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if len(b.emits) < 5 || len(b.emits) > 60 {
			t.Errorf("%d calls", len(b.emits))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		b.fail = []error{status.Error(codes.DeadlineExceeded, "")}
		if _, err := client.To("a").NoRetry().Emit(ctx, "news"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestErrorsHaveDetails(t *testing.T) {
	b, client := start(t)
	st, err := status.New(codes.InvalidArgument, "event: is empty").WithDetails(
		&errdetails.ErrorInfo{Reason: "INVALID_ARGUMENT", Metadata: map[string]string{"a": "b"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "event", Description: "is empty"}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	b.fail = []error{st.Err()}
	_, err = client.To("a").Emit(t.Context(), "")
	var failed *Error
	if !errors.As(err, &failed) || failed.Reason != "INVALID_ARGUMENT" || failed.Metadata["a"] != "b" ||
		!reflect.DeepEqual(failed.Fields, []FieldViolation{{"event", "is empty"}}) || CodeOf(err) != codes.InvalidArgument || ReasonOf(err) != "INVALID_ARGUMENT" {
		t.Errorf("the error is %#v", err)
	}
	if len(status.Convert(err).Details()) != 2 {
		t.Error("the details of the status are lost")
	}
}

func TestListsReadAllPages(t *testing.T) {
	b, client := start(t)
	b.pages = map[string]*salav1.ListRoomsResponse{
		"":  {Rooms: []*salav1.Room{{Name: "a", Sockets: 1}, {Name: "b"}}, NextPageToken: "2"},
		"2": {NextPageToken: "3", Partial: true, MissingNodes: []string{"n1"}},
		"3": {Rooms: []*salav1.Room{{Name: "c"}}, NextPageToken: "4"},
	}
	var names []string
	var failed error
	rooms := client.Rooms(RoomFilter{})
	for room, err := range rooms.All(t.Context()) {
		if err != nil {
			failed = err
			continue
		}
		names = append(names, room.Name)
	}
	if !reflect.DeepEqual(names, []string{"a", "b", "c"}) || CodeOf(failed) != codes.FailedPrecondition {
		t.Errorf("%v, then %v", names, failed)
	}
	if !rooms.Partial || !reflect.DeepEqual(rooms.MissingNodes, []string{"n1"}) {
		t.Errorf("partial %v, missing %v", rooms.Partial, rooms.MissingNodes)
	}
	for _, err := range rooms.All(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		break // reads no further page
	}
}

func TestEmitWithoutAKeyIfTheBrokerRemembersNone(t *testing.T) {
	b, client := start(t)
	disabled, err := status.New(codes.FailedPrecondition, "no keys").WithDetails(&errdetails.ErrorInfo{Reason: reasonKeysDisabled})
	if err != nil {
		t.Fatal(err)
	}
	b.fail = []error{disabled.Err()}
	for range 2 {
		if _, err := client.To("r").Emit(t.Context(), "news"); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.emits) != 3 || b.emits[0].GetIdempotencyKey() == "" || b.emits[1].GetIdempotencyKey() != "" || b.emits[2].GetIdempotencyKey() != "" {
		t.Errorf("the emits: %v", b.emits)
	}
	b.fail = []error{disabled.Err()}
	if _, err := client.To("r").IdempotencyKey("own").Emit(t.Context(), "news"); ReasonOf(err) != reasonKeysDisabled {
		t.Errorf("an event with a key of the caller's: %v", err)
	}
}
