package memwatch

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// interval is the time between two checks. In this time memory must not grow from begin to the
	// limit.
	interval = 100 * time.Millisecond
	// begin and end are the percentages of the limit at which memory becomes short and is enough
	// again. They are apart so that the work admitted at the end doesn't make memory short at once.
	begin, end = 90, 80
	// collectAfter is how long after the last garbage collection the next one is forced while
	// memory is short. With little new garbage, the runtime wouldn't start one by itself.
	collectAfter = time.Second
	// lastingAfter is how long memory must be short before Options.Lasting is called, and the time
	// between two of these calls.
	lastingAfter = 10 * time.Second
)

// Options configures a [Watch].
type Options struct {
	// Limit is the most memory that the process may use, in bytes; above zero.
	Limit int64
	// Changed is called when memory has become short or is enough again, with the bytes in use.
	Changed func(short bool, used int64)
	// Lasting is called when memory has been short for 10 s, and again every 10 s.
	Lasting func()

	// Read and Collect replace the runtime's in tests. Set both or neither.
	Read    func() Usage
	Collect func()
}

// Watch watches the memory of the process. From Start until Stop it has a goroutine, on which it
// calls the functions of its [Options].
type Watch struct {
	// Static.
	opts Options
	quit chan struct{}
	done sync.WaitGroup
	once sync.Once

	short atomic.Bool

	// Owned by the goroutine.
	cycles    uint64
	collected time.Time // when a collection was last seen
	lasting   time.Time // when memory became short, or Lasting was last called
}

// Start starts a watch. Stop must follow.
func Start(o Options) *Watch {
	if o.Read == nil {
		o.Read, o.Collect = newReader().read, collect
	}
	w := &Watch{opts: o, quit: make(chan struct{})}
	w.done.Go(w.run)
	return w
}

// Short reports whether memory is short. It is cheap and may be called concurrently.
func (w *Watch) Short() bool { return w.short.Load() }

// Stop ends the watch and waits for its goroutine. Short keeps its last value. It may be called
// more than once.
func (w *Watch) Stop() {
	w.once.Do(func() { close(w.quit) })
	w.done.Wait()
}

func (w *Watch) run() {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.check(time.Now())
		case <-w.quit:
			return
		}
	}
}

func (w *Watch) check(now time.Time) {
	u := w.opts.Read()
	if u.Cycles != w.cycles {
		w.cycles, w.collected = u.Cycles, now
	}
	percent := u.Bytes / max(w.opts.Limit/100, 1)
	switch short := w.short.Load(); {
	case !short && percent >= begin:
		w.lasting = now
		w.change(true, u)
	case short && percent < end:
		w.change(false, u)
	case short:
		w.persist(now)
	}
}

func (w *Watch) change(short bool, u Usage) {
	w.short.Store(short)
	w.opts.Changed(short, u.Bytes)
}

// persist acts while memory stays short.
func (w *Watch) persist(now time.Time) {
	if now.Sub(w.lasting) >= lastingAfter {
		w.lasting = now
		w.opts.Lasting()
	}
	if now.Sub(w.collected) >= collectAfter {
		w.opts.Collect()
	}
}
