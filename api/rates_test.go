package api

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/apierror"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func TestCallRate(t *testing.T) {
	const callRate = 3
	b := &fakeBroker{}
	h := start(t, b, func(cfg *Config) { cfg.CallRate = callRate })
	rooms := salav1.NewRoomServiceClient(h.conn)
	refused := func(err error) bool {
		t.Helper()
		if err == nil {
			return false
		}
		wantStatus(t, err, codes.ResourceExhausted, apierror.ReasonRateLimited, "rate limit")
		for _, detail := range status.Convert(err).Details() {
			if retry, ok := detail.(*errdetails.RetryInfo); ok {
				if d := retry.GetRetryDelay().AsDuration(); d <= 0 || d > time.Second {
					t.Errorf("RetryInfo says %s", d)
				}
				return true
			}
		}
		t.Error("there is no RetryInfo")
		return true
	}
	// Even on a slow machine, one of so many calls exceeds the rate.
	for i := 0; ; i++ {
		_, err := rooms.ListRooms(as(t, readerKey), &salav1.ListRoomsRequest{})
		if refused(err) {
			if i < callRate {
				t.Errorf("call %d is refused already", i)
			}
			break
		}
		if i == 1000 {
			t.Fatal("no call is refused")
		}
	}
	if _, err := rooms.ListRooms(as(t, adminKey), &salav1.ListRoomsRequest{}); err != nil {
		t.Errorf("another key: %v", err)
	}

	b.take()
	emits := make([]*salav1.EmitRequest, maxBatch)
	for i := range emits {
		emits[i] = &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e"}
	}
	resp, err := salav1.NewMessageServiceClient(h.conn).EmitBatch(as(t, adminKey), &salav1.EmitBatchRequest{Emits: emits})
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for _, result := range resp.GetResults() {
		switch failed := result.GetError(); {
		case failed == nil:
			sent++
		case failed.GetReason() != apierror.ReasonRateLimited || failed.GetCode() != uint32(codes.ResourceExhausted):
			t.Fatalf("%v", failed)
		}
	}
	if asked := len(b.take()); sent == maxBatch || asked != sent {
		t.Errorf("%d events of %d are said to be sent, %d were", sent, maxBatch, asked)
	}
	for i := 0; ; i++ {
		code, header, body := h.do(t, "GET", "/v1/rooms", "")
		if code == http.StatusTooManyRequests {
			if after, err := strconv.Atoi(header.Get("Retry-After")); err != nil || after != 1 {
				t.Errorf("Retry-After: %q; %s", header.Get("Retry-After"), body)
			}
			break
		}
		if i == 1000 {
			t.Fatal("no REST call is refused")
		}
	}
}

// A stream goes on when some of its events come too early.
func TestCallRateOfAStream(t *testing.T) {
	h := start(t, &fakeBroker{}, func(cfg *Config) { cfg.CallRate = 5 })
	stream, err := salav1.NewMessageServiceClient(h.conn).EmitStream(as(t, adminKey))
	if err != nil {
		t.Fatal(err)
	}
	for i, sawOne := 0, false; i < 200 || !sawOne; i++ {
		if err := stream.Send(&salav1.EmitStreamRequest{Emit: &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e"}}); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if failed := resp.GetResult().GetError(); failed != nil {
			sawOne = true
			if failed.GetReason() != apierror.ReasonRateLimited {
				t.Fatalf("%v", failed)
			}
		}
		if i == 10_000 {
			t.Fatal("no event is refused")
		}
	}
}

func TestFailedAuthentications(t *testing.T) {
	const strong = "a-strong-key-of-a-backend"
	const failuresAtOnce = 100 // that each address may have
	h := start(t, &fakeBroker{}, func(cfg *Config) {
		cfg.Keys = append(cfg.Keys, mustKey(t, "weak=short"), mustKey(t, "strong="+strong))
	})
	rooms := salav1.NewRoomServiceClient(h.conn)
	call := func(key string) error {
		_, err := rooms.ListRooms(as(t, key), &salav1.ListRoomsRequest{})
		return err
	}
	if err := call("short"); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		err := call("guess-" + strconv.Itoa(i))
		if status.Code(err) == codes.ResourceExhausted {
			wantStatus(t, err, codes.ResourceExhausted, apierror.ReasonRateLimited, "from this address")
			if i < failuresAtOnce {
				t.Errorf("guess %d is refused already", i)
			}
			break
		}
		wantStatus(t, err, codes.Unauthenticated, apierror.ReasonAPIKeyInvalid, "")
		if i == 10*failuresAtOnce {
			t.Fatal("nobody stops who guesses")
		}
	}
	// Another failure takes what a slow machine may have given back meanwhile.
	for status.Code(call("guess")) != codes.ResourceExhausted {
	}
	if err := call(strong); err != nil {
		t.Errorf("a key that can't be guessed: %v", err)
	}
	if code, header, _ := h.do(t, "GET", "/v1/rooms", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer guess") }); code != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
		t.Errorf("REST: %d, Retry-After %q", code, header.Get("Retry-After"))
	}
}
