package redishistory

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/history"
)

// Options configure an [Engine].
type Options struct {
	// Redis is how to reach the server.
	Redis redis.Options
	// Name distinguishes clusters that share a server; "sala" by default.
	Name string
	// Keys are the keys of the cluster, which sign entries: the first signs, all verify. Without
	// keys, entries aren't signed, and everybody who can write to the server is trusted.
	Keys [][]byte
	// Window is how long an entry with an idempotency key is recognised; 5 min by default.
	Window time.Duration
	// LaneBytes bounds the entries that wait for the server in one lane; 16 MiB by default.
	LaneBytes int
	// Now returns the time; [time.Now] by default. It is for tests.
	Now func() time.Time
}

// Engine is a [history.Engine] in Redis.
type Engine struct {
	// Static.
	options Options
	log     *slog.Logger
	prefix  string // of keys
	client  *redis.Client
	signer  *cluster.Signer
	scripts scripts
	broken  *broken
	servers servers
	lanes   [lanes]*lane

	appended, failed, malformed atomic.Int64
}

// signContext separates the MACs of entries from others that are made with the same keys.
const signContext = "sala history entry 2"

// New returns an engine that connects when it runs. The error says what is wrong with the options
// for Redis.
func New(o Options) (*Engine, error) {
	o.Name = cmp.Or(o.Name, "sala")
	o.Window = cmp.Or(o.Window, 5*time.Minute)
	o.LaneBytes = cmp.Or(o.LaneBytes, 16<<20)
	if o.Now == nil {
		o.Now = time.Now
	}
	client, err := redis.NewClient(o.Redis)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		options: o, log: o.Redis.Logger, prefix: "{" + o.Name + ":history:", client: client, signer: cluster.NewSigner(signContext, o.Keys),
		scripts: newScripts(), broken: newBroken(),
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	for i := range e.lanes {
		e.lanes[i] = newLane(e)
	}
	return e, nil
}

// Run implements [history.Engine].
func (e *Engine) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for _, l := range e.lanes {
		running.Go(func() { l.run(ctx) })
	}
	running.Go(func() { e.repair(ctx) })
	running.Go(func() { e.watchServers(ctx) })
	e.client.Run(ctx, func(client rueidis.Client) {
		for _, l := range e.lanes {
			l.known.Store(false) // the server may be another one
		}
		e.checkServers(ctx, client)
	})
}

// Append implements [history.Engine]. It calls done on a goroutine of the engine, or before it
// returns if there are no rooms or nothing can be recorded.
func (e *Engine) Append(rooms []history.Room, entry history.Entry, done func([]history.Position, error)) {
	if len(rooms) == 0 {
		done(nil, nil)
		return
	}
	blob := entry.Encode()
	job := &job{blob: blob, positions: make([]history.Position, len(rooms)), done: done}
	job.open.Store(int32(len(rooms))) //nolint:gosec // a call names a thousand rooms at most
	for i, r := range rooms {
		t := &task{job: job, index: i, room: e.roomKey(r), limits: r}
		if entry.IdempotencyKey != "" {
			t.once = onceKey(t.room, entry.ID)
		}
		e.lane(t.room).add(t)
	}
}

// lane returns the lane of a room. A single server has one, so that all appends are in order.
func (e *Engine) lane(room string) *lane {
	if client, err := e.client.Current(); err == nil && client.Mode() == rueidis.ClientModeCluster {
		return e.lanes[laneOf(room)]
	}
	return e.lanes[0]
}

// Clear implements [history.Engine].
func (e *Engine) Clear(ctx context.Context, r history.Room) error {
	client, err := e.client.Current()
	if err != nil {
		return unavailable(err)
	}
	room := e.roomKey(r)
	limited, cancel := context.WithTimeout(ctx, e.client.Timeout())
	defer cancel()
	err = e.scripts.clear.do(limited, client, []string{room}, []string{digits(), flag(true)}).Error()
	if err != nil {
		return failure(ctx, err)
	}
	return nil
}

// Stats implements [history.Engine].
func (e *Engine) Stats() history.Stats {
	return history.Stats{Appended: e.appended.Load(), Failed: e.failed.Load(), Malformed: e.malformed.Load()}
}
