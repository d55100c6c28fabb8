package backends

import (
	"sync"
	"time"

	"github.com/salabroker/sala/chaos/internal/observe"
)

// sentEvent is an event that a client sent with an ack.
type sentEvent struct {
	sent     time.Time
	answered time.Time // for the first time
	answers  int
	code     string // the error code of the first answer; empty for a backend's answer
}

// eventLog records which events clients sent and what they received. The events are numbered from
// 1. An event's number is in its argument, is the id of its ack, and determines which client sends
// it: each client in turn sends some in a row. An eventLog is safe for concurrent use by a sender
// and a receiver.
type eventLog struct {
	clients int
	inARow  int

	mu     sync.Mutex
	events []sentEvent // by number, less 1
	stray  int         // packets that answer no event of the client that received them
	sample string      // one of these
}

func newEventLog(clients, inARow, events int) *eventLog {
	return &eventLog{clients: clients, inARow: inARow, events: make([]sentEvent, events)}
}

// sender returns the client that sends an event.
func (l *eventLog) sender(number uint64) int { return (int(number) - 1) / l.inARow % l.clients }

// known reports whether there is an event with that number.
func (l *eventLog) known(number uint64) bool { return number > 0 && number <= uint64(len(l.events)) }

// sent records that an event is about to be sent.
func (l *eventLog) sent(number uint64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[number-1].sent = at
}

// receive records what a client received.
func (l *eventLog) receive(client int, packet []byte) (reply []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	number, code, ok := observe.ParseAck(packet)
	if !ok || !l.known(number) || l.sender(number) != client || l.events[number-1].sent.IsZero() {
		l.stray++
		l.sample = string(packet[:min(len(packet), 200)])
		return nil
	}
	e := &l.events[number-1]
	e.answers++
	if e.answers == 1 {
		e.answered, e.code = time.Now(), code
	}
	return nil
}
