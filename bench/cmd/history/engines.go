package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/history/redishistory"
)

// The engines that are measured in this program.
const (
	salaMemory       = "Sala, memory"
	centrifugeMemory = "centrifuge, memory"
	salaRedis        = "Sala, Redis"
	salaSigned       = "Sala, Redis, with a cluster key"
	centrifugeRedis  = "centrifuge, Redis"
)

// ttl is longer than a run.
const ttl = time.Hour

// callers is how many goroutines record and read at the same time where there is a Redis to wait
// for.
const callers = 64

// engine records and reads. Its methods wait for the end.
type engine interface {
	publish(room, number int, args []byte) error
	read(room int) (messages int, err error)
}

// measure carries out a workload.
func measure(ctx context.Context, w workload) (f figures, err error) {
	e, err := newEngine(ctx, w)
	if err != nil {
		return f, err
	}
	if err := await(ctx, func() error { _, err := e.read(0); return err }); err != nil {
		return f, err
	}
	before, err := memory(w)
	if err != nil {
		return f, err
	}
	text := `[{"user":"ana","text":"` + strings.Repeat("x", max(0, w.Bytes-26)) + `"}]`
	n := w.Rooms * w.Messages
	f.Publish, f.PublishRedis, err = w.each(n, func(i int) error { return e.publish(i%w.Rooms, i, []byte(text)) })
	if err != nil {
		return f, err
	}
	after, err := memory(w)
	if err != nil {
		return f, err
	}
	f.Memory = after - before
	f.Join, f.JoinRedis, err = w.each(w.Reads, func(i int) error {
		got, err := e.read(i % w.Rooms)
		if err == nil && got != w.Messages {
			err = fmt.Errorf("%d messages were read instead of %d", got, w.Messages)
		}
		return err
	})
	runtime.KeepAlive(e)
	return f, err
}

// each calls do n times and returns the CPU for each call, of this process and of Redis.
func (w *workload) each(n int, do func(i int) error) (own, ofRedis time.Duration, err error) {
	var before, after time.Duration
	if w.Redis != "" {
		if before, err = process.CPU(w.RedisPID); err != nil {
			return 0, 0, err
		}
	}
	start := process.OwnCPU()
	err = w.inParallel(n, do)
	own = process.OwnCPU() - start
	if w.Redis != "" && err == nil {
		after, err = process.CPU(w.RedisPID)
	}
	return own / time.Duration(n), (after - before) / time.Duration(n), err
}

func (w *workload) inParallel(n int, do func(i int) error) error {
	count := 1
	if w.Redis != "" {
		count = callers
	}
	errs := make([]error, count)
	var all sync.WaitGroup
	for c := range count {
		all.Go(func() {
			for i := c; i < n && errs[c] == nil; i += count {
				errs[c] = do(i)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// memory returns what the engine, or its Redis, uses.
func memory(w workload) (int64, error) {
	if w.Redis != "" {
		return process.RSS(w.RedisPID)
	}
	runtime.GC()
	runtime.GC() // the first one may have run while something was still in use
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), nil
}

// await tries again until an engine is connected.
func await(ctx context.Context, try func() error) error {
	err := try()
	for deadline := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(deadline); err = try() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return err
}

func newEngine(ctx context.Context, w workload) (engine, error) {
	switch w.Engine {
	case salaMemory:
		return newSala(ctx, w, history.NewMemory(history.MemoryOptions{MaxBytes: 1 << 40})), nil
	case salaRedis, salaSigned:
		o := redishistory.Options{Redis: redis.Options{URL: "redis://" + w.Redis}}
		if w.Engine == salaSigned {
			o.Keys = [][]byte{make([]byte, 32)}
		}
		e, err := redishistory.New(o)
		if err != nil {
			return nil, err
		}
		return newSala(ctx, w, e), nil
	default:
		return newCentrifuge(w)
	}
}

// sala is an engine of Sala.
type sala struct {
	engine history.Engine
	rooms  []history.Room
}

func newSala(ctx context.Context, w workload, e history.Engine) *sala {
	go e.Run(ctx) // until the process ends
	s := &sala{engine: e}
	for i := range w.Rooms {
		s.rooms = append(s.rooms, history.Room{Namespace: "/", Name: fmt.Sprint("chat:", i), Messages: w.Messages, TTL: ttl})
	}
	return s
}

func (s *sala) publish(room, number int, args []byte) error {
	e := history.Entry{
		Event: "message", Args: json.RawMessage(args), Time: time.Now(), ID: history.Identity{Node: "0123456789", Number: uint64(number)}, //nolint:gosec // not negative
	}
	done := make(chan error, 1)
	s.engine.Append(s.rooms[room:room+1], e, func(_ []history.Position, err error) { done <- err })
	return <-done
}

func (s *sala) read(room int) (int, error) {
	r := s.rooms[room]
	page, err := s.engine.Read(context.Background(), r, history.Query{Limit: r.Messages})
	return len(page.Entries), err
}

// centrifugeBroker is an engine of the centrifuge library.
type centrifugeBroker struct {
	broker  centrifuge.Broker
	rooms   []string
	options centrifuge.PublishOptions
	query   centrifuge.HistoryOptions
}

func newCentrifuge(w workload) (engine, error) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return nil, err
	}
	c := &centrifugeBroker{
		options: centrifuge.PublishOptions{HistorySize: w.Messages, HistoryTTL: ttl},
		query:   centrifuge.HistoryOptions{Filter: centrifuge.HistoryFilter{Limit: w.Messages, Reverse: true}},
	}
	for i := range w.Rooms {
		c.rooms = append(c.rooms, fmt.Sprint("chat:", i))
	}
	if w.Engine == centrifugeMemory {
		c.broker, err = centrifuge.NewMemoryBroker(node, centrifuge.MemoryBrokerConfig{})
	} else {
		var shard *centrifuge.RedisShard
		if shard, err = centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: w.Redis}); err != nil {
			return nil, err
		}
		// It only records, as Sala's engine does.
		c.broker, err = centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}, SkipPubSub: true})
	}
	if err != nil {
		return nil, err
	}
	node.SetBroker(c.broker)
	return c, node.Run()
}

func (c *centrifugeBroker) publish(room, _ int, args []byte) error {
	_, err := c.broker.Publish(c.rooms[room], args, c.options)
	return err
}

func (c *centrifugeBroker) read(room int) (int, error) {
	messages, _, err := c.broker.History(c.rooms[room], c.query)
	return len(messages), err
}
