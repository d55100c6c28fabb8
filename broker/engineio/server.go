package engineio

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/grace"
)

// The names of the transports.
const (
	transportPolling   = "polling"
	transportWebSocket = "websocket"
)

// engineVersion is the version of the protocol. Clients send it as EIO.
const engineVersion = "4"

// Server is an [net/http.Handler] that accepts Engine.IO connections and tells a [Handler] about
// each. It has goroutines from New until Shutdown has returned. Its methods may be called
// concurrently.
type Server struct {
	// Static.
	handler  Handler
	opts     Options
	started  time.Time
	direct   bool // sockets are written by the number of their descriptors
	flushing *flushQueue
	timers   *timers
	parker   *parker
	reading  *readPool
	frames   struct{ ping, probe *Frame }
	seed     maphash.Seed // for the sums of POST bodies and request ids

	buffers      buffers
	blankReaders blankReaders

	conns   sync.WaitGroup // connections, from before their handshake until after Receiver.Closed
	readers sync.WaitGroup // goroutines that read the WebSocket of an upgrade
	loops   sync.WaitGroup // flushers, timers and the parker's poller
	writers sync.WaitGroup // goroutines that write to one connection for a while
	stop    sync.Once

	mu       sync.Mutex
	sessions map[string]*Conn
	draining bool // handshakes are refused
}

// New returns a server that is ready to serve.
func New(h Handler, opts Options) *Server {
	s := &Server{
		handler:  h,
		opts:     opts.withDefaults(),
		started:  time.Now(),
		direct:   ownsDescriptors,
		flushing: newFlushQueue(),
		timers:   newTimers(),
		sessions: make(map[string]*Conn),
		seed:     maphash.MakeSeed(),
	}
	s.frames.ping = newPacketFrame(packetPing, nil)
	s.frames.probe = newPacketFrame(packetPong, []byte(probe))
	for range runtime.GOMAXPROCS(0) {
		s.loops.Go(func() { newFlusher().run(s.flushing) })
	}
	s.loops.Go(func() { s.timers.run(s.started) })
	s.reading = newReadPool()
	s.parker = &parker{log: s.opts.Logger, loops: &s.loops, reading: s.reading}
	return s
}

// endGrace is how long Shutdown waits for connections that it has cut, and then for the server's
// goroutines.
const endGrace = 500 * time.Millisecond

// Shutdown refuses new handshakes, closes every connection gracefully and waits until they have
// ended. When ctx ends, it cuts the connections that are left. It returns after every
// [Receiver.Closed] has returned and every goroutine of the server has ended. Its error is ctx's if
// it had to cut connections. A receiver must not call it.
//
// A receiver that doesn't return keeps its connection, and the goroutines that wait for it. Shutdown
// abandons them a moment after ctx has ended; its error is an [*Abandoned] then, too.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	var err error
	ended := grace.Wait(ctx, 0, s.conns.Wait)
	if !ended {
		err = s.cut(ctx.Err())
		ended = grace.Wait(ctx, endGrace, s.conns.Wait)
	}
	s.stop.Do(func() {
		s.flushing.stop()
		close(s.timers.stop)
		s.parker.close()
		s.reading.stop()
	})
	if ended {
		ended = grace.Wait(ctx, endGrace, s.awaitGoroutines)
	}
	if !ended {
		err = errors.Join(err, &Abandoned{Connections: s.Connections()})
	}
	return err
}

// Abandoned is the error of a [Server.Shutdown] that left something behind.
type Abandoned struct {
	Connections int // whose receiver has not returned
}

// Error implements the error interface.
func (a *Abandoned) Error() string {
	return fmt.Sprintf("engineio: %d connections have not ended because their receivers have not returned", a.Connections)
}

// cut ends the connections that are left. It returns an error if there are any.
func (s *Server) cut(why error) error {
	conns := s.all()
	for _, c := range conns {
		c.terminate(ReasonShutdown, why)
	}
	if len(conns) == 0 {
		return nil
	}
	return fmt.Errorf("%d connections were cut: %w", len(conns), why)
}

// awaitGoroutines returns when every goroutine of the server has ended.
func (s *Server) awaitGoroutines() {
	s.reading.running.Wait()
	s.readers.Wait()
	s.loops.Wait()
	s.writers.Wait()
}

// Refuse refuses new handshakes from now on. Existing connections stay.
func (s *Server) Refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// drain refuses new handshakes and closes every connection gracefully.
func (s *Server) drain() {
	s.Refuse()
	for _, c := range s.all() {
		c.CloseAfterFlush(ReasonShutdown)
	}
}

// CutBacklogs ends the connections with more than limit bytes waiting to be written, with
// ReasonSlowConsumer. It returns how many it has ended.
func (s *Server) CutBacklogs(limit int) int {
	n := 0
	for _, c := range s.all() {
		c.mu.Lock()
		slow := c.state == stateOpen && c.backlog() > limit
		c.mu.Unlock()
		if slow {
			c.terminate(ReasonSlowConsumer, nil)
			n++
		}
	}
	return n
}

// Connections returns the number of connections, including those that are closing.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

func (s *Server) all() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*Conn, 0, len(s.sessions))
	for _, c := range s.sessions {
		conns = append(conns, c)
	}
	return conns
}

// admit counts a connection that is about to open, until release. It reports false once the server
// drains.
func (s *Server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.conns.Add(1)
	return true
}

func (s *Server) release() { s.conns.Done() }

// add makes c known by its session id. It reports false if the server has begun to drain since c was
// admitted.
func (s *Server) add(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.sessions[c.id] = c
	return true
}

func (s *Server) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c.id)
}

func (s *Server) find(sid string) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[sid]
}

// Session returns an open connection by its session id, and its receiver; nil if there is none. A
// connection whose [Handler.Open] hasn't returned has no receiver yet, and isn't returned.
func (s *Server) Session(sid string) (*Conn, Receiver) {
	c := s.find(sid)
	if c == nil {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c, c.receiver
}

// uptime is the clock that rates are measured by.
func (s *Server) uptime() time.Duration { return time.Since(s.started) }
