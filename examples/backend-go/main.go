// Command backend-go is a backend that calls Sala over gRPC: it issues a token
// for a user and sends an event to a room.
//
//	SALA_API_KEY=… go run ./examples/backend-go
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	address := cmp.Or(os.Getenv("SALA_SERVER"), "127.0.0.1:9090")
	if err := run(ctx, address, os.Getenv("SALA_API_KEY")); err != nil {
		fmt.Fprintln(os.Stderr, explain(err, address))
		os.Exit(1) //nolint:gocritic // the deferred cancel has nothing left to do
	}
}

// explain describes err to the person who runs this command.
func explain(err error, address string) string {
	failed, ok := status.FromError(err)
	switch {
	case !ok:
		return err.Error()
	case failed.Code() == codes.Unavailable:
		return fmt.Sprintf("nobody answers at %s; start Sala, or set SALA_SERVER to its gRPC address", address)
	}
	return failed.Message()
}

func run(ctx context.Context, address, key string) error {
	if key == "" {
		return errors.New("set SALA_API_KEY to an API key; sala serve --dev prints one")
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)

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
