package redishistory

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/history"
)

const (
	// batchTasks and batchBytes bound one pipeline.
	batchTasks = 512
	batchBytes = 4 << 20
	// taskBytes is roughly what a task takes besides its entry.
	taskBytes = 512
)

// job is one call of Append. Its tasks may be on several lanes.
type job struct {
	blob []byte
	done func([]history.Position, error)

	open      atomic.Int32       // tasks that aren't done
	positions []history.Position // each task sets its own

	mu  sync.Mutex
	err error // the last failure
}

// task is to record the entry of a job in one room.
type task struct {
	job    *job
	index  int          // of the room in the job
	room   string       // the key of its stream
	once   string       // the key of the entry's position; empty if it has no idempotency key
	limits history.Room // what the room's rule says
	broken uint64       // the failure that had broken the room when the task was sent
	script bool         // it was sent as a script
}

// value returns what the field of the entry has in a room.
func (j *job) value(e *Engine, room string) []byte {
	if !e.signer.Keyed() {
		return j.blob
	}
	signed := make([]byte, len(j.blob), len(j.blob)+cluster.MACBytes)
	copy(signed, j.blob)
	return e.signer.Sign(signed, room, j.blob)
}

func (t *task) size() int { return len(t.job.blob) + len(t.room) + taskBytes }

// finish ends a task. The last one of a job ends the job.
func (t *task) finish(p history.Position, err error) {
	if err != nil {
		t.job.mu.Lock()
		t.job.err = err
		t.job.mu.Unlock()
	}
	t.job.positions[t.index] = p
	if t.job.open.Add(-1) == 0 {
		t.job.done(t.job.positions, t.job.err)
	}
}

// lane carries out tasks in order.
type lane struct {
	engine *Engine
	wake   chan struct{} // holds one token if there are tasks
	known  atomic.Bool   // the servers have the script, as far as the lane knows

	// Guarded by mu.
	mu      sync.Mutex
	waiting []*task
	bytes   int
	closed  bool

	rooms rooms // of the goroutine that runs
}

func newLane(e *Engine) *lane {
	return &lane{engine: e, wake: make(chan struct{}, 1), rooms: newRooms()}
}

// add adds a task. It fails at once if there is no connection, or too much to do.
func (l *lane) add(t *task) {
	if err := l.tryAdd(t); err != nil {
		l.engine.fail(t, err)
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) tryAdd(t *task) error {
	if _, err := l.engine.client.Current(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return errEnded
	case l.bytes+t.size() > l.engine.options.LaneBytes:
		return errTooSlow
	}
	l.waiting = append(l.waiting, t)
	l.bytes += t.size()
	return nil
}

// run carries out tasks until ctx ends. Those that are left fail.
func (l *lane) run(ctx context.Context) {
	defer l.close()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.sweep(ctx)
			continue
		case <-l.wake:
		}
		for ctx.Err() == nil {
			batch := l.next()
			if len(batch) == 0 {
				break
			}
			l.carryOut(ctx, batch)
		}
	}
}

// close fails what is left.
func (l *lane) close() {
	l.mu.Lock()
	rest := l.waiting
	l.waiting, l.bytes, l.closed = nil, 0, true
	l.mu.Unlock()
	for _, t := range rest {
		l.engine.fail(t, errEnded)
	}
}

// next takes a batch of tasks.
func (l *lane) next() (batch []*task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes := 0
	for len(batch) < min(len(l.waiting), batchTasks) && (len(batch) == 0 || bytes+l.waiting[len(batch)].size() <= batchBytes) {
		batch = l.waiting[:len(batch)+1]
		bytes += batch[len(batch)-1].size()
	}
	if l.waiting = l.waiting[len(batch):]; len(l.waiting) == 0 {
		l.waiting = nil
	}
	return batch
}

// done notes that a batch is over.
func (l *lane) done(batch []*task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range batch {
		l.bytes -= t.size()
	}
}

// carryOut records a batch in one pipeline, and what Redis has refused of it in another one.
func (l *lane) carryOut(ctx context.Context, batch []*task) {
	e := l.engine
	client, err := e.client.Current()
	if err != nil {
		l.done(batch)
		for _, t := range batch {
			e.fail(t, err)
		}
		return
	}
	limited, cancel := context.WithTimeout(ctx, e.client.Timeout())
	defer cancel()
	results := l.send(limited, client, batch)
	if slices.ContainsFunc(results, isRefused) {
		l.sendAgain(limited, client, batch, results)
	}
	l.done(batch)
	now := e.options.Now().UnixMilli()
	for i, t := range batch {
		l.finish(t, results[i], now)
	}
}

// send sends the commands of a batch, and returns their results. Until the servers are known to have
// the script, each command that needs it has its text: if another node brought the script in between,
// later commands would succeed and earlier ones about the same room wouldn't.
func (l *lane) send(ctx context.Context, client rueidis.Client, batch []*task) []rueidis.RedisResult {
	now := l.engine.options.Now().UnixMilli()
	commands := make([]rueidis.Completed, len(batch), len(batch)+8)
	for i, t := range batch {
		t.broken = l.engine.broken.since(t.room)
		r := l.rooms.byKey[t.room]
		switch {
		case t.broken != 0 || t.once != "" || r == nil:
			commands[i] = l.scriptCommand(client, t)
			continue
		case r.refresh(t.limits, now):
			later := client.B().Pexpire().Key(t.room).Milliseconds(streamKept(t.limits).Milliseconds()).Build()
			commands = append(commands, later)
		}
		commands[i] = client.B().Xadd().Key(t.room).Nomkstream().Maxlen().Exact().Threshold(strconv.Itoa(t.limits.Messages)).
			Id(r.nextID).FieldValue().FieldValue(l.engine.field(), rueidis.BinaryString(t.job.value(l.engine, t.room))).Build()
	}
	return client.DoMulti(ctx, commands...)[:len(batch)]
}

// isRefused reports whether Redis hasn't carried out a command: the room's stream is gone or has
// another epoch, or the server doesn't have the script.
func isRefused(r rueidis.RedisResult) bool {
	err := r.Error()
	_, refused := rueidis.IsRedisErr(err)
	return refused || rueidis.IsRedisNil(err)
}

// sendAgain sends what Redis has refused of a batch as scripts, and puts their results in place of the
// others. If a later command about the same room has succeeded, another node has made it possible in
// between. To keep the order, earlier ones fail then.
func (l *lane) sendAgain(ctx context.Context, client rueidis.Client, batch []*task, results []rueidis.RedisResult) {
	l.known.Store(false)
	var commands []rueidis.Completed
	var indexes []int
	recorded := make(map[string]bool)
	for i, t := range slices.Backward(batch) {
		switch {
		case !isRefused(results[i]):
			recorded[t.room] = true
		case !recorded[t.room]:
			indexes = append(indexes, i)
		}
	}
	slices.Reverse(indexes)
	for _, i := range indexes {
		l.rooms.forget(batch[i].room)
		commands = append(commands, l.scriptCommand(client, batch[i]))
	}
	for i, result := range client.DoMulti(ctx, commands...) {
		results[indexes[i]] = result
	}
}

// scriptCommand returns the command that carries out a task whatever the state of the room is.
func (l *lane) scriptCommand(client rueidis.Client, t *task) rueidis.Completed {
	e := l.engine
	t.script = true
	keys := []string{t.room}
	args := []string{
		digits(), flag(t.broken != 0), strconv.Itoa(t.limits.Messages), millis(streamKept(t.limits)),
		e.field(), rueidis.BinaryString(t.job.value(e, t.room)),
	}
	if t.once != "" {
		keys, args = append(keys, t.once), append(args, millis(e.options.Window))
	}
	return e.scripts.append.call(client, l.known.Load(), keys, args)
}

// finish ends a task that has been sent.
func (l *lane) finish(t *task, result rueidis.RedisResult, now int64) {
	text, err := result.ToString()
	if err != nil {
		l.rooms.forget(t.room)
		l.engine.fail(t, err)
		return
	}
	text, repeated := strings.CutPrefix(text, "=")
	p, err := parseID(text)
	if err != nil || p.Offset == 0 {
		l.rooms.forget(t.room)
		l.engine.fail(t, errMalformed)
		return
	}
	if t.script {
		l.known.Store(true)
	}
	if !repeated {
		l.rooms.recorded(t, p, now)
	}
	l.engine.broken.repaired(t.room, t.broken)
	l.engine.appended.Add(1)
	t.finish(p, nil)
}

// fail ends a task that may not have been carried out. Its room is broken.
func (e *Engine) fail(t *task, err error) {
	e.failed.Add(1)
	e.broken.add(t.room)
	t.finish(history.Position{}, unavailable(err))
}
