package sala_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"google.golang.org/grpc/codes"

	"github.com/salabroker/sala/sdk/go"
	"github.com/salabroker/sala/sdk/go/salav1"
)

func ExampleDial() {
	client, err := sala.Dial("127.0.0.1:9090", os.Getenv("SALA_API_KEY"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
}

func ExampleDial_tls() {
	config, err := sala.TLSFromFiles("ca.pem", "client.pem", "client.key")
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := sala.Dial("sala.internal:9090", os.Getenv("SALA_API_KEY"), sala.WithTLS(config))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
}

func ExampleTarget_Emit() {
	var client *sala.Client // from sala.Dial
	sent, err := client.To("chat:42").ExceptUsers("ana").Emit(context.Background(), "news", map[string]any{"text": "hello"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("queued for %d of %d sockets\n", sent.Queued, sent.Matched)
}

func ExampleTarget_EmitWithAck() {
	var client *sala.Client // from sala.Dial
	acks := client.ToUsers("ana", "ben").EmitWithAck("question", "coming?")
	for ack, err := range acks.All(context.Background()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		var coming bool
		if err := ack.Args.Scan(&coming); err == nil {
			fmt.Println(ack.User, coming)
		}
	}
	fmt.Println(acks.Summary.TimedOut, "didn't answer")
}

func ExampleClient_Rooms() {
	var client *sala.Client // from sala.Dial
	rooms := client.Rooms(sala.RoomFilter{Prefix: "chat:"})
	for room, err := range rooms.All(context.Background()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(room.Name, room.Sockets)
	}
	if rooms.Partial {
		fmt.Println("missing what is on", rooms.MissingNodes)
	}
}

func ExampleRoomRef_Get() {
	var client *sala.Client // from sala.Dial
	room, err := client.Room("chat:42").Get(context.Background())
	var failed *sala.Error
	switch {
	case sala.CodeOf(err) == codes.NotFound:
		fmt.Println("nobody is there")
	case errors.As(err, &failed):
		fmt.Println(failed.Reason, failed.Message)
	default:
		fmt.Println(room.Users, "users")
	}
}

// A chat whose backend decides who may connect, and answers what clients say.
func ExampleSubscriber() {
	var client *sala.Client // from sala.Dial
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	events := client.NewSubscriber("chat")
	events.Decide(func(_ context.Context, e *sala.Event) (*sala.Accept, error) {
		if e.User == "mallory" {
			return nil, sala.Refuse("BANNED", "you are banned from this chat")
		}
		return &sala.Accept{Rooms: []string{"lobby"}}, nil
	})
	events.On("say", func(ctx context.Context, e *sala.Event) (any, error) {
		var said struct{ Room, Text string }
		if err := e.Scan(&said); err != nil {
			return nil, err
		}
		sent, err := e.To(said.Room).Emit(ctx, "said", e.User, said.Text)
		if err != nil {
			return nil, err
		}
		return map[string]int{"reached": sent.Matched}, nil
	})
	events.OnReconnect(func(r sala.Reconnect) {
		fmt.Println("no events for", r.Gap, "because of", r.Cause)
	})
	if err := events.Run(ctx); err != nil { // until the program is interrupted
		fmt.Println(err)
	}
}

// The generated stubs have every call and field.
func ExampleClient_Conn() {
	var client *sala.Client // from sala.Dial
	nodes, err := salav1.NewClusterServiceClient(client.Conn()).ListNodes(context.Background(), &salav1.ListNodesRequest{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, node := range nodes.GetNodes() {
		fmt.Println(node.GetId(), node.GetSockets())
	}
}
