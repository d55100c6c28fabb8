// Command crowd starts ../bin/sala with many clients in many rooms, prints where it is reached as a
// line of JSON, and keeps all of it until its standard input ends. Something else measures
// meanwhile: e2e/scale/console.mjs opens the console.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
)

// crowd is how many there are.
type crowd struct{ clients, rooms int }

// reached is what the first line on standard output says.
type reached struct {
	PID  int    `json:"pid"`
	HTTP string `json:"http"`
	Key  string `json:"key"`
}

func main() {
	var c crowd
	binary := flag.String("sala", "../bin/sala", "the broker")
	flag.IntVar(&c.clients, "clients", 15_000, "clients that connect")
	flag.IntVar(&c.rooms, "rooms", 100_000, "rooms, each of which has one client")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.run(ctx, *binary); err != nil {
		fmt.Fprintln(os.Stderr, "crowd: error:", err)
		os.Exit(1)
	}
}

func (c crowd) run(ctx context.Context, binary string) error {
	logs, err := os.MkdirTemp("", "sala-crowd-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(logs) }()
	command, err := process.NewSala(binary, logs).Single("crowd")
	if err != nil {
		return err
	}
	server, err := process.Start(ctx, &command)
	if err != nil {
		return err
	}
	defer server.Stop()
	target := server.Target()
	clients, err := load.NewClients(ctx, target, c.clients, c.roomsOf)
	if err != nil {
		return err
	}
	pool, err := load.ConnectAll(ctx, target, clients, load.Options{})
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := json.NewEncoder(os.Stdout).Encode(reached{PID: target.PID, HTTP: target.HTTP, Key: target.APIKey}); err != nil {
		return err
	}
	return c.keep(ctx, server, pool)
}

// keep returns when standard input ends, or earlier and with an error if the crowd falls apart.
func (c crowd) keep(ctx context.Context, server *process.Server, pool *load.Pool) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-server.Ended():
		return server.Err()
	case <-ended:
	}
	counts, err := pool.Counts()
	if err == nil && counts.Gone > 0 {
		err = fmt.Errorf("%d of %d clients were disconnected meanwhile", counts.Gone, c.clients)
	}
	return err
}

// roomsOf spreads the rooms over the clients.
func (c crowd) roomsOf(client int) []string {
	var rooms []string
	for room := client; room < c.rooms; room += c.clients {
		rooms = append(rooms, "room-"+strconv.Itoa(room))
	}
	return rooms
}
