package engineio

import (
	"runtime"
	"sync"
)

// maxIdleReaders is how many idle reading goroutines are kept for each processor.
const maxIdleReaders = 16

// readPool runs the goroutines that read connections. A connection has one only while there is
// something to read, so they come and go with every message. A new goroutine's stack has to grow,
// in several copies, before it can decode one. So idle goroutines wait for the next connection,
// up to a number.
type readPool struct {
	// Static.
	work    chan reading  // received by an idle goroutine
	spare   chan struct{} // holds a token for each idle goroutine
	stopped chan struct{}
	running sync.WaitGroup
}

// reading is a connection and its reader.
type reading struct {
	conn   *Conn
	reader *reader
}

func newReadPool() *readPool {
	return &readPool{
		work:    make(chan reading),
		spare:   make(chan struct{}, maxIdleReaders*runtime.GOMAXPROCS(0)),
		stopped: make(chan struct{}),
	}
}

// start has c read on a goroutine of the pool.
func (p *readPool) start(c *Conn, r *reader) {
	select {
	case p.work <- reading{c, r}:
	default:
		p.running.Go(func() {
			growStack()
			p.run(reading{c, r})
		})
	}
}

func (p *readPool) run(next reading) {
	for {
		next.conn.read(next.reader)
		next = reading{} // an idle goroutine must not keep a connection
		select {
		case p.spare <- struct{}{}:
		default:
			return // there are enough
		}
		select {
		case next = <-p.work:
			<-p.spare
		case <-p.stopped:
			return
		}
	}
}

// stop ends the goroutines, each once its connection allows.
func (p *readPool) stop() { close(p.stopped) }

// growStack makes the stack of a new goroutine large enough to check a token, in one step while
// the stack is almost empty. Otherwise it would be copied three times while it grows, which was
// 7 % of the cost of a connect.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	runtime.KeepAlive(&room)
}
