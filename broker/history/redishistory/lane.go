package redishistory

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/rueidis"

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
	room   string       // its key
	once   string       // the key of the entry's position; empty if it has no idempotency key
	limits history.Room // what the room's rule says
	now    string       // the time in milliseconds
	broken uint64       // the failure that had broken the room when the task was sent
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

	// Guarded by mu.
	mu      sync.Mutex
	waiting []*task
	bytes   int
	known   bool // the servers have the script
	closed  bool
}

func newLane(e *Engine) *lane { return &lane{engine: e, wake: make(chan struct{}, 1)} }

// connected is called when there is a new connection, maybe to another server.
func (l *lane) connected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = false
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		for ctx.Err() == nil {
			batch, known := l.next()
			if len(batch) == 0 {
				break
			}
			l.carryOut(ctx, batch, known)
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

// next takes a batch of tasks, and returns whether the servers have the script.
func (l *lane) next() (batch []*task, known bool) {
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
	return batch, l.known
}

// done notes that a batch is over, and whether the servers have the script.
func (l *lane) done(batch []*task, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = known
	for _, t := range batch {
		l.bytes -= t.size()
	}
}

// carryOut records a batch in one pipeline. The first command has the script's text, unless the
// server has the script.
func (l *lane) carryOut(ctx context.Context, batch []*task, known bool) {
	e := l.engine
	client, err := e.client.Current()
	if err != nil {
		l.done(batch, false)
		for _, t := range batch {
			e.fail(t, err)
		}
		return
	}
	limited, cancel := context.WithTimeout(ctx, e.client.Timeout())
	defer cancel()
	results := e.send(limited, client, batch, known)
	unknown := slices.ContainsFunc(results, func(r rueidis.RedisResult) bool { return isNoScript(r.Error()) })
	if unknown {
		results = e.sendAgain(limited, client, batch, results)
	}
	l.done(batch, !unknown)
	for i, t := range batch {
		e.finish(t, results[i])
	}
}

// send sends the commands of a batch.
func (e *Engine) send(ctx context.Context, client rueidis.Client, batch []*task, known bool) []rueidis.RedisResult {
	commands := make([]rueidis.Completed, len(batch))
	for i, t := range batch {
		commands[i] = e.command(client, t, known || i > 0)
	}
	return client.DoMulti(ctx, commands...)
}

// sendAgain sends the commands of a batch that have failed because the server doesn't have the
// script, as happens after it has started again. If another node has brought the script in between,
// later commands about the same room have succeeded. To keep the order, earlier ones fail then.
func (e *Engine) sendAgain(ctx context.Context, client rueidis.Client, batch []*task, results []rueidis.RedisResult) []rueidis.RedisResult {
	var again []*task
	var indexes []int
	recorded := make(map[string]bool)
	for i, t := range slices.Backward(batch) {
		switch {
		case !isNoScript(results[i].Error()):
			recorded[t.room] = true
		case !recorded[t.room]:
			again, indexes = append(again, t), append(indexes, i)
		}
	}
	slices.Reverse(again)
	slices.Reverse(indexes)
	for i, result := range e.send(ctx, client, again, false) {
		results[indexes[i]] = result
	}
	return results
}

// command returns the command that carries out a task.
func (e *Engine) command(client rueidis.Client, t *task, known bool) rueidis.Completed {
	t.broken = e.broken.since(t.room)
	code := ""
	if e.signer.Keyed() {
		code = string(e.signer.Sign(nil, t.room, t.job.blob))
	}
	keys := []string{t.room, streamKey(t.room)}
	args := []string{
		e.epochs.Next(), flag(t.broken != 0), strconv.Itoa(t.limits.Messages), millis(t.limits.TTL), millis(t.limits.TTL + history.PositionKept),
		t.now, rueidis.BinaryString(t.job.blob), code,
	}
	if t.once != "" {
		keys, args = append(keys, t.once), append(args, millis(e.options.Window))
	}
	return e.scripts.append.call(client, known, keys, args)
}

// finish ends a task that has been sent.
func (e *Engine) finish(t *task, result rueidis.RedisResult) {
	text, err := result.ToString()
	if err != nil {
		e.fail(t, err)
		return
	}
	epoch, offset, _ := strings.Cut(text, " ")
	p, err := parsePosition(epoch, offset)
	if err != nil {
		e.fail(t, err)
		return
	}
	e.broken.repaired(t.room, t.broken)
	e.appended.Add(1)
	t.finish(p, nil)
}

// fail ends a task that may not have been carried out. Its room is broken.
func (e *Engine) fail(t *task, err error) {
	e.failed.Add(1)
	e.broken.add(t.room)
	t.finish(history.Position{}, unavailable(err))
}
