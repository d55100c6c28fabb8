package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/token"
)

// A program serves a broker on a listener of its own, issues a token for a client,
// and emits to whoever is in a room.
func Example() {
	ctx := context.Background()
	keys, err := token.NewKeyring(token.Options{Keys: []token.Key{{Secret: []byte(strings.Repeat("s", 32))}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := broker.New(broker.Options{Tokens: keys})
	if err != nil {
		fmt.Println(err)
		return
	}
	public := httptest.NewServer(b.Handler()) // clients connect to public.URL
	defer public.Close()
	defer func() { _ = b.Shutdown(ctx) }()

	issued, err := b.IssueToken(ctx, broker.TokenRequest{
		User: "ana", TTL: time.Minute, Permissions: broker.Permissions{Join: []string{"chat:*"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ana connects with a token:", issued.Token != "")

	report, err := b.Emit(ctx,
		broker.Target{Rooms: []string{"chat:42"}},
		broker.Message{Event: "news", Args: json.RawMessage(`[{"text":"hello"}]`)},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("sockets in the room:", report.Matched)
	// Output:
	// ana connects with a token: true
	// sockets in the room: 0
}
