// Command backend-go is a backend that uses Sala over gRPC: it issues a token
// for a user and sends an event to a room.
//
//	SALA_API_KEY=… go run ./examples/backend-go
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the deferred cancel has nothing left to do
	}
}

func run(ctx context.Context) error {
	address := os.Getenv("SALA_SERVER")
	if address == "" {
		address = "127.0.0.1:9090"
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Getenv("SALA_API_KEY"))

	issued, err := salav1.NewTokenServiceClient(conn).IssueToken(ctx, &salav1.IssueTokenRequest{
		User: "ana",
		Join: []string{"chat:*"},
	})
	if err != nil {
		return err
	}
	fmt.Println("token for ana:", issued.GetToken())

	sent, err := salav1.NewMessageServiceClient(conn).Emit(ctx, &salav1.EmitRequest{
		Rooms:    []string{"chat:42"},
		Event:    "news",
		ArgsJson: `[{"text": "hello from Go"}]`,
	})
	if err != nil {
		return err
	}
	fmt.Printf("queued for %d of %d sockets\n", sent.GetQueued(), sent.GetMatched())
	return nil
}
