package sala

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// handlerFailed is what a client gets for an error that isn't meant for it.
var handlerFailed = &salav1.EventError{Code: "HANDLER_FAILED", Message: "the backend's handler has failed"}

// failedAnswer is the answer to a delivery whose handler's answer can't be sent.
func failedAnswer(d *delivery) *salav1.SubscribeRequest {
	id := d.event.GetDeliveryId()
	if d.event.GetNeedsDecision() {
		return decisionRequest(&salav1.EventDecision{DeliveryId: id, Decision: &salav1.EventDecision_Refuse{Refuse: handlerFailed}})
	}
	return replyRequest(&salav1.EventReply{DeliveryId: id, Error: handlerFailed})
}

func replyRequest(reply *salav1.EventReply) *salav1.SubscribeRequest {
	return &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Reply{Reply: reply}}
}

func decisionRequest(decision *salav1.EventDecision) *salav1.SubscribeRequest {
	return &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Decision{Decision: decision}}
}

// receive takes an event that has arrived over a stream.
func (r *runner) receive(st *stream, e *salav1.ClientEvent) {
	d := &delivery{event: e, needsAnswer: e.GetNeedsAck() || e.GetNeedsDecision(), stream: st}
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.needsAnswer {
		if r.left {
			return // another member gets it
		}
		if known := r.answers.find(e.GetDeliveryId()); known != nil && e.GetRedelivered() {
			r.redelivered(known, st)
			return
		}
		r.answers.begin(d)
	}
	r.outstanding++
	key := order(e)
	queue, draining := r.queues[key]
	r.queues[key] = append(queue, d)
	if !draining {
		go r.drain(key)
	}
}

// redelivered sends the answer of an event that is handled or being handled to the stream that has
// delivered it again. The caller holds the lock.
func (r *runner) redelivered(d *delivery, st *stream) {
	d.stream = st
	var answer *salav1.SubscribeRequest
	if d.done {
		answer = d.answer
	}
	st.send(answer, r.credit())
}

// credit returns the credit for an event that is done with. The caller holds the lock.
func (r *runner) credit() uint32 {
	if r.grace != nil {
		return 0
	}
	return 1
}

// drain handles the events of a queue, one after another, until it is empty. There are at most as many
// drains as events are outstanding.
func (r *runner) drain(key string) {
	for {
		r.mu.Lock()
		queue := r.queues[key]
		if len(queue) == 0 {
			delete(r.queues, key)
			r.mu.Unlock()
			return
		}
		d := queue[0]
		r.queues[key] = queue[1:]
		r.mu.Unlock()
		select {
		case r.slots <- struct{}{}:
			answer := r.handle(d)
			<-r.slots
			r.handled(d, answer)
		case <-r.handlers.Done(): // the grace time is over
			return
		}
	}
}

// handled sends the answer of an event, if it needs one, and grants a credit.
func (r *runner) handled(d *delivery, answer *salav1.SubscribeRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outstanding--
	if r.outstanding == 0 {
		close(r.changed)
		r.changed = make(chan struct{})
	}
	// After the grace time the broker gives the event to another member.
	if d.needsAnswer && r.handlers.Err() == nil {
		r.answers.end(d, answer)
		if !d.stream.send(answer, 0) {
			r.undelivered++
		}
	}
	if r.stream != nil {
		r.stream.send(nil, r.credit())
	}
}

// handle runs the handler of an event, and returns the answer if the event needs one.
func (r *runner) handle(d *delivery) *salav1.SubscribeRequest {
	e := newEvent(r.client, d.event)
	switch {
	case d.event.GetNeedsDecision():
		return r.handleDecision(e)
	case e.Kind == KindMessage:
		return r.handleMessage(e)
	}
	if handler := r.kinds[e.Kind]; handler != nil {
		_, err := guarded(func() (struct{}, error) { return struct{}{}, handler(r.handlers, e) })
		r.logFailure(e, err)
	}
	return nil
}

func (r *runner) handleDecision(e *Event) *salav1.SubscribeRequest {
	decision := &salav1.EventDecision{DeliveryId: e.DeliveryID}
	accept, err := guarded(func() (*Accept, error) { return r.decide(r.handlers, e) })
	var accepted *salav1.EventAccept
	if err == nil {
		accepted, err = encodeAccept(accept)
	}
	if err == nil {
		decision.Decision = &salav1.EventDecision_Accept{Accept: accepted}
	} else {
		decision.Decision = &salav1.EventDecision_Refuse{Refuse: r.clientError(e, err)}
	}
	return decisionRequest(decision)
}

func encodeAccept(accept *Accept) (*salav1.EventAccept, error) {
	if accept == nil {
		return &salav1.EventAccept{}, nil
	}
	data, err := encodeValue(accept.Data)
	rooms := make([]string, len(accept.Rooms))
	for i, room := range accept.Rooms {
		rooms[i] = strings.ToValidUTF8(room, "\uFFFD")
	}
	return &salav1.EventAccept{Rooms: rooms, Data: data}, err
}

// encodeValue returns a value for encoding/json as a protobuf value; nil for nil.
func encodeValue(value any) (*structpb.Value, error) {
	if value == nil {
		return nil, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	encoded := &structpb.Value{}
	if err := encoded.UnmarshalJSON(text); err != nil {
		return nil, err
	}
	return encoded, nil
}

func (r *runner) handleMessage(e *Event) *salav1.SubscribeRequest {
	handler := r.messages[e.Name]
	if handler == nil {
		handler = r.messages[""]
	}
	if handler == nil {
		return nil // the subscription doesn't ask for it
	}
	result, err := guarded(func() (any, error) { return handler(r.handlers, e) })
	if !e.NeedsAck {
		r.logFailure(e, err)
		return nil
	}
	reply := &salav1.EventReply{DeliveryId: e.DeliveryID}
	var args Args
	if err == nil {
		args, err = encodeArgs(ackArgs(result))
	}
	if err == nil {
		reply.ArgsJson, reply.Attachments = args.text, args.attachments
	} else {
		reply.Error = r.clientError(e, err)
	}
	return replyRequest(reply)
}

// ackArgs returns the arguments of an ack for what a handler has returned.
func ackArgs(result any) []any {
	switch result := result.(type) {
	case nil:
		return nil
	case Ack:
		return result
	}
	return []any{result}
}

// clientError returns what the client gets for an error. It logs an error that isn't meant for it.
func (r *runner) clientError(e *Event, err error) *salav1.EventError {
	if refused, ok := errors.AsType[*ClientError](err); ok {
		// gRPC would end the whole stream because of text that isn't UTF-8.
		return &salav1.EventError{Code: strings.ToValidUTF8(refused.Code, "\uFFFD"), Message: strings.ToValidUTF8(refused.Message, "\uFFFD")}
	}
	r.logFailure(e, err)
	return handlerFailed
}

// logFailure logs the error of a handler, unless it is meant for the client.
func (r *runner) logFailure(e *Event, err error) {
	if _, ok := errors.AsType[*ClientError](err); err == nil || ok {
		return
	}
	log := r.log.With("kind", string(e.Kind), "event", e.Name, "delivery", e.DeliveryID)
	if crashed, ok := errors.AsType[*crash](err); ok {
		log = log.With("stack", string(crashed.stack))
	}
	log.Error("sala: a handler has failed", "error", err)
}

// crash is a panic of a handler.
type crash struct {
	value any
	stack []byte
}

func (c *crash) Error() string { return fmt.Sprintf("panic: %v", c.value) }

// guarded calls a handler and turns a panic into an error, as net/http does for its handlers: one
// event must not end the service of all others.
func guarded[T any](handler func() (T, error)) (result T, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &crash{value: value, stack: debug.Stack()}
		}
	}()
	return handler()
}
