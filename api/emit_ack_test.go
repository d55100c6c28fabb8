package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func TestEmitWithAck(t *testing.T) {
	b := &fakeBroker{emitWithAck: func(_ context.Context, each func(broker.Ack) error) (broker.AckSummary, error) {
		for _, ack := range []broker.Ack{
			{Socket: "s1", User: "ana", Args: json.RawMessage(`[1.50,{"b":1}]`), Latency: 5 * time.Millisecond},
			{Socket: "s2", Args: json.RawMessage(`[{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{0, 255}}},
			{Socket: "s3", Args: json.RawMessage(`[1e999]`)},
			{Socket: "s4", Args: json.RawMessage(`[]`)},
		} {
			if err := each(ack); err != nil {
				return broker.AckSummary{}, err
			}
		}
		return broker.AckSummary{Expected: 9, Answered: 4, TimedOut: 1, Disconnected: 2, Dropped: 2}, nil
	}}
	client := salav1.NewMessageServiceClient(start(t, b).conn)
	ask := func(req *salav1.EmitWithAckRequest) (acks []*salav1.Ack) {
		t.Helper()
		stream, err := client.EmitWithAck(as(t, adminKey), req)
		if err != nil {
			t.Fatal(err)
		}
		for {
			resp, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if resp.GetAck() != nil {
				acks = append(acks, resp.GetAck())
				continue
			}
			wantProto(t, resp.GetSummary(), &salav1.AckSummary{Expected: 9, Answered: 4, TimedOut: 1, Disconnected: 2, Dropped: 2})
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("after the summary: %v, want the end", err)
			}
			return acks
		}
	}
	acks := ask(&salav1.EmitWithAckRequest{
		Namespace: "/n", Rooms: []string{"a"}, Users: []string{"u"}, Sockets: []string{"s"},
		ExceptRooms: []string{"b"}, ExceptUsers: []string{"eva"}, ExceptSockets: []string{"t"},
		Event: "e", ArgsJson: `[1]`, Attachments: [][]byte{{1}}, Timeout: durationpb.New(2 * time.Second), MinAcks: 3,
	})
	wantCalls(t, b, ackCall{
		broker.Target{
			Namespace: "/n", Rooms: []string{"a"}, Users: []string{"u"}, Sockets: []string{"s"},
			ExceptRooms: []string{"b"}, ExceptUsers: []string{"eva"}, ExceptSockets: []string{"t"},
		},
		broker.Message{Event: "e", Args: json.RawMessage(`[1]`), Attachments: [][]byte{{1}}},
		broker.AckOptions{Timeout: 2 * time.Second, MinAcks: 3, Owner: "admin"},
	})
	none := durationpb.New(0)
	for i, want := range []*salav1.Ack{
		{Socket: "s1", User: "ana", Args: list(t, 1.5, map[string]any{"b": 1}), Latency: durationpb.New(5 * time.Millisecond)},
		{Socket: "s2", Args: list(t, map[string]any{"_placeholder": true, "num": 0}), Attachments: [][]byte{{0, 255}}, Latency: none},
		{Socket: "s3", ArgsJson: `[1e999]`, Latency: none}, // which a ListValue can't hold
		{Socket: "s4", Args: list(t), Latency: none},
	} {
		wantProto(t, acks[i], want)
	}
	acks = ask(&salav1.EmitWithAckRequest{Event: "e", ArgsAsJson: true})
	wantProto(t, acks[0], &salav1.Ack{Socket: "s1", User: "ana", ArgsJson: `[1.50,{"b":1}]`, Latency: durationpb.New(5 * time.Millisecond)})
}

func TestEmitWithAckRefusals(t *testing.T) {
	b := &fakeBroker{err: apierror.Invalid(broker.FieldViolation{Field: "args", Description: "bad"})}
	h := start(t, b)
	for _, tt := range []struct {
		name  string
		req   *salav1.EmitWithAckRequest
		field string
		asked bool
	}{
		{"no time", &salav1.EmitWithAckRequest{Timeout: durationpb.New(0)}, "timeout", false},
		{"no duration", &salav1.EmitWithAckRequest{Timeout: &durationpb.Duration{Seconds: 1, Nanos: -1}}, "timeout", false},
		{"both args", &salav1.EmitWithAckRequest{Args: list(t), ArgsJson: "[]"}, "args", false},
		{"of the broker's", &salav1.EmitWithAckRequest{}, "args", true},
		{"by the name that was used", &salav1.EmitWithAckRequest{ArgsJson: "{}"}, "args_json", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stream, err := salav1.NewMessageServiceClient(h.conn).EmitWithAck(as(t, adminKey), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			wantStatus(t, err, codes.InvalidArgument, "INVALID_ARGUMENT", tt.field+": ")
			if got := violations(err); !slices.Contains(got, tt.field) {
				t.Errorf("violations = %v", got)
			}
			if asked := b.take() != nil; asked != tt.asked {
				t.Errorf("the broker was asked: %t", asked)
			}
		})
	}
	// A call that fails before its first line has an ordinary error.
	failed := wantRESTError(t, h, "POST", "/v1/emit:ack", `{"event":"e","argsJson":"{}"}`, 400, "INVALID_ARGUMENT", "argsJson: bad")
	if got := failed.fields(); !slices.Equal(got, []string{"argsJson"}) {
		t.Errorf("fields = %v", got)
	}
	wantRESTError(t, h, "POST", "/v1/emit:ack?event=e", `{}`, 400, "INVALID_ARGUMENT", "event: is in the URL")
	wantRESTError(t, h, "POST", "/v1/emit:ack", `{"volatile":true}`, 400, "INVALID_ARGUMENT", "volatile: there is no such field")
	wantRESTError(t, h, "POST", "/v1/emit:ack", `{"event":"`+strings.Repeat("x", 100_000+1<<20)+`"}`, 413, apierror.ReasonRequestTooLarge, "as a gRPC message")
}

// openAcks begins a call over REST and returns its lines as they come.
func openAcks(ctx context.Context, t *testing.T, h *harness) (*http.Response, *bufio.Scanner) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.rest.URL+"/v1/emit:ack", strings.NewReader(`{"rooms":["a"],"event":"e"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	resp, err := h.rest.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp, bufio.NewScanner(resp.Body)
}

// Each answer is a line, which is there before the next answer is.
func TestAcksAreLinesAsTheyCome(t *testing.T) {
	answers := make(chan broker.Ack)
	b := &fakeBroker{emitWithAck: func(_ context.Context, each func(broker.Ack) error) (broker.AckSummary, error) {
		for ack := range answers {
			if err := each(ack); err != nil {
				return broker.AckSummary{}, err
			}
		}
		return broker.AckSummary{}, &broker.Error{Code: broker.CodeUnavailable, Reason: broker.ReasonDraining, Message: "bye"}
	}}
	h := start(t, b)
	go func() {
		answers <- broker.Ack{Socket: "s1", User: "ana", Args: json.RawMessage(`["b"]`), Latency: time.Second}
	}()
	resp, lines := openAcks(timeout(t), t, h)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Errorf("read %s, want %s (%v)", lines.Text(), want, lines.Err())
		}
	}
	next(`{"result":{"ack":{"socket":"s1","user":"ana","args":["b"],"argsJson":"","attachments":[],"latency":"1s"}}}`)
	answers <- broker.Ack{Socket: "s2", Args: json.RawMessage(`[]`)}
	next(`{"result":{"ack":{"socket":"s2","user":"","args":[],"argsJson":"","attachments":[],"latency":"0s"}}}`)
	close(answers)
	next(`{"error":{"code":14,"message":"bye","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"DRAINING","domain":"sala","metadata":{}}]}}`)
	if lines.Scan() {
		t.Errorf("there is another line: %s", lines.Text())
	}
}

// A caller that hangs up is not answered any more, and calls that wait for
// clients don't keep other bodies out.
func TestWaitingForAcksHoldsNothing(t *testing.T) {
	const calls = 65
	begun, ended := make(chan struct{}, calls), make(chan error, calls)
	b := &fakeBroker{emitWithAck: func(ctx context.Context, each func(broker.Ack) error) (broker.AckSummary, error) {
		begun <- struct{}{}
		if err := each(broker.Ack{Args: json.RawMessage(`[]`)}); err != nil {
			return broker.AckSummary{}, err
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return broker.AckSummary{}, ctx.Err()
	}}
	h := start(t, b)
	ctx, hangUp := context.WithCancel(timeout(t))
	for range calls {
		openAcks(ctx, t, h)
		select {
		case <-begun:
		case <-ctx.Done():
			t.Fatal("a call waits for another")
		}
	}
	if status, _, text := h.do(t, "POST", "/v1/emit", `{"rooms":["a"],"event":"e"}`); status != 200 {
		t.Errorf("another request: %d %s", status, text)
	}
	for name, b := range map[string]*budget{"receiving": h.server.intake.receiving, "decoding": h.server.intake.decoding} {
		if b.mu.Lock(); b.used != 0 {
			t.Errorf("the calls hold %d bytes of the budget for %s", b.used, name)
		}
		b.mu.Unlock()
	}
	hangUp()
	for range calls {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the call ended with %v", err)
		}
	}
}

func TestRevokeUpdateDrain(t *testing.T) {
	b := &fakeBroker{matched: 3}
	h := start(t, b)
	tokens, sockets := salav1.NewTokenServiceClient(h.conn), salav1.NewSocketServiceClient(h.conn)
	revoked, err := tokens.RevokeTokens(as(t, adminKey), &salav1.RevokeTokensRequest{TokenId: "id"})
	if err != nil || revoked.GetDisconnected() != 3 || revoked.GetPartial() {
		t.Fatalf("RevokeTokens = %v, %v", revoked, err)
	}
	wantCalls(t, b, broker.RevokeTokens{TokenID: "id"})
	_, err = tokens.RevokeTokens(as(t, adminKey), &salav1.RevokeTokensRequest{User: "u", IssuedBefore: badTime()})
	wantStatus(t, err, codes.InvalidArgument, "INVALID_ARGUMENT", "issued_before: ")
	wantNoCalls(t, b)

	selector := &salav1.Selector{Users: []string{"u"}}
	for _, data := range []string{`{"a":[1,"<"]}`, `null`, ``} {
		req := &salav1.UpdateRequest{Selector: selector, Data: jsonValue(json.RawMessage(data))}
		if updated, err := sockets.Update(as(t, adminKey), req); err != nil || updated.GetMatched() != 3 {
			t.Fatalf("Update = %v, %v", updated, err)
		}
		wantCalls(t, b, updateCall{broker.Target{Users: []string{"u"}}, rawOrNil(data)})
	}
	drained, err := salav1.NewClusterServiceClient(h.conn).Drain(as(t, adminKey), &salav1.DrainRequest{Id: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, drained, &salav1.DrainResponse{Node: &salav1.Node{
		Id: "n1", State: salav1.NodeState_NODE_STATE_DRAINING, Uptime: durationpb.New(0),
	}})
	wantCalls(t, b, drainCall{"n1"})
}

func wantNoCalls(t *testing.T, b *fakeBroker) {
	t.Helper()
	if calls := b.take(); calls != nil {
		t.Errorf("the broker was asked: %v", calls)
	}
}

// badTime is one that no calendar has.
func badTime() *timestamppb.Timestamp { return &timestamppb.Timestamp{Nanos: -1} }

func rawOrNil(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

func TestReportIsKnown(t *testing.T) {
	b := &fakeBroker{matched: 2}
	client := salav1.NewMessageServiceClient(start(t, b).conn)
	for _, report := range []salav1.Report{salav1.Report_REPORT_UNSPECIFIED, salav1.Report_REPORT_COUNTS, salav1.Report_REPORT_NONE} {
		if resp, err := client.Emit(as(t, adminKey), &salav1.EmitRequest{Event: "e", Report: report}); err != nil || resp.GetQueued() != 2 {
			t.Errorf("%s: %v, %v", report, resp, err)
		}
	}
	b.take()
	_, err := client.Broadcast(as(t, adminKey), &salav1.BroadcastRequest{Event: "e", Report: 9})
	wantStatus(t, err, codes.InvalidArgument, "INVALID_ARGUMENT", "report: 9 is none of")
	wantNoCalls(t, b)
}

// A caller that reads none of its answers is left, over gRPC and over REST, and
// its call holds nothing then.
func TestAcksThatNobodyReads(t *testing.T) {
	left := make(chan error, 1)
	b := &fakeBroker{emitWithAck: func(_ context.Context, each func(broker.Ack) error) (broker.AckSummary, error) {
		big := json.RawMessage(`["` + strings.Repeat("x", 500_000) + `"]`)
		for {
			if err := each(broker.Ack{Args: big}); err != nil {
				left <- err
				return broker.AckSummary{}, err
			}
		}
	}}
	h := start(t, b)
	wasLeft := func(how string) {
		t.Helper()
		select {
		case err := <-left:
			var failed *broker.Error
			if !errors.As(err, &failed) || failed.Reason != broker.ReasonSlowCaller {
				t.Errorf("%s: %v", how, err)
			}
		case <-timeout(t).Done():
			t.Fatalf("%s: the call has no end", how)
		}
	}
	stream, err := salav1.NewMessageServiceClient(h.conn).EmitWithAck(as(t, adminKey), &salav1.EmitWithAckRequest{
		Rooms: []string{"a"}, Event: "e", Timeout: durationpb.New(time.Millisecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	wasLeft("gRPC")
	for err == nil {
		_, err = stream.Recv()
	}
	wantStatus(t, err, codes.ResourceExhausted, broker.ReasonSlowCaller, "read them as they come")

	conn, err := net.Dial("tcp", strings.TrimPrefix(h.rest.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	body := `{"rooms":["a"],"event":"e","timeout":"0.001s"}`
	if _, err := fmt.Fprintf(conn, "POST /v1/emit:ack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", adminKey, len(body), body); err != nil {
		t.Fatal(err)
	}
	wasLeft("REST")
	admin := h.callerOf(t, adminKey)
	for admin.Calls.Load() != 0 {
		select {
		case <-time.After(time.Millisecond):
		case <-timeout(t).Done():
			t.Fatalf("%d calls are still in flight", admin.Calls.Load())
		}
	}
}

// A caller over HTTP that takes nothing of an answer is cut off.
func TestUnreadAnswersOverHTTP(t *testing.T) {
	ended := make(chan error, 1)
	server := httptest.NewServer(limitWriteTime(50*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				ended <- err
				return
			}
		}
	})))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it ended with %v", err)
	}
}
