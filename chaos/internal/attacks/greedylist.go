package attacks

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/salabroker/sala/bench/load"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// greedyRoom is the room of the greedy callers' clients.
const greedyRoom = "greedy"

// greedyCallers returns all of them. Each takes what all share, from one key or one address.
func greedyCallers() []greedyCaller {
	return []greedyCaller{
		{"lists of empty objects over REST", 16, 2 * time.Second, postObjects},
		{"batches of empty emits over gRPC", 32, 2 * time.Second, batchEmits},
		{"halves of messages without a token", 645, 2 * time.Second, func(ctx context.Context, g *greedy, _ int) error { return holdHalf(ctx, g, "") }},
		{"halves of messages with a token", 645, 2 * time.Second, func(ctx context.Context, g *greedy, _ int) error { return holdHalf(ctx, g, g.token) }},
		{"halves of bodies of one key", 300, 2 * time.Second, holdHalfBody},
		{"answers that nobody reads", 120, 2 * time.Second, askAndNotRead},
		{"pages of a history that nobody reads, over REST", 200, 8 * time.Second, getAndNotRead},
		{"pages of a history that nobody reads, over gRPC", 200, 8 * time.Second, callAndNotRead},
		{"keep-alive connections without a key", 1100, 2 * time.Second, holdHTTP},
		{"beginnings of HTTP/2 without a key", 1100, 2 * time.Second, func(ctx context.Context, g *greedy, _ int) error {
			return g.sendAndHold(ctx, g.target.Control, beginHTTP2)
		}},
		{"subscriptions of one key", 1000, 2 * time.Second, holdSubscription},
		{"subscriptions of one key to different events", 60, 8 * time.Second, subscribeAndNotTake},
		{"slow bodies of one key", 64, time.Second, dripBody},
		{"watches of the health without a key", 8000, 8 * time.Second, watchHealth},
		{"empty frames without a key", 1, time.Second, emptyFrames},
	}
}

// rawCodec sends a message as it is, which costs the caller nothing.
type rawCodec struct{}

// Marshal implements encoding.Codec: v is a *[]byte.
func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

// Unmarshal implements encoding.Codec: the answer is not read.
func (rawCodec) Unmarshal([]byte, any) error { return nil }

// Name implements encoding.Codec.
func (rawCodec) Name() string { return "proto" }

// postObjects sends 4 MB of JSON that would decode to gigabytes.
func postObjects(ctx context.Context, g *greedy, _ int) error {
	body := strings.NewReader(`{"emits":[{}` + strings.Repeat(",{}", 4_000_000/3) + `]}`)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.target.HTTP+"/v1/emit:batch", body)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+g.target.SecondKey)
	answer, err := g.plain.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("a batch: %s", answer.Status)
	}
	return nil
}

func batchEmits(ctx context.Context, g *greedy, worker int) error {
	return g.conn(worker).Invoke(g.authorize(ctx), salav1.MessageService_EmitBatch_FullMethodName, &g.emptyEmits, new([]byte), grpc.ForceCodec(rawCodec{}))
}

// holdHalf sends a message of 1 MB without its end.
func holdHalf(ctx context.Context, g *greedy, token string) error {
	conn, _, err := g.connectClient(ctx, token)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(g.unfinished); err != nil {
		return err
	}
	return hold(conn)
}

// holdHalfBody sends most of a body to a method that the key may call.
func holdHalfBody(ctx context.Context, g *greedy, _ int) error {
	return g.sendAndHold(ctx, g.target.HTTP, g.post(990_000), strings.Repeat(" ", 900_000))
}

// post returns the head of a POST with a body of length bytes.
func (g *greedy) post(length int) string {
	return fmt.Sprintf("POST /v1/emit HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		g.target.HTTP, g.target.SecondKey, length)
}

const (
	// askedClients is how many of the workers are clients that are asked for acks.
	askedClients = 20
	// askTimeout is how long the server waits for their acks.
	askTimeout = 2 * time.Second
)

// askAndNotRead asks clients for acks and reads none of them. The first workers are these clients,
// whose acks are large.
func askAndNotRead(ctx context.Context, g *greedy, worker int) error {
	if worker < askedClients {
		return answerWithLargeAcks(ctx, g)
	}
	ctx, cancel := context.WithTimeout(g.authorize(ctx), 2*askTimeout)
	defer cancel()
	stream, err := salav1.NewMessageServiceClient(g.conn(worker)).EmitWithAck(ctx, &salav1.EmitWithAckRequest{
		Rooms: []string{greedyRoom}, Event: "ask", Timeout: durationpb.New(askTimeout),
	})
	if err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func answerWithLargeAcks(ctx context.Context, g *greedy) error {
	conn, r, err := g.connectClient(ctx, g.token)
	if err != nil {
		return err
	}
	defer conn.Close()
	large := `["` + strings.Repeat("x", 50_000) + `"]`
	for {
		_, packet, err := load.ReadFrame(r)
		if err != nil {
			return err
		}
		id, _, isEvent := strings.Cut(strings.TrimPrefix(string(packet), "42"), "[")
		switch {
		case string(packet) == "2":
			_, err = conn.Write(load.AppendFrame(nil, load.OpText, []byte("3")))
		case isEvent && id != "":
			_, err = conn.Write(load.AppendFrame(nil, load.OpText, []byte("43"+id+large)))
		}
		if err != nil {
			return err
		}
	}
}

// holdHTTP makes one request that needs no key, and holds the connection.
func holdHTTP(ctx context.Context, g *greedy, _ int) error {
	return g.sendAndHold(ctx, g.target.HTTP, "GET /livez HTTP/1.1\r\nHost: "+g.target.HTTP+"\r\n\r\n")
}

// beginHTTP2 is the preface of a connection and empty settings.
const beginHTTP2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

func holdSubscription(ctx context.Context, g *greedy, worker int) error {
	ctx, cancel := context.WithCancel(g.authorize(ctx))
	defer cancel()
	stream, err := salav1.NewEventServiceClient(g.conn(worker)).Subscribe(ctx)
	if err != nil {
		return err
	}
	err = stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{
		Group: fmt.Sprint("greedy-", worker), Events: []string{"nothing"}, Kinds: []salav1.EventKind{salav1.EventKind_EVENT_KIND_MESSAGE}, Credits: 1,
	}}})
	for err == nil {
		_, err = stream.Recv()
	}
	return err
}

// dripBody sends a body a byte at a time.
func dripBody(ctx context.Context, g *greedy, _ int) error {
	conn, err := g.dial(ctx, g.target.HTTP)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(g.post(1000)))
	for err == nil && load.Sleep(ctx, 100*time.Millisecond) == nil {
		_, err = conn.Write([]byte(" "))
	}
	return err
}

func watchHealth(ctx context.Context, g *greedy, worker int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := grpc_health_v1.NewHealthClient(g.conn(worker)).Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	return err
}

// emptyFrames sends empty frames of an unknown type, which servers must ignore (RFC 9113, section
// 4.1).
func emptyFrames(ctx context.Context, g *greedy, _ int) error {
	conn, err := g.dial(ctx, g.target.Control)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(beginHTTP2))
	frames := bytes.Repeat([]byte("\x00\x00\x00\xfa\x00\x00\x00\x00\x00"), largePayload/9)
	for err == nil && load.Sleep(ctx, 10*time.Millisecond) == nil {
		_, err = conn.Write(frames)
	}
	return err
}
