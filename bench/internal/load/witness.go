package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// witness is a client of a cluster that comes back whenever its connection ends, to any server that is ready, as a load
// balancer would have it, and writes down what it gets. It belongs to one goroutine but for what mu guards.
type witness struct {
	client  client
	stage   *stage
	dialers []*dialer // of the servers
	wanted  atomic.Bool

	mu    sync.Mutex
	spans []*span // its connections, in order
}

// span is one connection of a witness.
type span struct {
	node     int
	id       string    // of the socket
	from     time.Time // when it was connected
	to       time.Time // when the server said goodbye, or the end was noticed; zero if it lasts
	farewell bool      // the server has said goodbye
	got      []uint64  // the numbers of messages
	socket   *stream
}

// witnesses are all of them.
type witnesses struct {
	list    []*witness
	running sync.WaitGroup
}

const (
	// farewellEvent begins the packet that tells a client why it has to go.
	farewellEvent = `42["sala:disconnect"`
	// disconnectPacket ends a socket.
	disconnectPacket = "41"
)

// newWitnesses connects as many clients to each server of a cluster, all in the rooms.
func newWitnesses(ctx context.Context, s *stage, perNode int, rooms ...string) (*witnesses, error) {
	j := s.jobOf(0)
	j.Clients = perNode * len(s.nodes)
	clients, err := newClients(ctx, j, func(int) []string { return rooms })
	if err != nil {
		return nil, err
	}
	dialers := make([]*dialer, len(s.nodes))
	for i := range dialers {
		if dialers[i], err = newDialer(s.jobOf(i).Target.Listen); err != nil {
			return nil, err
		}
	}
	ws := &witnesses{}
	for i, c := range clients {
		w := &witness{client: c, stage: s, dialers: dialers}
		w.wanted.Store(true)
		if err := w.connect(i % len(dialers)); err != nil {
			ws.stop()
			return nil, err
		}
		ws.list = append(ws.list, w)
		ws.running.Go(func() { w.run(ctx) })
	}
	return ws, nil
}

// connect opens a connection to a server.
func (w *witness) connect(node int) error {
	if !w.stage.open[node].Load() {
		return errors.New("the server takes no clients")
	}
	s, id, err := openSocket(w.dialers[node], w.client)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spans = append(w.spans, &span{node: node, id: id, from: time.Now(), socket: s})
	return nil
}

// run reads, and connects again, until it is no longer wanted.
func (w *witness) run(ctx context.Context) {
	for {
		now := w.now()
		w.read(now)
		w.mu.Lock()
		if w.wanted.Load() && now.to.IsZero() {
			now.to = time.Now()
		}
		now.socket.close()
		now.socket = nil
		w.mu.Unlock()
		for first := rand.N(len(w.dialers)); w.connect(first%len(w.dialers)) != nil; first++ {
			if !w.wanted.Load() || pause(ctx, 2*time.Millisecond) != nil {
				return
			}
		}
		if !w.wanted.Load() {
			w.mu.Lock()
			last := len(w.spans) - 1
			w.spans[last].socket.close()
			w.spans = w.spans[:last]
			w.mu.Unlock()
			return
		}
	}
}

// now returns the last connection.
func (w *witness) now() *span {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spans[len(w.spans)-1]
}

// connected returns the connection that there is, nil if there is none.
func (w *witness) connected() *span {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := w.spans[len(w.spans)-1]; last.socket != nil {
		return last
	}
	return nil
}

// read reads until the connection ends.
func (w *witness) read(s *span) {
	for {
		opcode, payload, err := s.socket.frame()
		switch {
		case errors.Is(err, errQuiet):
		case err != nil:
			return
		case opcode == opText && string(payload) == "2":
			_ = s.socket.send([]byte("3")) // if it can't be sent, reading fails next
		case opcode == opClose:
			_, _ = s.socket.Write(appendMasked(nil, opClose, bytes.Clone(payload))) // the server may have gone
			return
		case opcode == opText && string(payload) == disconnectPacket:
			return
		case opcode == opText:
			w.mu.Lock()
			if number, _, _, ok := nextDelivery(payload); ok {
				s.got = append(s.got, number)
			} else if bytes.HasPrefix(payload, []byte(farewellEvent)) {
				s.farewell, s.to = true, time.Now()
			}
			w.mu.Unlock()
		}
	}
}

// interrupt ends the connection from the client's side.
func (w *witness) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := w.spans[len(w.spans)-1]; last.socket != nil {
		_ = unix.Shutdown(last.socket.fd, unix.SHUT_RDWR) // unless it has ended
	}
}

// stop ends all; their last connections count as lasting.
func (ws *witnesses) stop() {
	for _, w := range ws.list {
		w.wanted.Store(false)
		w.interrupt()
	}
	ws.running.Wait()
}

// received returns how many messages they have in all.
func (ws *witnesses) received() (n int) {
	for _, w := range ws.list {
		w.mu.Lock()
		for _, s := range w.spans {
			n += len(s.got)
		}
		w.mu.Unlock()
	}
	return n
}

// settle waits until nothing more arrives.
func (ws *witnesses) settle(ctx context.Context) error {
	for last := -1; last != ws.received(); {
		last = ws.received()
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// back waits until all are connected, but to the server without, and returns how long that took.
func (ws *witnesses) back(ctx context.Context, patience time.Duration, without int) (time.Duration, error) {
	for begin := time.Now(); ; {
		missing := 0
		for _, w := range ws.list {
			if s := w.connected(); s == nil || s.node == without {
				missing++
			}
		}
		took := time.Since(begin)
		if missing == 0 {
			return took, nil
		}
		if took > patience {
			return took, fmt.Errorf("%d of %d clients have not come back within %v", missing, len(ws.list), patience)
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return took, err
		}
	}
}

// gone returns how many connections have ended.
func (ws *witnesses) gone() (n int) {
	for _, w := range ws.list {
		w.mu.Lock()
		n += len(w.spans) - 1
		w.mu.Unlock()
	}
	return n
}
