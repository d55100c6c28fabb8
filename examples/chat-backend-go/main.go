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
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/salabroker/sala/sdk/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, explain(err))
		os.Exit(1) //nolint:gocritic // the deferred stop has nothing left to do
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
	client, err := sala.Dial(setting("SALA_SERVER", "127.0.0.1:9090"), key)
	if err != nil {
		return err
	}
	defer client.Close()
	c := &chat{
		store:    store,
		client:   client,
		banned:   words(setting("CHAT_BANNED", "mallory")),
		unwanted: words(setting("CHAT_UNWANTED", "spam,scam")),
	}
	events := client.NewSubscriber("chat") // programs that subscribe with the same group share the work
	events.OnStarted(func(sala.Started) { slog.Info("listening") })
	c.subscribe(events)
	return events.Run(ctx)
}

// explain describes err to the person who runs this program.
func explain(err error) string {
	if failed, ok := errors.AsType[*sala.Error](err); ok {
		return failed.Message
	}
	return err.Error()
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
