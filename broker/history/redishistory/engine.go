package redishistory

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
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
	epochs  *history.Epochs
	scripts scripts
	broken  *broken
	servers servers
	lanes   [lanes]*lane

	appended, failed, malformed atomic.Int64
}

// signContext separates the MACs of entries from others that are made with the same keys.
const signContext = "sala history entry 1"

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
		epochs: history.NewEpochs(), scripts: newScripts(), broken: newBroken(),
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
		e.checkServers(ctx, client)
		for _, l := range e.lanes {
			l.connected()
		}
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
	now := strconv.FormatInt(entry.Time.UnixMilli(), 10)
	for i, r := range rooms {
		t := &task{job: job, index: i, room: e.roomKey(r), limits: r, now: now}
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

// Read implements [history.Engine].
func (e *Engine) Read(ctx context.Context, r history.Room, q history.Query) (history.Page, error) {
	client, err := e.client.Current()
	if err != nil {
		return history.Page{}, unavailable(err)
	}
	room := e.roomKey(r)
	broken := e.broken.since(room)
	limited, cancel := context.WithTimeout(ctx, e.client.Timeout())
	defer cancel()
	answer, err := e.scripts.read.do(limited, client, []string{room, streamKey(room)}, e.readArgs(r, q, broken != 0)).ToArray()
	if err != nil {
		return history.Page{}, failure(ctx, err)
	}
	e.broken.repaired(room, broken)
	return e.page(room, q, answer)
}

// readArgs returns the arguments of readScript.
func (e *Engine) readArgs(r history.Room, q history.Query, broken bool) []string {
	mode, at := "", history.Position{}
	switch {
	case q.Since != nil:
		mode, at = "since", *q.Since
	case q.Before != nil:
		mode, at = "before", *q.Before
	}
	entries, bytes := q.Bounds()
	return []string{
		e.epochs.Next(), flag(broken), millis(r.TTL + history.PositionKept), strconv.FormatInt(e.options.Now().Add(-r.TTL).UnixMilli(), 10),
		mode, at.Epoch, strconv.FormatUint(at.Offset, 10), strconv.Itoa(entries), strconv.Itoa(bytes),
	}
}

// page returns what readScript has answered. Entries that no node has signed are left out.
func (e *Engine) page(room string, q history.Query, answer []rueidis.RedisMessage) (history.Page, error) {
	texts := make([]string, len(answer))
	for i := range answer {
		text, err := answer[i].ToString()
		if err != nil {
			return history.Page{}, unavailable(err)
		}
		texts[i] = text
	}
	if len(texts) < 3 || len(texts)%3 != 0 {
		return history.Page{}, unavailable(errMalformed)
	}
	end, err := parsePosition(texts[0], texts[1])
	oldest, failed := strconv.ParseUint(texts[2], 10, 64)
	if err != nil || failed != nil || oldest == 0 || oldest > end.Offset+1 {
		return history.Page{}, unavailable(errMalformed)
	}
	selected := q.Select(end, oldest)
	page := history.Page{End: end, Complete: selected.Complete, More: len(texts)/3-1 < selected.Len()}
	page.Entries = make([]history.Recorded, 0, len(texts)/3-1)
	for i := 3; i < len(texts); i += 3 {
		before, _, _ := strings.Cut(texts[i], "-")
		offset, err := strconv.ParseUint(before, 10, 64)
		if err != nil {
			return history.Page{}, unavailable(errMalformed)
		}
		entry, ok := e.decode(offset, room, texts[i+1], texts[i+2])
		if !ok {
			page.Complete = false
			continue
		}
		page.Entries = append(page.Entries, entry)
	}
	if q.Since == nil {
		slices.Reverse(page.Entries) // read from the newest
	}
	return page, nil
}

// decode returns an entry of a room, and whether a node of this cluster has recorded it.
func (e *Engine) decode(offset uint64, room, text, code string) (history.Recorded, bool) {
	blob := []byte(text)
	if e.signer.Keyed() && e.signer.Verify(room, []byte(code), blob) < 0 {
		e.malformed.Add(1)
		return history.Recorded{}, false
	}
	entry, err := history.Parse(offset, blob)
	if err != nil {
		e.malformed.Add(1)
		return history.Recorded{}, false
	}
	return entry, true
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
	err = e.scripts.clear.do(limited, client, []string{room, streamKey(room)}, []string{e.epochs.Next()}).Error()
	if err != nil {
		return failure(ctx, err)
	}
	return nil
}

// Stats implements [history.Engine].
func (e *Engine) Stats() history.Stats {
	return history.Stats{Appended: e.appended.Load(), Failed: e.failed.Load(), Malformed: e.malformed.Load()}
}
