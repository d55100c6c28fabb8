package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

const (
	// Publishers is how many publishers can number messages to watchers.
	Publishers = 3
	// GoodbyeEvent is the start of the packet that tells a client why the server disconnects it.
	GoodbyeEvent = `42["sala:disconnect"`
	// maxPending bounds how many events wait for their acks.
	maxPending = 1000
)

// Lasting is the figure for the clients that stay during a scenario.
const Lasting = "lasting"

// MessageNumber returns the number of a publisher's n-th message, which counts from 1.
func MessageNumber(publisher int, n uint64) uint64 { return n<<8 | uint64(publisher) }

// NewMessage returns the payload of a publisher's n-th message, which counts from 1.
func NewMessage(publisher int, n uint64) []byte {
	return load.NewPayload(MessageNumber(publisher, n), 0)
}

// Watchers are clients in one room that check whether they receive each message once and in order,
// and one answer to each of their events. They answer events that want an ack. Watchers are safe
// for concurrent use.
type Watchers struct {
	pool    *load.Pool
	clients int

	mu       sync.Mutex
	last     [][Publishers]uint64 // by client: the number of the last message
	sent     [Publishers]uint64
	pending  map[uint64]int // the client that waits for the ack of an event
	events   uint64         // that clients were to send
	unsent   uint64         // of these, those whose client was gone
	answered uint64
	errors   uint64 // acks with an error
	missing  uint64
	disorder uint64
	stray    uint64 // acks that no client waited for, and other unexpected packets
	goodbyes int    // clients that received one
	examples Examples
}

// NewWatchers connects the clients.
func NewWatchers(ctx context.Context, t *process.Target, n int) (*Watchers, error) {
	w := newWatchers(n)
	clients, err := load.NewClients(ctx, t, n, load.InRooms(load.Everyone))
	if err != nil {
		return nil, err
	}
	w.pool, err = load.ConnectAll(ctx, t, clients, load.Options{Receive: w.receive})
	return w, err
}

func newWatchers(n int) *Watchers {
	return &Watchers{clients: n, last: make([][Publishers]uint64, n), pending: make(map[uint64]int)}
}

// Close closes the connections.
func (w *Watchers) Close() { w.pool.Close() }

// receive checks a packet, and answers an event that wants an ack.
func (w *Watchers) receive(client int, packet []byte) (reply []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case bytes.HasPrefix(packet, []byte("43")):
		number, code, ok := ParseAck(packet)
		sender, waits := w.pending[number]
		if !ok || !waits || sender != client {
			w.stray++
			w.examples.Add("client %d received %.100q, which it did not wait for", client, packet)
			return nil
		}
		delete(w.pending, number)
		w.answered++
		if code != "" {
			w.errors++
			w.examples.Add("event %d was answered with %s", number, code)
		}
	case bytes.HasPrefix(packet, []byte(GoodbyeEvent)):
		w.goodbyes++
	case bytes.HasPrefix(packet, []byte("42[")):
		if n, _, _, ok := load.NextPayload(packet); ok {
			w.message(client, int(n&0xFF), n>>8)
		}
	case bytes.HasPrefix(packet, []byte("42")): // an event that wants an ack
		id, _, _ := bytes.Cut(packet[2:], []byte("["))
		return fmt.Appendf(nil, "43%s[]", id)
	}
	return nil
}

// message checks that a message follows the publisher's last one.
func (w *Watchers) message(client, publisher int, n uint64) {
	if publisher >= Publishers {
		w.stray++
		return
	}
	last := &w.last[client][publisher]
	switch {
	case n <= *last:
		w.disorder++
		w.examples.Add("client %d received message %d of publisher %d after %d", client, n, publisher, *last)
		return
	case n > *last+1:
		w.missing += n - *last - 1
		w.examples.Add("client %d received message %d of publisher %d right after %d", client, n, publisher, *last)
	}
	*last = n
}

// Sent says which message a publisher sent last.
func (w *Watchers) Sent(publisher int, n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[publisher] = n
}

// SendEvent has a random client send an event that wants an ack.
func (w *Watchers) SendEvent() error {
	client := rand.IntN(w.clients)
	w.mu.Lock()
	w.events++
	number := w.events
	tooMany := len(w.pending) >= maxPending
	w.pending[number] = client
	w.mu.Unlock()
	if tooMany {
		return fmt.Errorf("%d events wait for their acks", maxPending)
	}
	err := w.pool.Send(client, load.AppendEvent(nil, number, load.NewPayload(number, 0)))
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.pending, number)
		w.unsent++
	}
	return err
}

// Events returns how many events clients have sent.
func (w *Watchers) Events() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events
}

// AwaitEnd waits until the server has ended all connections.
func (w *Watchers) AwaitEnd(ctx context.Context) error {
	for {
		counts, err := w.pool.Counts()
		if err != nil || int(counts.Gone) == w.clients {
			return err
		}
		if err := load.Sleep(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d connections have ended: %w", counts.Gone, w.clients, err)
		}
	}
}

// Settle waits until everything has arrived or the timeout is over.
func (w *Watchers) Settle(ctx context.Context, timeout time.Duration) error {
	for begin := time.Now(); time.Since(begin) < timeout; {
		w.mu.Lock()
		outstanding := w.outstanding() + uint64(len(w.pending))
		w.mu.Unlock()
		if outstanding == 0 {
			return nil
		}
		if err := load.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// outstanding returns how many messages have not arrived yet. The caller holds mu.
func (w *Watchers) outstanding() (n uint64) {
	for _, last := range w.last {
		for publisher, sent := range w.sent {
			n += sent - min(last[publisher], sent)
		}
	}
	return n
}

// AddTo adds what they received and missed to figures. It returns examples of what was wrong.
func (w *Watchers) AddTo(f results.Figures) Examples {
	counts, failure := w.pool.Counts()
	w.mu.Lock()
	defer w.mu.Unlock()
	f[Lasting], f[scenario.Gone] = float64(w.clients), float64(counts.Gone)
	f[scenario.Missing], f[scenario.Disorder] = float64(w.missing+w.outstanding()), float64(w.disorder)
	f[scenario.Answered], f[scenario.Unanswered] = float64(w.answered), float64(len(w.pending))
	f[scenario.ErrorAnswers], f[scenario.UnexpectedAcks] = float64(w.errors), float64(w.stray)
	if failure != nil {
		w.examples.Add("%v", failure)
		f[scenario.UnexpectedAcks]++
	}
	return w.examples
}

// AddInterrupted is [Watchers.AddTo] for a server that got SIGTERM while messages and events
// were on their way. Queued is to how many clients the server says that it queued each message of
// each publisher; early is the number of the last event that had to be answered. It adds to figures
// of earlier servers.
func (w *Watchers) AddInterrupted(f results.Figures, queued [Publishers][]int, early uint64) Examples {
	w.mu.Lock()
	defer w.mu.Unlock()
	for publisher, messages := range queued {
		for i, n := range messages {
			got := 0
			for _, last := range w.last {
				if last[publisher] > uint64(i) {
					got++
				}
			}
			f[scenario.Accepted]++
			f[scenario.Received] += float64(got)
			if got != n {
				f[scenario.Missing] += float64(max(n-got, got-n))
				w.examples.Add("message %d of publisher %d was queued to %d clients, and %d received it", i+1, publisher, n, got)
			}
		}
	}
	for number := range w.pending {
		if number <= early {
			f[scenario.Unanswered]++
			w.examples.Add("event %d was not answered", number)
		}
	}
	f[scenario.Asked] += float64(w.events - w.unsent)
	f[scenario.Answered] += float64(w.answered)
	f[scenario.ErrorAnswers] += float64(w.errors)
	f[scenario.Disorder] += float64(w.disorder + w.missing)
	f[scenario.UnexpectedAcks] += float64(w.stray)
	f[scenario.Clients] += float64(w.clients)
	f[scenario.WithoutGoodbye] += float64(w.clients - w.goodbyes)
	return w.examples
}

// ParseAck returns which event a packet answers, and the error code if the answer is an error. It
// reports false unless the packet is an ack with an error, or with the argument of the event that
// has the ack's number.
func ParseAck(packet []byte) (event uint64, code string, ok bool) {
	ack, ok := bytes.CutPrefix(packet, []byte("43"))
	if !ok {
		return 0, "", false
	}
	id, arguments := load.ParseNumber(ack)
	if number, _, _, ok := load.NextPayload(arguments); ok {
		return id, "", number == id
	}
	var answer []struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if err := json.Unmarshal(arguments, &answer); err != nil || len(answer) != 1 || answer[0].Error.Code == "" {
		return 0, "", false
	}
	return id, answer[0].Error.Code, true
}

// Examples are a few descriptions of what went wrong.
type Examples []string

// maxExamples bounds [Examples].
const maxExamples = 5

// Add adds an example unless there are enough.
func (e *Examples) Add(format string, args ...any) {
	if len(*e) < maxExamples {
		*e = append(*e, fmt.Sprintf(format, args...))
	}
}
