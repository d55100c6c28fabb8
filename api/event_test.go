package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/eventhub"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// startHub serves a fake broker whose subscriptions are those of a real hub.
func startHub(t testing.TB, o eventhub.Options) (*harness, *eventhub.Hub) {
	t.Helper()
	hub := eventhub.New(o)
	h := start(t, &fakeBroker{subscribe: func(o broker.SubscribeOptions) (*broker.Subscription, error) {
		sub, err := hub.Subscribe(eventhub.SubscribeOptions{
			Group:   o.Group,
			Filter:  eventhub.Filter{Kinds: o.Kinds, Namespaces: o.Namespaces, Names: o.Events},
			Decide:  o.Decide,
			Observe: o.Observe,
			Credits: o.Credits,
		})
		if err != nil {
			return nil, err
		}
		return broker.NewSubscription(sub, broker.MessageLimits{Bytes: 10_000, Attachments: 64}), nil
	}})
	t.Cleanup(func() { _ = hub.Close(timeout(t)) })
	return h, hub
}

// backend is a stream from the backend's side.
type backend struct {
	t      testing.TB
	stream salav1.EventService_SubscribeClient
}

func (h *harness) backend(t testing.TB, start *salav1.SubscribeStart) *backend {
	t.Helper()
	b := h.dial(as(t, adminKey), t)
	b.send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: start}})
	if resp := b.recv(); resp.GetStarted() == nil {
		t.Fatalf("the first response is %v", resp)
	}
	return b
}

func (h *harness) dial(ctx context.Context, t testing.TB) *backend {
	t.Helper()
	stream, err := salav1.NewEventServiceClient(h.conn).Subscribe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &backend{t, stream}
}

func (b *backend) send(req *salav1.SubscribeRequest) {
	b.t.Helper()
	if err := b.stream.Send(req); err != nil {
		b.t.Fatal(err)
	}
}

func (b *backend) recv() *salav1.SubscribeResponse {
	b.t.Helper()
	resp, err := b.stream.Recv()
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

func (b *backend) event() *salav1.ClientEvent {
	b.t.Helper()
	resp := b.recv()
	if resp.GetEvent() == nil {
		b.t.Fatalf("got %v, want an event", resp)
	}
	return resp.GetEvent()
}

// ends waits for the end of the stream.
func (b *backend) ends() error {
	for {
		if _, err := b.stream.Recv(); err != nil {
			return err
		}
	}
}

func (b *backend) wantRejected(id string, code codes.Code, reason, text string) {
	b.t.Helper()
	r := b.recv().GetRejected()
	if r.GetDeliveryId() != id || codes.Code(r.GetCode()) != code || r.GetReason() != reason || !strings.Contains(r.GetMessage(), text) {
		b.t.Errorf("rejected: %v, want %s %s of %q with %q", r, code, reason, id, text)
	}
}

func replyRequest(r *salav1.EventReply) *salav1.SubscribeRequest {
	return &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Reply{Reply: r}}
}

func decisionRequest(d *salav1.EventDecision) *salav1.SubscribeRequest {
	return &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Decision{Decision: d}}
}

func creditRequest(n uint32) *salav1.SubscribeRequest {
	return &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Credit{Credit: &salav1.EventCredit{Credits: n}}}
}

func messageOf(socket *eventhub.Socket, name string) *eventhub.Event {
	return &eventhub.Event{Kind: eventhub.Message, Namespace: "/", Socket: socket, Name: name, Args: json.RawMessage(`[1]`), Time: time.Now()}
}

// ask asks the hub, and returns where the reply will be.
func ask(hub *eventhub.Hub, e *eventhub.Event) <-chan eventhub.Reply {
	replies := make(chan eventhub.Reply, 2)
	hub.Ask(e, func(r eventhub.Reply) { replies <- r })
	return replies
}

// decided asks the hub to decide, and returns where the decision will be.
func decided(t testing.TB, hub *eventhub.Hub) <-chan eventhub.Decision {
	decisions := make(chan eventhub.Decision, 1)
	go func() {
		d, err := hub.Decide(&eventhub.Event{Kind: eventhub.Connect, Namespace: "/", Socket: &eventhub.Socket{ID: "s"}}, nil)
		if err != nil {
			t.Error(err)
		}
		decisions <- d
	}()
	return decisions
}

func TestSubscribeShowsEverything(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{})
	b := h.backend(t, &salav1.SubscribeStart{Credits: 100})
	at := time.Unix(1_700_000_000, 5).UTC()
	socket := &eventhub.Socket{
		ID: "sock", User: "ana", Namespace: "/chat", Address: "1.2.3.4:5", Transport: "websocket", ConnectTime: at,
		Data: json.RawMessage(`{"n":1}`), Auth: json.RawMessage(`{"app":"x"}`),
	}
	hub.Publish(&eventhub.Event{
		Kind: eventhub.Message, Namespace: "/chat", Socket: socket, Name: "say", Time: at,
		Args: json.RawMessage(`[9007199254740993, {"_placeholder":true,"num":0}]`), Attachments: [][]byte{{0, 255}},
	})
	e := b.event()
	if e.GetDeliveryId() == "" || e.GetKind() != salav1.EventKind_EVENT_KIND_MESSAGE || e.GetNamespace() != "/chat" ||
		e.GetEvent() != "say" || e.GetArgsJson() != `[9007199254740993, {"_placeholder":true,"num":0}]` ||
		!bytes.Equal(e.GetAttachments()[0], []byte{0, 255}) || !e.GetTime().AsTime().Equal(at) ||
		e.GetNeedsAck() || e.GetNeedsDecision() || e.GetRedelivered() {
		t.Errorf("the event is %v", e)
	}
	for range 2 { // the second time it is remembered
		s := e.GetSocket()
		if s.GetId() != "sock" || s.GetUser() != "ana" || s.GetNamespace() != "/chat" || s.GetAddress() != "1.2.3.4:5" ||
			s.GetTransport() != "websocket" || !s.GetConnectTime().AsTime().Equal(at) || s.GetAuthJson() != `{"app":"x"}` ||
			s.GetData().GetStructValue().GetFields()["n"].GetNumberValue() != 1 {
			t.Errorf("the socket is %v", s)
		}
		hub.Publish(&eventhub.Event{Kind: eventhub.Disconnect, Namespace: "/chat", Socket: socket, Reason: "gone\xff"})
		e = b.event()
		if e.GetKind() != salav1.EventKind_EVENT_KIND_DISCONNECT || e.GetReason() != "gone\uFFFD" || e.GetTime() != nil {
			t.Errorf("the event is %v", e)
		}
	}
	hub.Publish(&eventhub.Event{
		Kind: eventhub.Connect, Namespace: "/", Socket: socket, PreviousSocketID: "before", NotRecovered: "NODE_LOST",
	})
	if e := b.event(); e.GetPreviousSocketId() != "before" || e.GetNotRecovered() != "NODE_LOST" {
		t.Errorf("the event is %v", e)
	}
	hub.Publish(&eventhub.Event{Kind: eventhub.Away, Namespace: "/", Socket: socket, Reason: "ping timeout"})
	if e := b.event(); e.GetKind() != salav1.EventKind_EVENT_KIND_AWAY || e.GetReason() != "ping timeout" {
		t.Errorf("the event is %v", e)
	}
	hub.Publish(&eventhub.Event{Kind: eventhub.Resumed, Namespace: "/", Socket: socket})
	if e := b.event(); e.GetKind() != salav1.EventKind_EVENT_KIND_RESUMED || e.GetSocket().GetId() != "sock" {
		t.Errorf("the event is %v", e)
	}
	hub.Publish(&eventhub.Event{Kind: eventhub.RoomOpened, Namespace: "/", Room: "r"})
	if e := b.event(); e.GetKind() != salav1.EventKind_EVENT_KIND_ROOM_OPENED || e.GetRoom() != "r" || e.GetSocket() != nil {
		t.Errorf("the event is %v", e)
	}
}

func TestReplies(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{})
	b := h.backend(t, &salav1.SubscribeStart{Group: "g", Credits: 100})
	list, _ := structpb.NewList([]any{"a", 1.5})
	for _, tt := range []struct {
		name  string
		reply *salav1.EventReply
		want  string
	}{
		{"args", &salav1.EventReply{Args: list}, `["a",1.5] []`},
		{"args_json", &salav1.EventReply{ArgsJson: `[ 9007199254740993 ]`}, `[ 9007199254740993 ] []`},
		{"none", &salav1.EventReply{}, ` []`},
		{"binary", &salav1.EventReply{ArgsJson: `[{"_placeholder":true,"num":0}]`, Attachments: [][]byte{{7}}}, `[{"_placeholder":true,"num":0}] [[7]]`},
		{"error", &salav1.EventReply{Error: &salav1.EventError{Code: "RUDE", Message: "be kind"}}, ` [] RUDE be kind`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			replies := ask(hub, messageOf(nil, "q"))
			e := b.event()
			if !e.GetNeedsAck() {
				t.Errorf("the event is %v", e)
			}
			tt.reply.DeliveryId = e.GetDeliveryId()
			b.send(replyRequest(tt.reply))
			r := <-replies
			got := fmt.Sprint(string(r.Args), " ", r.Attachments)
			if r.Error != nil {
				got += " " + r.Error.Code + " " + r.Error.Message
			}
			if got != tt.want {
				t.Errorf("the reply is %q, want %q", got, tt.want)
			}
		})
	}
}

// An answer that can't be used is told apart from others, and the stream goes on.
func TestRejections(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{AckTimeout: 100 * time.Millisecond})
	b := h.backend(t, &salav1.SubscribeStart{Credits: 100, Decide: true})
	b.send(replyRequest(&salav1.EventReply{DeliveryId: "nonsense"}))
	b.wantRejected("nonsense", codes.NotFound, "DELIVERY_NOT_FOUND", "unchanged")
	b.send(decisionRequest(&salav1.EventDecision{DeliveryId: "7", Decision: &salav1.EventDecision_Accept{}}))
	b.wantRejected("7", codes.NotFound, "DELIVERY_NOT_FOUND", "7")

	expired := ask(hub, messageOf(nil, "late"))
	late := b.event().GetDeliveryId()
	if r := <-expired; r.Error == nil || r.Error.Code != "HANDLER_TIMEOUT" {
		t.Errorf("the reply is %+v", r)
	}
	b.send(replyRequest(&salav1.EventReply{DeliveryId: late}))
	b.wantRejected(late, codes.FailedPrecondition, "DELIVERY_EXPIRED", "deadline")

	decision := decided(t, hub)
	id := b.event().GetDeliveryId()
	b.send(replyRequest(&salav1.EventReply{DeliveryId: id}))
	b.wantRejected(id, codes.FailedPrecondition, "DELIVERY_MISMATCH", "decision")
	b.send(decisionRequest(&salav1.EventDecision{DeliveryId: id}))
	b.wantRejected(id, codes.InvalidArgument, "INVALID_ARGUMENT", "decision: ")
	b.send(decisionRequest(&salav1.EventDecision{DeliveryId: id, Decision: &salav1.EventDecision_Refuse{Refuse: &salav1.EventError{}}}))
	b.wantRejected(id, codes.InvalidArgument, "INVALID_ARGUMENT", "refuse.code: ")
	b.send(decisionRequest(&salav1.EventDecision{DeliveryId: id, Decision: &salav1.EventDecision_Accept{
		Accept: &salav1.EventAccept{Rooms: []string{"a"}, Data: structpb.NewStringValue("d")},
	}}))
	if d := <-decision; d.Refusal != nil || fmt.Sprint(d.Rooms) != "[a]" || string(d.Data) != `"d"` {
		t.Errorf("the decision is %+v", d)
	}
	b.send(decisionRequest(&salav1.EventDecision{DeliveryId: id, Decision: &salav1.EventDecision_Accept{}}))
	b.wantRejected(id, codes.FailedPrecondition, "DELIVERY_ANSWERED", "answered before")

	replies := make(chan eventhub.Reply, 1)
	hub.Ask(messageOf(nil, "q"), func(r eventhub.Reply) { replies <- r })
	id = b.event().GetDeliveryId()
	b.send(replyRequest(&salav1.EventReply{DeliveryId: id, ArgsJson: "{"}))
	if r := b.recv().GetRejected(); r.GetReason() == "INVALID_ARGUMENT" && !strings.HasPrefix(r.GetMessage(), "args_json: ") {
		t.Errorf("rejected: %v", r)
	}
}

func TestRefusedConnect(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{})
	b := h.backend(t, &salav1.SubscribeStart{Credits: 1, Decide: true, Kinds: []salav1.EventKind{salav1.EventKind_EVENT_KIND_CONNECT}})
	decision := decided(t, hub)
	e := b.event()
	if !e.GetNeedsDecision() || e.GetNeedsAck() || e.GetKind() != salav1.EventKind_EVENT_KIND_CONNECT {
		t.Errorf("the event is %v", e)
	}
	b.send(decisionRequest(&salav1.EventDecision{DeliveryId: e.GetDeliveryId(), Decision: &salav1.EventDecision_Refuse{
		Refuse: &salav1.EventError{Code: "BANNED", Message: "no"},
	}}))
	if d := <-decision; d.Refusal == nil || *d.Refusal != (eventhub.Failure{Code: "BANNED", Message: "no"}) {
		t.Errorf("the decision is %+v", d)
	}
}

// A request that a subscriber can't send ends the stream; the error names the field.
func TestBadSubscribeRequests(t *testing.T) {
	h := startReal(t)
	ok := &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{Credits: 1}}}
	started := func(s *salav1.SubscribeStart) *salav1.SubscribeRequest {
		return &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: s}}
	}
	for _, tt := range []struct {
		name     string
		requests []*salav1.SubscribeRequest
		fields   string
	}{
		{"empty", []*salav1.SubscribeRequest{{}}, "start"},
		{"no start", []*salav1.SubscribeRequest{creditRequest(1)}, "start"},
		{"two starts", []*salav1.SubscribeRequest{ok, ok}, "start"},
		{"nothing", []*salav1.SubscribeRequest{ok, {}}, "request"},
		{"no credit", []*salav1.SubscribeRequest{ok, creditRequest(0)}, "credit.credits"},
		{"too much credit", []*salav1.SubscribeRequest{ok, creditRequest(100_000)}, "credit.credits"},
		{"much too much", []*salav1.SubscribeRequest{ok, creditRequest(1<<32 - 1)}, "credit.credits"},
		{"too much to start with", []*salav1.SubscribeRequest{started(&salav1.SubscribeStart{Credits: 100_001})}, "start.credits"},
		{"kinds", []*salav1.SubscribeRequest{started(&salav1.SubscribeStart{Kinds: []salav1.EventKind{1, 0, 99}})}, "start.kinds[1] start.kinds[2]"},
		{"names", []*salav1.SubscribeRequest{started(&salav1.SubscribeStart{
			Group: strings.Repeat("g", 256), Namespaces: []string{"/nope"}, Events: []string{""},
		})}, "start.group start.namespaces[0] start.events[0]"},
		{"observe", []*salav1.SubscribeRequest{started(&salav1.SubscribeStart{Decide: true, Observe: true})}, "start.observe"},
		{"decide", []*salav1.SubscribeRequest{started(&salav1.SubscribeStart{Decide: true, Kinds: []salav1.EventKind{2}})}, "start.decide"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := h.dial(as(t, adminKey), t)
			for _, req := range tt.requests {
				if err := b.stream.Send(req); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
			}
			err := b.ends()
			if got := strings.Join(violations(err), " "); got != tt.fields {
				t.Errorf("%v names %q, want %q", err, got, tt.fields)
			}
			wantStatus(t, err, codes.InvalidArgument, "INVALID_ARGUMENT", strings.Fields(tt.fields)[0]+": ")
		})
	}
}

func TestSubscribeNeedsTheScope(t *testing.T) {
	h, _ := startHub(t, eventhub.Options{})
	wantStatus(t, h.dial(as(t, readerKey), t).ends(), codes.PermissionDenied, "SCOPE_DENIED", "events")
}

func TestSubscribePassesErrorsOn(t *testing.T) {
	b := &fakeBroker{err: &broker.Error{Code: broker.CodeResourceExhausted, Reason: "WHY", Message: "full"}}
	stream := start(t, b).dial(as(t, adminKey), t)
	stream.send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{
		Group: "g", Namespaces: []string{"/"}, Events: []string{"e"}, Kinds: []salav1.EventKind{1, 5}, Credits: 7, Decide: true,
	}}})
	wantStatus(t, stream.ends(), codes.ResourceExhausted, "WHY", "full")
	wantCalls(t, b, broker.SubscribeOptions{
		Group: "g", Namespaces: []string{"/"}, Events: []string{"e"}, Kinds: []eventhub.Kind{eventhub.Connect, eventhub.Message}, Credits: 7, Decide: true, Owner: "admin",
	})
}

func TestCreditsOverTheStream(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{})
	b := h.backend(t, &salav1.SubscribeStart{})
	for i := range 500 {
		hub.Publish(messageOf(nil, fmt.Sprint(i)))
	}
	// Without credits only the rejection comes through.
	b.send(replyRequest(&salav1.EventReply{DeliveryId: "1"}))
	b.wantRejected("1", codes.NotFound, "DELIVERY_NOT_FOUND", "")
	for i := range 500 {
		if i%50 == 0 {
			b.send(creditRequest(50))
		}
		if e := b.event(); e.GetEvent() != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, e.GetEvent())
		}
	}
}

// A backend that closes its side, or that is gone, leaves its mates what it had.
func TestBackendsThatGo(t *testing.T) {
	for name, end := range map[string]func(b *backend, cancel context.CancelFunc){
		"half-close": func(b *backend, _ context.CancelFunc) {
			if err := b.stream.CloseSend(); err != nil {
				t.Error(err)
			}
			if err := b.ends(); !errors.Is(err, io.EOF) {
				t.Errorf("the stream ends with %v", err)
			}
		},
		"cancel": func(_ *backend, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			h, hub := startHub(t, eventhub.Options{})
			ctx, cancel := context.WithCancel(as(t, adminKey))
			defer cancel()
			first := h.dial(ctx, t)
			first.send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{Group: "g", Credits: 10}}})
			first.recv()
			replies := ask(hub, messageOf(&eventhub.Socket{ID: "s"}, "q"))
			id := first.event().GetDeliveryId()
			second := h.backend(t, &salav1.SubscribeStart{Group: "g", Credits: 10})
			end(first, cancel)
			e := second.event()
			if e.GetDeliveryId() != id || !e.GetRedelivered() || !e.GetNeedsAck() {
				t.Errorf("the event is %v", e)
			}
			second.send(replyRequest(&salav1.EventReply{DeliveryId: id, ArgsJson: "[2]"}))
			if r := <-replies; string(r.Args) != "[2]" {
				t.Errorf("the reply is %+v", r)
			}
		})
	}
}

// A backend that closes its side and reads on gets all that it was handed, and
// every other event goes to its mate.
func TestHalfCloseLosesNothing(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{})
	first := h.backend(t, &salav1.SubscribeStart{Group: "g", Credits: 100_000})
	const n = 20_000
	seen := make(map[string]int)
	var second *backend
	for i := range n {
		hub.Publish(messageOf(&eventhub.Socket{ID: fmt.Sprint("s", i%10)}, fmt.Sprint(i)))
		if i == n/2 {
			second = h.backend(t, &salav1.SubscribeStart{Group: "g", Credits: 100_000})
			first.send(replyRequest(&salav1.EventReply{DeliveryId: "last word"}))
			if err := first.stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
		}
	}
	rejected := 0
	for {
		resp, err := first.stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetRejected() != nil {
			rejected++
			continue
		}
		seen[resp.GetEvent().GetEvent()]++
	}
	if len(seen) == n {
		t.Error("the backend that left got everything")
	}
	if rejected != 1 {
		t.Errorf("%d answers were rejected, want the last one", rejected)
	}
	for len(seen) < n {
		seen[second.event().GetEvent()]++
	}
	for event, times := range seen {
		if times != 1 {
			t.Errorf("event %s came %d times", event, times)
		}
	}
}

// One that doesn't read is cut; it holds no more than its queue, and its mate
// goes on.
func TestSlowBackendIsCut(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{MaxQueuedEvents: 100})
	slow := h.backend(t, &salav1.SubscribeStart{Credits: 100_000})
	n := 0
	big := messageOf(nil, "big")
	big.Args = json.RawMessage(`["` + strings.Repeat("x", 9000) + `"]`)
	for ; hub.Wants(eventhub.Message, "/", "big"); n++ { // until flow control and the queue are full
		hub.Publish(big)
	}
	wantStatus(t, slow.ends(), codes.ResourceExhausted, "SLOW_SUBSCRIBER", "credits")
	again := h.backend(t, &salav1.SubscribeStart{Credits: 1})
	hub.Publish(messageOf(nil, "small"))
	if e := again.event(); e.GetEvent() != "small" {
		t.Errorf("the event is %v", e)
	}
}

// stuckStream is a stream whose backend reads nothing and says nothing after its
// first request.
type stuckStream struct {
	subscribeStream
	ctx   context.Context
	first chan *salav1.SubscribeRequest
}

// admitted is the context of a call that the interceptor has let in.
func admitted(t testing.TB, ctx context.Context, method string) context.Context { //nolint:revive // t comes first in tests
	t.Helper()
	return context.WithValue(ctx, callKey{}, &call{method: method, caller: &auth.Caller{Key: mustKey(t, adminKey)}})
}

func (s *stuckStream) Context() context.Context { return s.ctx }

func (s *stuckStream) Recv() (*salav1.SubscribeRequest, error) {
	select {
	case req := <-s.first:
		return req, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (s *stuckStream) Send(*salav1.SubscribeResponse) error {
	<-s.ctx.Done()
	return s.ctx.Err()
}

// A subscriber is told which nodes don't offer it their clients' events yet.
func TestStartedNamesMissingNodes(t *testing.T) {
	hub := eventhub.New(eventhub.Options{})
	t.Cleanup(func() { _ = hub.Close(timeout(t)) })
	h := start(t, &fakeBroker{
		coverage: broker.PartialResult{Partial: true, Missing: []string{"b", "c"}},
		subscribe: func(broker.SubscribeOptions) (*broker.Subscription, error) {
			sub, err := hub.Subscribe(eventhub.SubscribeOptions{})
			return broker.NewSubscription(sub, broker.MessageLimits{}), err
		},
	})
	b := h.dial(as(t, adminKey), t)
	b.send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{}}})
	wantProto(t, b.recv().GetStarted(), &salav1.SubscribeStarted{Partial: true, MissingNodes: []string{"b", "c"}})
}

// A stream ends even while its backend reads nothing at all.
func TestStuckBackendIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := eventhub.New(eventhub.Options{MaxQueuedEvents: 10})
		service := &eventService{broker: &fakeBroker{subscribe: func(broker.SubscribeOptions) (*broker.Subscription, error) {
			sub, err := hub.Subscribe(eventhub.SubscribeOptions{Credits: 1})
			return broker.NewSubscription(sub, broker.MessageLimits{Bytes: 1000, Attachments: 64}), err
		}}}
		ctx, cancel := context.WithCancel(context.Background())
		stream := &stuckStream{ctx: admitted(t, ctx, salav1.EventService_Subscribe_FullMethodName), first: make(chan *salav1.SubscribeRequest, 1)}
		stream.first <- &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{}}}
		ended := make(chan error, 1)
		go func() { ended <- service.Subscribe(stream) }()
		synctest.Wait()
		for hub.Wants(eventhub.Message, "/", "e") {
			hub.Publish(messageOf(nil, "e"))
		}
		var failed *broker.Error
		if err := <-ended; !errors.As(err, &failed) || failed.Reason != "SLOW_SUBSCRIBER" || failed.Code != broker.CodeResourceExhausted {
			t.Errorf("Subscribe: %v", err)
		}
		cancel() // as gRPC does when the method has returned
		if err := hub.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// A stream that ends before its start is done with leaves no subscription.
func TestSubscriptionOfAnEndedStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := eventhub.New(eventhub.Options{})
		ctx, cancel := context.WithCancel(context.Background())
		service := &eventService{broker: &fakeBroker{subscribe: func(broker.SubscribeOptions) (*broker.Subscription, error) {
			cancel()
			<-time.After(time.Second) // the method returns meanwhile
			sub, err := hub.Subscribe(eventhub.SubscribeOptions{})
			return broker.NewSubscription(sub, broker.MessageLimits{Bytes: 1000, Attachments: 64}), err
		}}}
		stream := &stuckStream{ctx: admitted(t, ctx, salav1.EventService_Subscribe_FullMethodName), first: make(chan *salav1.SubscribeRequest, 1)}
		stream.first <- &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{}}}
		if err := service.Subscribe(stream); !errors.Is(err, context.Canceled) {
			t.Errorf("Subscribe: %v", err)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if hub.Wants(eventhub.Message, "/", "e") {
			t.Error("the subscription is left")
		}
		if err := hub.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestSocketMessagesAreShared(t *testing.T) {
	sockets := socketMessages{}
	first := &eventhub.Socket{ID: "first"}
	message := sockets.socket(first)
	if sockets.socket(first) != message {
		t.Error("the message of a socket is made again")
	}
	for range maxSocketMessages + 5 {
		sockets.socket(&eventhub.Socket{ID: "another"})
		if len(sockets) > maxSocketMessages {
			t.Fatalf("%d messages are remembered", len(sockets))
		}
	}
}

// Shutting down the hub and then the server, as a node does, doesn't cut off what
// a subscriber was handed last and is slow to read.
func TestLastEventsArriveOnShutdown(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{})
	b := h.backend(t, &salav1.SubscribeStart{})
	const n = deliveryBatch / 2
	for i := range n { // more than flow control lets through at once
		e := messageOf(nil, fmt.Sprint(i))
		e.Args = json.RawMessage(`["` + strings.Repeat("x", 9000) + `"]`)
		hub.Publish(e)
	}
	b.send(creditRequest(n))
	if err := hub.Close(timeout(t)); err != nil { // all has been handed out, as one batch
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- h.server.Shutdown(timeout(t)) }()
	<-h.server.stopping
	for i := range n {
		resp, err := b.stream.Recv()
		if err != nil || resp.GetEvent().GetEvent() != fmt.Sprint(i) {
			t.Fatalf("instead of event %d came %v, %v", i, resp, err)
		}
	}
	wantStatus(t, b.ends(), codes.Unavailable, "DRAINING", "shutting down")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestSubscriptionsEndOnShutdown(t *testing.T) {
	h, _ := startHub(t, eventhub.Options{})
	idle := h.dial(as(t, adminKey), t) // it has not said what it wants
	b := h.backend(t, &salav1.SubscribeStart{})
	if err := h.server.Shutdown(timeout(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	wantStatus(t, b.ends(), codes.Unavailable, "DRAINING", "shutting down")
	wantStatus(t, idle.ends(), codes.Unavailable, "DRAINING", "shutting down")
}

// A broker that closes lets subscribers have what was queued.
func TestSubscriptionsEndWithTheHub(t *testing.T) {
	h, hub := startHub(t, eventhub.Options{})
	b := h.backend(t, &salav1.SubscribeStart{Credits: 10_000})
	const n = 5000
	for i := range n {
		hub.Publish(messageOf(nil, fmt.Sprint(i)))
	}
	closed := make(chan error, 1)
	go func() { closed <- hub.Close(timeout(t)) }()
	for i := range n {
		if e := b.event(); e.GetEvent() != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, e.GetEvent())
		}
	}
	wantStatus(t, b.ends(), codes.Unavailable, "DRAINING", "again")
	if err := <-closed; err != nil {
		t.Error(err)
	}
	refused := h.dial(as(t, adminKey), t)
	refused.send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{}}})
	if err := refused.ends(); err == nil {
		t.Error("a hub that is closed takes subscriptions")
	}
}

// A key has half of the subscriptions, and leaves the others to other keys.
func TestSubscriptionsOfAKey(t *testing.T) {
	c := &call{server: start(t, &fakeBroker{}).server, caller: &auth.Caller{Key: mustKey(t, adminKey)}}
	for range maxSubscriptionsOfKey {
		if err := c.subscribe(); err != nil {
			t.Fatal(err)
		}
	}
	failed := apierror.Classify(c.subscribe())
	if failed.Code != codes.ResourceExhausted || failed.Reason != eventhub.ReasonTooManySubscriptions {
		t.Errorf("one too many: %+v", failed)
	}
	other := &call{server: c.server, caller: &auth.Caller{Key: mustKey(t, readerKey)}}
	if err := other.subscribe(); err != nil {
		t.Errorf("another key: %v", err)
	}
	c.unsubscribe()
	if err := c.subscribe(); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}
