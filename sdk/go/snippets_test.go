package sala_test

// The snippets of README.md and docs/publishing.md.

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/salabroker/sala/sdk/go"
)

var _ = []any{dial, receive, publish, stream}

//nolint:errcheck // as the README shows it
func dial(ctx context.Context, _ *sala.Client) error {
	client, err := sala.Dial("127.0.0.1:9090", os.Getenv("SALA_API_KEY"))
	if err != nil {
		return err
	}
	defer client.Close()

	sent, err := client.To("chat:42").Emit(ctx, "news", map[string]any{"text": "hello"})
	fmt.Println(sent)
	return err
}

func receive(ctx context.Context, client *sala.Client) error {
	events := client.NewSubscriber("chat")
	events.On("say", func(ctx context.Context, e *sala.Event) (any, error) {
		var said struct{ Room, Text string }
		if err := e.Scan(&said); err != nil {
			return nil, err
		}
		if said.Text == "" {
			return nil, sala.Refuse("EMPTY", "say something")
		}
		_, err := e.To(said.Room).Emit(ctx, "said", e.User, said.Text)
		return map[string]bool{"ok": true}, err
	})
	err := events.Run(ctx)
	return err
}

// publish sends an event once, however often it has to call.
//
//nolint:forbidigo // it waits for another process
func publish(ctx context.Context, to sala.Target, key, event string, args ...any) error {
	for range 8 {
		result, err := to.IdempotencyKey(key).Emit(ctx, event, args...)
		if err != nil {
			return err
		}
		if !result.Partial && len(result.UnrecordedRooms) == 0 {
			return nil
		}
		time.Sleep(time.Second) // a dead node is missing until the others give it up
	}
	return fmt.Errorf("the event %s isn't confirmed", key)
}

func stream(ctx context.Context, client *sala.Client) error {
	stream := client.NewEmitStream(ctx)
	var pending []*sala.PendingEmit
	for n := range 3 {
		p, err := stream.Emit(ctx, sala.Emit{Target: client.To("price:abc"), Event: "price", Args: []any{n}})
		if err != nil {
			return err
		}
		pending = append(pending, p)
	}
	for _, p := range pending {
		if _, err := p.Result(ctx); err != nil {
			fmt.Println(err)
		}
	}
	return stream.Close()
}
