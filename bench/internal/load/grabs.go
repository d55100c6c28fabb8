package load

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

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// greedyRoom is where the clients of the greedy are.
const greedyRoom = "greedy"

// grabs are all of them. Each takes what belongs to everybody from one key or one address.
var grabs = []grab{
	{"lists of empty objects over REST", 16, 2 * time.Second, postObjects},
	{"batches of empty emits over gRPC", 32, 2 * time.Second, batchEmits},
	{"halves of messages without a token", 645, 2 * time.Second, func(ctx context.Context, g *grabber, _ int) error { return holdHalf(ctx, g, "") }},
	{"halves of messages with a token", 645, 2 * time.Second, func(ctx context.Context, g *grabber, _ int) error { return holdHalf(ctx, g, g.token) }},
	{"halves of bodies of one key", 300, 2 * time.Second, holdHalfBody},
	{"answers that nobody reads", 120, 2 * time.Second, askAndNotRead},
	{"keep-alive connections without a key", 1100, 2 * time.Second, holdHTTP},
	{"beginnings of HTTP/2 without a key", 1100, 2 * time.Second, func(ctx context.Context, g *grabber, _ int) error {
		return g.send(ctx, g.job.Target.Control, beginHTTP2)
	}},
	{"subscriptions of one key", 1000, 2 * time.Second, holdSubscription},
	{"slow bodies of one key", 64, time.Second, dripBody},
	{"watches of the health without a key", 8000, 8 * time.Second, watchHealth},
	{"empty frames without a key", 1, time.Second, emptyFrames},
}

// rawCodec has a message be sent as it is, which costs the greedy nothing.
type rawCodec struct{}

// Marshal implements encoding.Codec: v is a *[]byte.
func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

// Unmarshal implements encoding.Codec: nobody reads what comes back.
func (rawCodec) Unmarshal([]byte, any) error { return nil }

// Name implements encoding.Codec.
func (rawCodec) Name() string { return "proto" }

// postObjects sends 4 MB that become gigabytes where they are decoded.
func postObjects(ctx context.Context, g *grabber, _ int) error {
	body := strings.NewReader(`{"emits":[{}` + strings.Repeat(",{}", 4_000_000/3) + `]}`)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.job.Target.HTTP+"/v1/emit:batch", body)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+g.job.Target.GreedyKey)
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

// emptyEmits is a batch of a million emits of two bytes each.
var emptyEmits = bytes.Repeat([]byte{0x0a, 0}, 1_000_000)

func batchEmits(ctx context.Context, g *grabber, worker int) error {
	conn := g.conns[worker%len(g.conns)]
	return conn.Invoke(g.greedy(ctx), salav1.MessageService_EmitBatch_FullMethodName, &emptyEmits, new([]byte), grpc.ForceCodec(rawCodec{}))
}

// unfinished is most of a message.
var unfinished = half()

func holdHalf(ctx context.Context, g *grabber, token string) error {
	conn, _, err := g.client(ctx, token)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(unfinished)); err != nil {
		return err
	}
	return hold(conn)
}

// holdHalfBody sends most of a body to a method that the key may call.
func holdHalfBody(ctx context.Context, g *grabber, _ int) error {
	return g.send(ctx, g.job.Target.HTTP, g.post(990_000), strings.Repeat(" ", 900_000))
}

// post begins a POST with a body of so many bytes.
func (g *grabber) post(length int) string {
	return fmt.Sprintf("POST /v1/emit HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		g.job.Target.HTTP, g.job.Target.GreedyKey, length)
}

// asked is how many of the workers are clients that are asked, and askTimeout for how long.
const (
	asked      = 20
	askTimeout = 2 * time.Second
)

// askAndNotRead asks clients for answers and reads none of them; the first workers are these clients, whose answers are
// large.
func askAndNotRead(ctx context.Context, g *grabber, worker int) error {
	if worker < asked {
		return answerLargely(ctx, g)
	}
	ctx, cancel := context.WithTimeout(g.greedy(ctx), 2*askTimeout)
	defer cancel()
	stream, err := salav1.NewMessageServiceClient(g.conns[worker%len(g.conns)]).EmitWithAck(ctx, &salav1.EmitWithAckRequest{
		Rooms: []string{greedyRoom}, Event: "ask", Timeout: durationpb.New(askTimeout),
	})
	if err != nil {
		return err
	}
	<-stream.Context().Done() // which it is as late as possible, since nobody reads
	return nil
}

func answerLargely(ctx context.Context, g *grabber) error {
	conn, r, err := g.client(ctx, g.token)
	if err != nil {
		return err
	}
	defer conn.Close()
	large := `["` + strings.Repeat("x", 50_000) + `"]`
	for {
		packet, err := readFrame(r)
		if err != nil {
			return err
		}
		id, _, isEvent := strings.Cut(strings.TrimPrefix(string(packet), "42"), "[")
		switch {
		case string(packet) == "2":
			_, err = conn.Write(appendMasked(nil, opText, []byte("3")))
		case isEvent && id != "":
			_, err = conn.Write(appendMasked(nil, opText, []byte("43"+id+large)))
		}
		if err != nil {
			return err
		}
	}
}

// holdHTTP makes one request, which needs no key, and keeps the connection.
func holdHTTP(ctx context.Context, g *grabber, _ int) error {
	return g.send(ctx, g.job.Target.HTTP, "GET /livez HTTP/1.1\r\nHost: "+g.job.Target.HTTP+"\r\n\r\n")
}

// beginHTTP2 is the preface of a connection, and empty settings.
const beginHTTP2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

func holdSubscription(ctx context.Context, g *grabber, worker int) error {
	ctx, cancel := context.WithCancel(g.greedy(ctx))
	defer cancel()
	stream, err := salav1.NewEventServiceClient(g.conns[worker%len(g.conns)]).Subscribe(ctx)
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
func dripBody(ctx context.Context, g *grabber, _ int) error {
	conn, err := g.dial(ctx, g.job.Target.HTTP)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(g.post(1000)))
	for err == nil && pause(ctx, 100*time.Millisecond) == nil {
		_, err = conn.Write([]byte(" "))
	}
	return err
}

func watchHealth(ctx context.Context, g *grabber, worker int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := grpc_health_v1.NewHealthClient(g.conns[worker%len(g.conns)]).Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	return err
}

// emptyFrames sends frames of a type that nobody knows, which are to be ignored, without anything in them.
func emptyFrames(ctx context.Context, g *grabber, _ int) error {
	conn, err := g.dial(ctx, g.job.Target.Control)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(beginHTTP2))
	blow := bytes.Repeat([]byte("\x00\x00\x00\xfa\x00\x00\x00\x00\x00"), blowSize/9)
	for err == nil && pause(ctx, 10*time.Millisecond) == nil {
		_, err = conn.Write(blow)
	}
	return err
}
