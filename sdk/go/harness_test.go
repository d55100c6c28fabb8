package sala

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// The tests run in bubbles of synctest. When the timers of a bubble fire on several processors, the
// race detector may crash: https://go.dev/issue/78156.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}

// broker is a fake broker in the same process.
type broker struct {
	salav1.UnimplementedMessageServiceServer
	salav1.UnimplementedRoomServiceServer
	salav1.UnimplementedEventServiceServer

	mu      sync.Mutex
	emits   []*salav1.EmitRequest
	fail    []error // of the next emits; nil is a success
	pages   map[string]*salav1.ListRoomsResponse
	batches []*salav1.EmitBatchRequest
	streams chan *fakeStream // that clients have opened

	emitStreams chan *emitStream
}

// fakeStream is the broker's end of an event stream.
type fakeStream struct {
	t        *testing.T
	stream   salav1.EventService_SubscribeServer
	requests chan *salav1.SubscribeRequest // closed when the client closes its side or is gone
	end      chan error                    // ends the stream
}

func (b *broker) Emit(ctx context.Context, r *salav1.EmitRequest) (*salav1.EmitResponse, error) {
	b.mu.Lock()
	b.emits = append(b.emits, r)
	var err error
	if len(b.fail) > 0 {
		err, b.fail = b.fail[0], b.fail[1:]
	}
	b.mu.Unlock()
	if status.Code(err) == codes.DeadlineExceeded { // an answer that is lost
		<-ctx.Done()
	}
	return &salav1.EmitResponse{Matched: 2, Queued: 1, Kept: 1}, err
}

func (b *broker) EmitBatch(_ context.Context, r *salav1.EmitBatchRequest) (*salav1.EmitBatchResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.batches = append(b.batches, r)
	var err error
	if len(b.fail) > 0 {
		err, b.fail = b.fail[0], b.fail[1:]
	}
	return &salav1.EmitBatchResponse{Results: []*salav1.EmitResult{
		{Matched: 2}, {Error: &salav1.EmitError{Code: uint32(codes.FailedPrecondition), Reason: "NO", Message: "no"}},
	}}, err
}

func (b *broker) ListRooms(_ context.Context, r *salav1.ListRoomsRequest) (*salav1.ListRoomsResponse, error) {
	page, ok := b.pages[r.GetPageToken()]
	if !ok {
		return nil, status.Error(codes.FailedPrecondition, "there is no such page")
	}
	return page, nil
}

func (b *broker) Subscribe(stream salav1.EventService_SubscribeServer) error {
	s := &fakeStream{stream: stream, requests: make(chan *salav1.SubscribeRequest, 1000), end: make(chan error, 1)}
	go func() {
		defer close(s.requests)
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			s.requests <- request
		}
	}()
	b.streams <- s
	select {
	case err := <-s.end:
		return err
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

// start runs a fake broker, and returns it with a client of it.
func start(t *testing.T) (*broker, *Client) {
	t.Helper()
	b := &broker{streams: make(chan *fakeStream, 10), emitStreams: make(chan *emitStream, 10)}
	server := grpc.NewServer()
	salav1.RegisterMessageServiceServer(server, b)
	salav1.RegisterRoomServiceServer(server, b)
	salav1.RegisterEventServiceServer(server, b)
	listener := bufconn.Listen(1 << 20)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	client, err := Dial("127.0.0.1:9090", "key", WithLogger(slog.New(slog.DiscardHandler)), WithDialOptions(
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		<-served
	})
	return b, client
}

// opened returns the next stream, after its start. It confirms the subscription.
func (b *broker) opened(t *testing.T) (*fakeStream, *salav1.SubscribeStart) {
	t.Helper()
	s := <-b.streams
	s.t = t
	request := s.next()
	if request.GetStart() == nil {
		t.Fatalf("the first request is %v", request)
	}
	s.send(&salav1.SubscribeResponse{Response: &salav1.SubscribeResponse_Started{Started: &salav1.SubscribeStarted{}}})
	return s, request.GetStart()
}

func (s *fakeStream) send(response *salav1.SubscribeResponse) {
	s.t.Helper()
	if err := s.stream.Send(response); err != nil {
		s.t.Errorf("send: %v", err)
	}
}

// event sends an event of a socket that needs an ack.
func (s *fakeStream) event(id, socket, args string, change ...func(*salav1.ClientEvent)) {
	s.t.Helper()
	e := &salav1.ClientEvent{
		DeliveryId: id, Kind: salav1.EventKind_EVENT_KIND_MESSAGE, Event: "say", ArgsJson: args, NeedsAck: true,
		Namespace: "/", Socket: &salav1.EventSocket{Id: socket, User: "ana"},
	}
	for _, f := range change {
		f(e)
	}
	s.send(&salav1.SubscribeResponse{Response: &salav1.SubscribeResponse_Event{Event: e}})
}

func redelivered(e *salav1.ClientEvent) { e.Redelivered = true }

// next returns the next request, or nil if the client has closed its side.
func (s *fakeStream) next() *salav1.SubscribeRequest { return <-s.requests }

// reply returns the next reply as text, with the id before it. Credits that came before it are
// returned as well.
func (s *fakeStream) reply() (text string, credits uint32) {
	for {
		request := s.next()
		if request == nil {
			return "end", credits
		}
		if reply := request.GetReply(); reply != nil {
			return strings.TrimSpace(reply.GetDeliveryId() + " " + reply.GetArgsJson() + reply.GetError().GetCode()), credits
		}
		credits += request.GetCredit().GetCredits()
	}
}

// running starts a subscriber, and returns how to stop it and the error of its end.
func running(t *testing.T, s *Subscriber) (stop context.CancelFunc, ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return cancel, done
}
