// Command history measures what it costs that rooms remember: the CPU of recording a message, of
// reading the last hundred, and of reading and encoding them for a client that joins, and the memory
// for a thousand rooms with a hundred messages each. It measures Sala's engines beside those of the
// centrifuge library and beside Socket.IO's Redis streams adapter, one after the other, each in a
// process and with a Redis of its own, and prints a table. The script bench/history builds what it
// needs and runs it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/process"
)

// workload is what each engine has to do.
type workload struct {
	Engine   string
	Redis    string // its address; empty for engines in memory
	RedisPID int
	Rooms    int
	Messages int // in each room
	Bytes    int // of a message's arguments
	Reads    int // of the last messages of a room
}

// figures are what one run has measured.
type figures struct {
	Publish, Read, Join                time.Duration // CPU of the engine's process, for each
	PublishRedis, ReadRedis, JoinRedis time.Duration // CPU of Redis
	Memory                             int64         // that all entries take, here or in Redis
}

const adapter = "@socket.io/redis-streams-adapter"

func main() {
	var w workload
	only := flag.String("engines", "", "which engines to measure: those whose names contain this")
	rounds := flag.Int("rounds", 3, "how often to measure each; the table has the medians")
	flag.IntVar(&w.Rooms, "rooms", 1000, "rooms")
	flag.IntVar(&w.Messages, "messages", 100, "messages that each room keeps")
	flag.IntVar(&w.Bytes, "bytes", 100, "bytes of a message's arguments")
	flag.IntVar(&w.Reads, "joins", 10_000, "how often the messages of a room are read, and encoded; a hundredth as often with "+adapter)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if flag.Arg(0) == process.ChildArgument {
		role := process.NewRole(func(ctx context.Context, w workload, _ func(any)) (any, error) { return measure(ctx, w) })
		if err := process.ServeChild(ctx, os.Stdin, os.Stdout, map[string]process.Role{"history": role}); err != nil {
			fmt.Fprintln(os.Stderr, "history: error:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, w, *rounds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "history: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w workload, rounds int, only string) error {
	logs, err := os.MkdirTemp("", "sala-history-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(logs) }()
	engines := []string{salaMemory, centrifugeMemory, salaRedis, salaSigned, centrifugeRedis, adapter}
	engines = slices.DeleteFunc(engines, func(name string) bool { return !strings.Contains(name, only) })
	all := make(map[string][]figures)
	for range rounds {
		for _, w.Engine = range engines {
			f, err := runOne(ctx, w, logs)
			if err != nil {
				return fmt.Errorf("%s: %w", w.Engine, err)
			}
			all[w.Engine] = append(all[w.Engine], f)
		}
	}
	printTable(w, engines, all)
	return nil
}

// runOne measures an engine in a process of its own.
func runOne(ctx context.Context, w workload, logs string) (f figures, err error) {
	if w.Engine != salaMemory && w.Engine != centrifugeMemory {
		addresses, err := process.FreeAddresses(1)
		if err != nil {
			return f, err
		}
		command := process.RedisCommand(addresses[0])
		if err := command.NameAndLog(logs, "redis"); err != nil {
			return f, err
		}
		server, err := process.Start(ctx, &command)
		if err != nil {
			return f, err
		}
		defer server.Stop()
		w.Redis, w.RedisPID = server.Target().Listen, server.Target().PID
	}
	if w.Engine == adapter {
		return runAdapter(ctx, w)
	}
	child, err := process.StartChild(ctx, "history", w, nil)
	if err != nil {
		return f, err
	}
	err = child.Wait(&f)
	return f, err
}

// runAdapter measures the adapter, with Node.
func runAdapter(ctx context.Context, w workload) (f figures, err error) {
	before, err := process.RSS(w.RedisPID)
	if err != nil {
		return f, err
	}
	node := exec.CommandContext(ctx, "node", "peers/node/history.mjs", w.Redis, strconv.Itoa(w.RedisPID),
		strconv.Itoa(w.Rooms), strconv.Itoa(w.Messages), strconv.Itoa(w.Bytes), strconv.Itoa(max(1, w.Reads/100)))
	node.Stderr = os.Stderr
	answer, err := node.Output()
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(answer, &f); err != nil {
		return f, err
	}
	after, err := process.RSS(w.RedisPID)
	f.Memory = after - before
	return f, err
}

func printTable(w workload, engines []string, all map[string][]figures) {
	load, _ := os.ReadFile("/proc/loadavg") // only Linux has it
	fmt.Printf("%d rooms with %d messages of %d bytes, medians; %d processors, load %s\n",
		w.Rooms, w.Messages, w.Bytes, runtime.NumCPU(), load)
	fmt.Println("| engine | publish | read | join | memory |")
	fmt.Println("|---|---:|---:|---:|---:|")
	for _, engine := range engines {
		cell := func(own, redis func(f figures) time.Duration) string {
			if engine == salaMemory || engine == centrifugeMemory {
				return median(all[engine], own)
			}
			return median(all[engine], own) + " + " + median(all[engine], redis)
		}
		fmt.Printf("| %s | %s | %s | %s | %.1f MiB |\n", engine,
			cell(func(f figures) time.Duration { return f.Publish }, func(f figures) time.Duration { return f.PublishRedis }),
			cell(func(f figures) time.Duration { return f.Read }, func(f figures) time.Duration { return f.ReadRedis }),
			cell(func(f figures) time.Duration { return f.Join }, func(f figures) time.Duration { return f.JoinRedis }),
			float64(medianOf(all[engine], func(f figures) int64 { return f.Memory }))/(1<<20))
	}
}

func median(all []figures, of func(figures) time.Duration) string {
	d := medianOf(all, func(f figures) int64 { return int64(of(f)) })
	return fmt.Sprintf("%.1f µs", float64(d)/1e3)
}

func medianOf(all []figures, of func(figures) int64) int64 {
	values := make([]int64, len(all))
	for i, f := range all {
		values[i] = of(f)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
