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
	"github.com/centrifugal/protocol"

	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/history/redishistory"
	"github.com/salabroker/sala/broker/recording"
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
	// read reads the last messages of a room.
	read(room int) (messages int, err error)
	// join is read, and encodes what a client gets for it.
	join(room int) (messages int, err error)
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
	for _, what := range []struct {
		do         func(room int) (int, error)
		own, redis *time.Duration
	}{{e.read, &f.Read, &f.ReadRedis}, {e.join, &f.Join, &f.JoinRedis}} {
		*what.own, *what.redis, err = w.each(w.Reads, func(i int) error {
			got, err := what.do(i % w.Rooms)
			if err == nil && got != w.Messages {
				err = fmt.Errorf("%d messages were read instead of %d", got, w.Messages)
			}
			return err
		})
		if err != nil {
			return f, err
		}
	}
	runtime.KeepAlive(e)
	return f, nil
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

// sala is an engine of Sala, and what the broker does with it.
type sala struct {
	recorder *recording.Recorder
	rooms    []string
}

func newSala(ctx context.Context, w workload, e history.Engine) *sala {
	go e.Run(ctx) // until the process ends
	rules := history.Rules{{Namespace: "/", Rooms: "chat:*", Messages: w.Messages, TTL: ttl}}
	return &sala{recorder: recording.New(e, rules), rooms: w.names()}
}

// names returns the names of the rooms.
func (w *workload) names() (rooms []string) {
	for i := range w.Rooms {
		rooms = append(rooms, fmt.Sprint("chat:", i))
	}
	return rooms
}

func (s *sala) publish(room, number int, args []byte) error {
	e := history.Entry{
		Event: "message", Args: json.RawMessage(args), Time: time.Now(), ID: history.Identity{Node: "0123456789", Number: uint64(number)}, //nolint:gosec // not negative
	}
	record := &recording.Record{Rooms: s.recorder.Rooms("/", s.rooms[room:room+1])}
	settled := make(chan struct{})
	s.recorder.Start(record, e, func() { close(settled) })
	<-settled
	record.End() // delivered
	record.End() // published
	if _, ok := record.Place(s.rooms[room]); !ok {
		return errors.New("a message wasn't recorded")
	}
	return nil
}

func (s *sala) page(room int) (history.Page, error) {
	r, _ := s.recorder.Room("/", s.rooms[room])
	return s.recorder.Engine().Read(context.Background(), r, history.Query{Limit: r.Messages})
}

func (s *sala) read(room int) (int, error) {
	page, err := s.page(room)
	return len(page.Entries), err
}

func (s *sala) join(room int) (int, error) {
	page, err := s.page(room)
	if err != nil {
		return 0, err
	}
	answer := recording.Answer{Page: page}
	answer.LimitAttachments()
	text, attachments := answer.Packet("/", 1, nil)
	engineio.NewFrame(text, attachments...)
	return len(answer.Entries), nil
}

// centrifugeNode is a node of the centrifuge library with one of its engines.
type centrifugeNode struct {
	node    *centrifuge.Node
	rooms   []string
	keep    centrifuge.PublishOption
	last    centrifuge.HistoryOption
	encoder *protocol.JSONReplyEncoder
}

func newCentrifuge(w workload) (engine, error) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return nil, err
	}
	c := &centrifugeNode{
		node: node, rooms: w.names(), keep: centrifuge.WithHistory(w.Messages, ttl),
		last:    centrifuge.WithHistoryFilter(centrifuge.HistoryFilter{Limit: w.Messages, Reverse: true}),
		encoder: protocol.NewJSONReplyEncoder(),
	}
	var broker centrifuge.Broker
	if w.Engine == centrifugeMemory {
		broker, err = centrifuge.NewMemoryBroker(node, centrifuge.MemoryBrokerConfig{})
	} else {
		var shard *centrifuge.RedisShard
		if shard, err = centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: w.Redis}); err != nil {
			return nil, err
		}
		// It only records, as Sala's engine does.
		broker, err = centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}, SkipPubSub: true})
	}
	if err != nil {
		return nil, err
	}
	node.SetBroker(broker)
	return c, node.Run()
}

func (c *centrifugeNode) publish(room, _ int, args []byte) error {
	_, err := c.node.Publish(c.rooms[room], args, c.keep)
	return err
}

func (c *centrifugeNode) read(room int) (int, error) {
	result, err := c.node.History(c.rooms[room], c.last)
	return len(result.Publications), err
}

// join encodes the reply to a client that subscribes over JSON, as the library does for
// publications that it recovers.
func (c *centrifugeNode) join(room int) (int, error) {
	result, err := c.node.History(c.rooms[room], c.last)
	if err != nil {
		return 0, err
	}
	subscribed := &protocol.SubscribeResult{Recoverable: true, Epoch: result.Epoch, Offset: result.Offset, WasRecovering: true, Recovered: true}
	for _, p := range result.Publications {
		subscribed.Publications = append(subscribed.Publications, &protocol.Publication{Offset: p.Offset, Data: p.Data, Tags: p.Tags})
	}
	_, err = c.encoder.Encode(&protocol.Reply{Id: 1, Subscribe: subscribed})
	return len(subscribed.Publications), err
}
