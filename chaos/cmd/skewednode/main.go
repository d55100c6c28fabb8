// Command skewednode is a node of Sala whose clock can be wrong, for a fault run. SIGUSR1 sets the
// clock that stamps messages to other nodes ahead by --skew, and the next SIGUSR1 sets it right
// again. The node understands the part of the command line and of the environment of "sala serve"
// that the run uses.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/salabroker/sala/api"
	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/token"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "skewednode:", err)
		os.Exit(1)
	}
}

func run() error {
	flags := flag.NewFlagSet("skewednode", flag.ContinueOnError)
	public := flags.String("listen", "", "the address for clients")
	control := flags.String("grpc-listen", "", "the address for gRPC")
	rest := flags.String("http-listen", "", "the address for REST")
	redisURL := flags.String("redis-url", "", "the Redis of the cluster")
	skew := flags.Duration("skew", time.Minute, "how far ahead the clock can be")
	flags.Duration("drain-timeout", 0, "not used")
	if err := flags.Parse(os.Args[2:]); err != nil { // after "serve"
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	clock := newClock(ctx, *skew)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	bus, err := redis.New(redis.Options{URL: *redisURL, Logger: log})
	if err != nil {
		return err
	}
	keyring, err := token.NewKeyring(token.Options{Keys: []token.Key{{Secret: []byte(os.Getenv("SALA_JWT_SECRET"))}}})
	if err != nil {
		return err
	}
	b, err := broker.New(broker.Options{Tokens: keyring, Logger: log, Cluster: &broker.ClusterOptions{
		Bus: bus, Keys: [][]byte{[]byte(os.Getenv("SALA_CLUSTER_KEY"))}, Now: clock.now,
	}})
	if err != nil {
		return err
	}
	key, err := auth.ParseKey(first(os.Getenv("SALA_API_KEY")))
	if err != nil {
		return err
	}
	server, err := api.New(api.Config{
		Broker: b, Keys: []auth.Key{key}, MaxMessageBytes: 1 << 20, Logger: log, Reaches: b.ClusterTrouble,
	})
	if err != nil {
		return err
	}
	return serve(ctx, b, server, *public, *control, *rest)
}

// first returns the first key of a list.
func first(keys string) string {
	key, _, _ := strings.Cut(keys, " ")
	return key
}

// serve serves until ctx ends.
func serve(ctx context.Context, b *broker.Broker, server *api.Server, public, control, rest string) error {
	var listeners [3]net.Listener
	for i, address := range []string{public, control, rest} {
		var err error
		if listeners[i], err = net.Listen("tcp", address); err != nil {
			return err
		}
	}
	var running sync.WaitGroup
	clients := &http.Server{Handler: b.Handler(), ReadHeaderTimeout: time.Minute}
	callers := &http.Server{Handler: server.HTTPHandler(), ReadHeaderTimeout: time.Minute}
	running.Go(func() { _ = clients.Serve(listeners[0]) })
	running.Go(func() { _ = server.Serve(listeners[1]) })
	running.Go(func() { _ = callers.Serve(listeners[2]) })
	brokerCtx, stopBroker := context.WithCancel(context.WithoutCancel(ctx))
	var runErr error
	running.Go(func() { runErr = b.Run(brokerCtx) })
	<-ctx.Done()
	ending, cancel := context.WithTimeout(brokerCtx, 2*time.Second)
	defer cancel()
	_ = b.Shutdown(ending) // connections that last longer are cut
	_ = server.Shutdown(ending)
	stopBroker()
	_ = clients.Close()
	_ = callers.Close()
	running.Wait()
	return runErr
}

// clock is right, or ahead by skew.
type clock struct {
	wrong atomic.Bool
	skew  time.Duration
}

func newClock(ctx context.Context, skew time.Duration) *clock {
	c := &clock{skew: skew}
	toggle := make(chan os.Signal, 1)
	signal.Notify(toggle, syscall.SIGUSR1)
	go func() {
		defer signal.Stop(toggle)
		for {
			select {
			case <-ctx.Done():
				return
			case <-toggle:
				c.wrong.Store(!c.wrong.Load())
			}
		}
	}()
	return c
}

func (c *clock) now() time.Time {
	now := time.Now()
	if c.wrong.Load() {
		return now.Add(c.skew)
	}
	return now
}
