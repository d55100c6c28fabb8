package sala

import (
	"container/list"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// delivery is an event that has arrived.
type delivery struct {
	event       *salav1.ClientEvent
	needsAnswer bool
	// Protected by the runner's mutex:
	stream *stream // that delivered it last, and gets the answer
	done   bool
	answer *salav1.SubscribeRequest
}

// order returns what the event is ordered by: events with the same text are handled one after another.
func order(e *salav1.ClientEvent) string {
	switch {
	case e.GetSocket() != nil:
		return "socket " + e.GetSocket().GetId()
	case e.GetUser() != "":
		return "user " + e.GetNamespace() + " " + e.GetUser()
	}
	return "room " + e.GetNamespace() + " " + e.GetRoom()
}

// The limits of an answerLog.
const (
	maxAnswers     = 10_000
	maxAnswerBytes = 64 << 20
)

// answerLog remembers the deliveries that needed an answer: those that are being handled, and the last
// ones that were, with their answers.
type answerLog struct {
	deliveries map[string]*delivery
	done       *list.List // of *delivery, the oldest first
	bytes      int        // of the answers
}

func newAnswerLog() *answerLog {
	return &answerLog{deliveries: make(map[string]*delivery), done: list.New()}
}

// find returns the delivery with this id, or nil.
func (l *answerLog) find(id string) *delivery { return l.deliveries[id] }

// begin remembers a delivery that is being handled.
func (l *answerLog) begin(d *delivery) { l.deliveries[d.event.GetDeliveryId()] = d }

// end remembers the answer of a delivery, and forgets the oldest ones beyond the limits.
func (l *answerLog) end(d *delivery, answer *salav1.SubscribeRequest) {
	// From now on, only this part of the event is needed.
	d.event, d.done, d.answer = &salav1.ClientEvent{DeliveryId: d.event.GetDeliveryId(), NeedsDecision: d.event.GetNeedsDecision()}, true, answer
	l.done.PushBack(d)
	l.bytes += proto.Size(answer)
	for l.done.Len() > maxAnswers || l.bytes > maxAnswerBytes {
		oldest := l.done.Remove(l.done.Front()).(*delivery)
		l.bytes -= proto.Size(oldest.answer)
		delete(l.deliveries, oldest.event.GetDeliveryId())
	}
}

// replace replaces the answer of a delivery by a smaller one.
func (l *answerLog) replace(d *delivery, answer *salav1.SubscribeRequest) {
	l.bytes += proto.Size(answer) - proto.Size(d.answer)
	d.answer = answer
}
