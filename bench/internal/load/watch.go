package load

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

const (
	// questionEvent is the event that those who watch answer.
	questionEvent = "question"
	// speeches is in how many ways messages come.
	speeches = 3
	// pendingEvents bounds how many events wait for their acks.
	pendingEvents = 1000
)

// watch are clients that stay all the while, and look whether they get each message once and in order, and each answer once.
type watch struct {
	job  *job.Job
	pool *pool
	fds  []int // by client

	// Guarded by the pool's mu.
	last      [][speeches]uint64 // by client: the number of the last message
	sent      [speeches]uint64
	asked     map[uint64]int // who waits for the ack of an event
	sequence  uint64
	unsent    uint64 // events whose client had gone
	answered  uint64
	codes     uint64 // acks that are errors
	missing   uint64
	disorder  uint64
	stray     uint64 // answers that nobody waited for
	farewells int    // clients who were told why they have to go
	examples  []string
}

// newWatch connects them.
func newWatch(ctx context.Context, j *job.Job) (*watch, error) {
	w := &watch{job: j, fds: make([]int, j.Clients), last: make([][speeches]uint64, j.Clients), asked: make(map[uint64]int)}
	clients, err := newClients(ctx, j, func(int) []string { return []string{everyone} })
	if err != nil {
		return nil, err
	}
	c, err := newConnector(j)
	if err != nil {
		return nil, err
	}
	if w.pool, err = newPool(c.protocol); err != nil {
		return nil, err
	}
	w.pool.hear = w.hear
	err = c.connect(ctx, clients, attempts, func(i int, s *stream) error {
		w.fds[i] = s.fd
		return w.pool.add(i, s)
	})
	if err != nil {
		w.pool.close()
		return nil, err
	}
	return w, nil
}

// hear looks at what a client gets. The pool's mu is held.
func (w *watch) hear(client int, packet []byte) {
	switch {
	case bytes.HasPrefix(packet, []byte("43")):
		number, code, ok := ackOf(packet)
		if who, waits := w.asked[number]; !ok || !waits || who != client {
			w.stray++
			w.example("client %d got %.100q, which it didn't wait for", client, packet)
			return
		}
		delete(w.asked, number)
		if w.answered++; code != "" {
			w.codes++
			w.example("event %d was answered with %s", number, code)
		}
	case bytes.HasPrefix(packet, []byte(farewellEvent)):
		w.farewells++
	case bytes.HasPrefix(packet, []byte("42[")):
		if n, _, _, ok := nextDelivery(packet); ok {
			w.message(client, int(n&0xFF), n>>8)
		}
	case bytes.HasPrefix(packet, []byte("42")): // a question
		id := packet[2 : 2+bytes.IndexByte(packet[2:], '[')]
		answer := appendMasked(nil, opText, fmt.Appendf(nil, "43%s[]", id))
		if _, err := writeFD(w.fds[client], answer); err != nil {
			w.example("client %d can't answer: %v", client, err)
		}
	}
}

// message looks at one message to everyone: of each way, each has the number behind the last.
func (w *watch) message(client, way int, n uint64) {
	if way >= speeches {
		w.stray++
		return
	}
	last := &w.last[client][way]
	switch {
	case n <= *last:
		w.disorder++
		w.example("client %d got message %d of way %d again, or behind %d", client, n, way, *last)
		return
	case n > *last+1:
		w.missing += n - *last - 1
		w.example("client %d got message %d of way %d behind %d", client, n, way, *last)
	}
	*last = n
}

// said notes how far a way has got.
func (w *watch) said(way int, n uint64) {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	w.sent[way] = n
}

// ask has a client send an event with an ack.
func (w *watch) ask() error {
	client := rand.IntN(len(w.fds))
	w.pool.mu.Lock()
	w.sequence++
	number := w.sequence
	tooMany := len(w.asked) >= pendingEvents
	w.asked[number] = client
	w.pool.mu.Unlock()
	if tooMany {
		return fmt.Errorf("%d events wait for their answers", pendingEvents)
	}
	err := w.pool.tell(w.fds[client], fmt.Appendf(nil, `42%d[%q,%s]`, number, clientEvent, newPayload(number, 0)))
	if err != nil {
		w.pool.mu.Lock()
		defer w.pool.mu.Unlock()
		delete(w.asked, number)
		w.unsent++
	}
	return err
}

// asks returns how many events have been sent.
func (w *watch) asks() uint64 {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	return w.sequence
}

// ended waits until all connections have ended.
func (w *watch) ended(patience time.Duration) error {
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		counts, _, err := w.pool.snapshot()
		if err != nil || int(counts.gone) == len(w.fds) {
			return err
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("%d of %d connections have ended", counts.gone, len(w.fds))
		}
	}
}

// settle waits until all has arrived, or nothing more can be expected.
func (w *watch) settle(ctx context.Context, patience time.Duration) error {
	for begin := time.Now(); time.Since(begin) < patience; {
		w.pool.mu.Lock()
		lacking, waiting := w.lacking(), len(w.asked)
		w.pool.mu.Unlock()
		if lacking == 0 && waiting == 0 {
			break
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// lacking returns how many messages are still to come. The pool's mu is held.
func (w *watch) lacking() (n uint64) {
	for _, last := range w.last {
		for way, sent := range w.sent {
			n += sent - min(last[way], sent)
		}
	}
	return n
}

// judge adds the figures.
func (w *watch) judge(f job.Figures) {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	f[job.Lasting], f[job.Gone] = float64(len(w.fds)), float64(w.pool.counts.gone)
	f[job.Missing], f[job.Disorder] = float64(w.missing+w.lacking()), float64(w.disorder)
	f[job.Answered], f[job.Unanswered] = float64(w.answered), float64(len(w.asked))
	f[job.OtherCodes], f[job.Stray] = float64(w.codes), float64(w.stray)
	if w.pool.failure != nil {
		w.example("%v", w.pool.failure)
		f[job.Stray]++
	}
}

func (w *watch) example(format string, args ...any) {
	if len(w.examples) < maxExamples {
		w.examples = append(w.examples, fmt.Sprintf(format, args...))
	}
}
