package engineio

import (
	"runtime"
	"sync"
)

// maxIdleReaders is how many reading goroutines are kept for each processor although there is nothing to read.
const maxIdleReaders = 16

// readPool runs the goroutines that read connections. A connection has one only while there is something to read, so
// they come and go with every message; and a new one's stack has to grow, in several copies, before it can decode one.
// So those that have nothing to do wait for the next connection, up to a number.
type readPool struct {
	// Static.
	work    chan reading // taken by whoever waits for it
	spare   chan struct{}
	stopped chan struct{}
	running sync.WaitGroup
}

// reading is a connection and what reads it.
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
		next = reading{} // which must not be kept for as long as there is nothing to do
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

// stop ends the goroutines, each once its connection has.
func (p *readPool) stop() { close(p.stopped) }

// growStack makes the stack of a new goroutine large enough for the check of a token in one step, while there is next to
// nothing on it. Otherwise it is copied three times on its way there, which was 7 % of the cost of a connect.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	runtime.KeepAlive(&room)
}
