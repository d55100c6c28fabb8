// Command centrifuge is a server with the centrifuge library for the benchmarks. Clients are in the
// channels that they name in the connect command's data, {"rooms": […]}, and the server publishes
// to these what arrives on its control port. It does not authenticate anybody.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/salabroker/sala/bench/line"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where clients connect")
	control := flag.String("control", "127.0.0.1:0", "where messages are published")
	flag.Parse()
	if err := run(*listen, *control); err != nil {
		slog.Error("centrifuge ended", "error", err)
		os.Exit(1)
	}
}

func run(listen, control string) error {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return err
	}
	node.OnConnecting(connecting)
	if err := node.Run(); err != nil {
		return err
	}
	publisher, err := net.Listen("tcp", control)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	ended := make(chan error, 2)
	go func() { ended <- server.ListenAndServe() }()
	go func() {
		ended <- line.Serve(publisher, func(batch []line.Message) {
			for _, m := range batch {
				if _, err := node.Publish(m.Room, m.Payload); err != nil {
					slog.Error("publish", "error", err)
				}
			}
		})
	}()
	return <-ended
}

// connecting subscribes a client to the channels that it asks for, on the server's side.
func connecting(_ context.Context, event centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
	var asked struct {
		Rooms []string `json:"rooms"`
	}
	if err := json.Unmarshal(event.Data, &asked); err != nil {
		return centrifuge.ConnectReply{}, centrifuge.DisconnectBadRequest
	}
	subscriptions := make(map[string]centrifuge.SubscribeOptions, len(asked.Rooms))
	for _, room := range asked.Rooms {
		subscriptions[room] = centrifuge.SubscribeOptions{}
	}
	return centrifuge.ConnectReply{
		Credentials:   &centrifuge.Credentials{UserID: event.ClientID},
		Subscriptions: subscriptions,
	}, nil
}
