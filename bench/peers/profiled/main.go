// Command profiled is a server of Sala that writes profiles, to find out where its time and memory
// go. It replaces the binary of Sala, and is not what the benchmarks measure:
//
//	go build -o bin/ ./peers/profiled
//	SALA_PROFILE=out/sala ./run -sala bin/profiled -peers sala -profiles paced -runs 1
//	go tool pprof -top bin/profiled out/sala.cpu
//
// The CPU profile covers the life of the process. The memory profile is taken at its end, or when
// it gets SIGUSR1.
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
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/api"
	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/token"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] == "version" {
		fmt.Println("sala for profiling")
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[2:]); err != nil {
		slog.Error("profiled ended", "error", err)
		os.Exit(1)
	}
}

// run takes the flags of "sala serve" that the benchmarks use.
func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:3000", "Socket.IO")
	grpcListen := flags.String("grpc-listen", "127.0.0.1:9090", "gRPC")
	httpListen := flags.String("http-listen", "127.0.0.1:9091", "REST")
	redisURL := flags.String("redis-url", "", "Redis of a cluster, each of whose nodes has profiles with its process's number in their names")
	flags.Duration("drain-timeout", time.Second, "ignored")
	flags.Int("max-events-per-second", 0, "ignored: there is no limit")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b, control, err := build(*redisURL)
	if err != nil {
		return err
	}
	go func() { _ = b.Run(ctx) }() // until the process ends
	failed := make(chan error, 3)
	for address, serve := range map[string]func(net.Listener) error{
		*listen:     newServer(b.Handler()).Serve,
		*httpListen: newServer(control.HTTPHandler()).Serve,
		*grpcListen: control.Serve,
	} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		go func() { failed <- serve(listener) }()
	}
	prefix := os.Getenv("SALA_PROFILE")
	if *redisURL != "" {
		prefix = fmt.Sprintf("%s.%d", prefix, os.Getpid())
	}
	return profile(ctx, failed, prefix)
}

func newServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
}

// build makes the broker and the control API as Sala does.
func build(redisURL string) (*broker.Broker, *api.Server, error) {
	key, err := token.ParseKey(os.Getenv("SALA_JWT_SECRET"))
	if err != nil {
		return nil, nil, err
	}
	keyring, err := token.NewKeyring(token.Options{Keys: []token.Key{key}, UserClaim: "sub"})
	if err != nil {
		return nil, nil, err
	}
	apiKey, err := auth.ParseKey(strings.Fields(os.Getenv("SALA_API_KEY"))[0])
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	registry := prometheus.NewRegistry()
	options := broker.Options{Tokens: keyring, Logger: log, Metrics: registry, Recovery: &broker.RecoveryOptions{}}
	if redisURL != "" {
		bus, err := redis.New(redis.Options{URL: redisURL, Logger: log})
		if err != nil {
			return nil, nil, err
		}
		options.Cluster = &broker.ClusterOptions{Bus: bus, Keys: [][]byte{[]byte(os.Getenv("SALA_CLUSTER_KEY"))}}
	}
	b, err := broker.New(options)
	if err != nil {
		return nil, nil, err
	}
	control, err := api.New(api.Config{
		Broker: b, Keys: []auth.Key{apiKey}, MaxMessageBytes: 1_000_000, Logger: log, Metrics: registry, Gatherer: registry,
	})
	return b, control, err
}

// profile writes profiles to files whose names start with prefix, until ctx ends.
func profile(ctx context.Context, failed <-chan error, prefix string) error {
	if prefix == "" {
		prefix = "sala"
	}
	cpu, err := os.Create(prefix + ".cpu")
	if err != nil {
		return err
	}
	defer cpu.Close()
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	defer signal.Stop(asked)
	for {
		select {
		case <-asked:
			if err := writeHeap(prefix + ".heap"); err != nil {
				return err
			}
		case <-ctx.Done():
			return writeHeap(prefix + ".heap")
		case err := <-failed:
			return err
		}
	}
}

func writeHeap(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	logMemory("before the collection")
	runtime.GC()
	logMemory("after the collection")
	return pprof.Lookup("heap").WriteTo(file, 0)
}

// logMemory logs where the resident memory is. The heap profile does not show the goroutines'
// stacks.
func logMemory(when string) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	slog.Info("memory "+when, "goroutines", runtime.NumGoroutine(), "heap_alloc", m.HeapAlloc, "heap_inuse", m.HeapInuse,
		"heap_idle", m.HeapIdle-m.HeapReleased, "stacks", m.StackInuse, "gc_sys", m.GCSys, "collections", m.NumGC)
}
