package load

import (
	"bytes"
	"encoding/json"
	"time"
)

// question is an event that a client sent with an ack.
type question struct {
	sent     time.Time
	answered time.Time // at first
	answers  int
	code     string // of the error that is the first answer; empty for a backend's
}

// tally is what clients asked and what came back over their wires. Each of their events has a number, beginning with 1, which is in
// its argument and is the id of its ack, and says which client sends it: each in turn sends some in a row.
type tally struct {
	clients   int
	inARow    int
	questions []question // by number, less 1
	stray     int        // packets that are no answer to an event of the client who got them
	example   string     // one of these
}

// newTally returns a tally of so many events.
func newTally(clients, inARow, events int) *tally {
	return &tally{clients: clients, inARow: inARow, questions: make([]question, events)}
}

// sender returns the client that sends an event.
func (t *tally) sender(number uint64) int { return (int(number) - 1) / t.inARow % t.clients }

// known reports whether there is an event of that number.
func (t *tally) known(number uint64) bool { return number > 0 && number <= uint64(len(t.questions)) }

// ask notes that the event of that number is about to be sent. It may be called while hear is, if the event is sent under the lock that
// hear is called under.
func (t *tally) ask(number uint64, at time.Time) { t.questions[number-1].sent = at }

// hear notes what a client was sent.
func (t *tally) hear(client int, packet []byte) {
	number, code, ok := ackOf(packet)
	if !ok || !t.known(number) || t.sender(number) != client || t.questions[number-1].sent.IsZero() {
		t.stray++
		t.example = string(packet[:min(len(packet), 200)])
		return
	}
	q := &t.questions[number-1]
	if q.answers++; q.answers == 1 {
		q.answered, q.code = time.Now(), code
	}
}

// ackOf returns which event a packet answers, and the code if the answer is an error. It isn't ok unless the packet is an ack with an
// error, or with the very argument of the event that it is for.
func ackOf(packet []byte) (event uint64, code string, ok bool) {
	ack, ok := bytes.CutPrefix(packet, []byte("43"))
	if !ok {
		return 0, "", false
	}
	id, arguments := number(ack)
	if sequence, _, _, ok := nextDelivery(arguments); ok {
		return id, "", sequence == id
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
