// Command library is a server with the Go port of Socket.IO for the benchmarks. Clients are in the
// rooms that they name in auth.rooms, and the server emits to these what arrives on its control
// port.
package main

import (
	"encoding/json"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/salabroker/sala/bench/line"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where clients connect")
	control := flag.String("control", "127.0.0.1:0", "where messages are published")
	flag.Parse()
	if err := run(*listen, *control); err != nil {
		slog.Error("library ended", "error", err)
		os.Exit(1)
	}
}

func run(listen, control string) error {
	io := socket.NewServer(nil, nil)
	if err := io.On("connection", join); err != nil {
		return err
	}
	publisher, err := net.Listen("tcp", control)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", io.ServeHandler(nil))
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	ended := make(chan error, 2)
	go func() { ended <- server.ListenAndServe() }()
	go func() {
		ended <- line.Serve(publisher, func(batch []line.Message) {
			for _, m := range batch {
				if err := publish(io, m); err != nil {
					slog.Error("publish", "error", err)
				}
			}
		})
	}()
	return <-ended
}

// join joins a new client to the rooms that it asks for.
func join(clients ...any) {
	client := clients[0].(*socket.Socket)
	asked, _ := client.Handshake().Auth["rooms"].([]any)
	for _, room := range asked {
		if name, ok := room.(string); ok {
			client.Join(socket.Room(name))
		}
	}
}

func publish(io *socket.Server, m line.Message) error {
	var payload map[string]any
	if err := json.Unmarshal(m.Payload, &payload); err != nil {
		return err
	}
	return io.To(socket.Room(m.Room)).Emit("m", payload)
}
