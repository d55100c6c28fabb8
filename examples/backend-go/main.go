// Command backend-go is a backend that calls Sala: it issues a token for a user and sends an event to a
// room.
//
//	SALA_API_KEY=… go -C examples/backend-go run .
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/salabroker/sala/sdk/go"
)

func main() {
	address := cmp.Or(os.Getenv("SALA_SERVER"), "127.0.0.1:9090")
	if err := run(context.Background(), address, os.Getenv("SALA_API_KEY")); err != nil {
		fmt.Fprintln(os.Stderr, explain(err, address))
		os.Exit(1)
	}
}

// explain describes err to the person who runs this command.
func explain(err error, address string) string {
	if sala.CodeOf(err) == codes.Unavailable {
		return fmt.Sprintf("nobody answers at %s; start Sala, or set SALA_SERVER to its gRPC address", address)
	}
	if failed, ok := errors.AsType[*sala.Error](err); ok {
		return failed.Message
	}
	return err.Error()
}

func run(ctx context.Context, address, key string) error {
	if key == "" {
		return errors.New("set SALA_API_KEY to an API key; sala serve --dev prints one")
	}
	client, err := sala.Dial(address, key, sala.WithTimeout(3*time.Second))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()

	token, err := client.IssueToken(ctx, sala.TokenOptions{User: "ana", Join: []string{"chat:*"}})
	if err != nil {
		return err
	}
	fmt.Println("token for ana:", token.Token)

	sent, err := client.To("chat:42").Emit(ctx, "news", map[string]any{"text": "hello from Go"})
	if err != nil {
		return err
	}
	fmt.Printf("queued for %d of %d sockets\n", sent.Queued, sent.Matched)
	return nil
}
