package memwatch

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// interval is how often is looked. In this time memory must not grow by what lies between begin and the limit.
	interval = 100 * time.Millisecond
	// begin and end are at how much of the limit, in percent, memory becomes short, and is enough again. They lie apart, so
	// that what is let in at the end doesn't begin it all anew.
	begin, end = 90, 80
	// collectAfter is how long after the last run of the garbage collector it is made to run while memory is short. There is
	// little new garbage then to make it run by itself.
	collectAfter = time.Second
	// endurance is how long memory is short before Options.Lasting is called, and how long between two of these calls.
	endurance = 10 * time.Second
)

// Options configures a Watch.
type Options struct {
	// Limit is the most memory that the process may use, in bytes; above zero.
	Limit int64
	// Changed is called when memory has become short, or is enough again, with what is used then.
	Changed func(short bool, used int64)
	// Lasting is called when memory has been short for 10 s, and again every 10 s.
	Lasting func()

	// Read and Collect are the runtime's by default.
	Read    func() Usage
	Collect func()
}

// Usage is how much memory is used.
type Usage struct {
	Bytes  int64  // that can't be freed
	Cycles uint64 // of the garbage collector, up to now
}

// Watch looks at the memory of the process. It has a goroutine from Start until Stop, on which it makes all its calls.
type Watch struct {
	// Static.
	opts Options
	quit chan struct{}
	done sync.WaitGroup
	once sync.Once

	short atomic.Bool

	// Owned by the goroutine.
	cycles    uint64
	collected time.Time // when the collector was last seen to have run
	lasting   time.Time // when memory became short, or Lasting was last called
}

// Start begins to watch.
func Start(o Options) *Watch {
	if o.Read == nil {
		o.Read, o.Collect = newReader().read, collect
	}
	w := &Watch{opts: o, quit: make(chan struct{})}
	w.done.Go(w.run)
	return w
}

// Short reports whether memory is short. It may be called concurrently, and as often as one likes.
func (w *Watch) Short() bool { return w.short.Load() }

// Stop ends the watch; Short stays as it is. It may be called again.
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
			w.look(time.Now())
		case <-w.quit:
			return
		}
	}
}

func (w *Watch) look(now time.Time) {
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
		w.endure(now)
	}
}

func (w *Watch) change(short bool, u Usage) {
	w.short.Store(short)
	w.opts.Changed(short, u.Bytes)
}

// endure is what is done while memory stays short.
func (w *Watch) endure(now time.Time) {
	if now.Sub(w.lasting) >= endurance {
		w.lasting = now
		w.opts.Lasting()
	}
	if now.Sub(w.collected) >= collectAfter {
		w.opts.Collect()
	}
}
