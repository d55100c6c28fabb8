// Command chat-backend-go is the business logic of a small chat. It connects to Sala
// and needs no port of its own. Over one stream it receives what clients do: it
// decides who may connect, and moderates, stores, forwards and answers what they send.
//
//	SALA_API_KEY=… go run .
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	key := os.Getenv("SALA_API_KEY")
	if key == "" {
		return errors.New("set SALA_API_KEY to an API key with the scopes events, emit and sockets:read; sala serve --dev prints one")
	}
	store, err := openStore(ctx, setting("CHAT_DB", "chat.db"))
	if err != nil {
		return err
	}
	defer store.Close()
	conn, err := grpc.NewClient(setting("SALA_SERVER", "127.0.0.1:9090"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(apiKey(key)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: firstPause, Multiplier: 2, MaxDelay: longestPause}, MinConnectTimeout: longestPause,
		}),
	)
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &chat{
		store:    store,
		messages: salav1.NewMessageServiceClient(conn),
		sockets:  salav1.NewSocketServiceClient(conn),
		banned:   words(setting("CHAT_BANNED", "mallory")),
		unwanted: words(setting("CHAT_UNWANTED", "spam,scam")),
	}
	return listen(ctx, salav1.NewEventServiceClient(conn), c)
}

// How long to wait before opening another stream. The pause doubles each time.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Second
)

// listen handles events until ctx ends, over as many streams as that takes. It
// returns only errors that another attempt can't fix.
func listen(ctx context.Context, events salav1.EventServiceClient, c *chat) error {
	pause := firstPause
	for {
		began := time.Now()
		err := serve(ctx, events, c)
		if ctx.Err() != nil {
			slog.Info("bye")
			return nil
		}
		if isFinal(err) {
			return errors.New(explain(err))
		}
		if time.Since(began) > longestPause {
			pause = firstPause
		}
		wait := pause/2 + rand.N(pause)
		slog.Warn("the stream has ended", "error", explain(err), "again in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		pause = min(2*pause, longestPause)
	}
}

// isFinal reports whether another attempt would fail in the same way.
func isFinal(err error) bool {
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument:
		return true
	}
	return false
}

// explain describes err to the person who runs this program.
func explain(err error) string {
	failed := status.Convert(err)
	if failed.Code() == codes.Unavailable && len(failed.Details()) == 0 {
		return "nobody answers; is Sala running, and SALA_SERVER its gRPC address?"
	}
	return failed.Message()
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func words(list string) []string {
	return strings.FieldsFunc(strings.ToLower(list), func(r rune) bool { return r == ',' || r == ' ' })
}

// apiKey is the credential that every call carries.
type apiKey string

func (k apiKey) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(k)}, nil
}

func (k apiKey) RequireTransportSecurity() bool { return false }
