package forward

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// receive queues an event behind the others of its socket. Its delivery goes on if the stream ends, and
// ends with ctx.
func (f *Forwarder) receive(ctx context.Context, s *stream, e *salav1.ClientEvent) {
	f.mu.Lock()
	leaving := f.leaving
	if !leaving {
		f.inFlight++
	}
	f.mu.Unlock()
	if leaving && needsAnswer(e) {
		return // another member of the group gets it, or its client gets an error
	}
	deadline := time.Now().Add(f.within(e))
	// The client gets its error in time even if an earlier event of its socket holds this one up.
	var taken atomic.Bool
	late := time.AfterFunc(f.within(e), func() {
		if taken.CompareAndSwap(false, true) {
			f.failed(s, e, codeUnavailable, errHeldUp)
		}
	})
	f.lanes.add(subject(e), func() {
		late.Stop()
		if taken.CompareAndSwap(false, true) {
			f.handle(ctx, s, e, deadline)
		}
		if !leaving {
			f.finish()
		}
	})
}

// errHeldUp is why an event wasn't sent at all.
var errHeldUp = errors.New("earlier events of its socket couldn't be delivered in time")

func needsAnswer(e *salav1.ClientEvent) bool { return e.GetNeedsAck() || e.GetNeedsDecision() }

// within is how long to try to deliver an event.
func (f *Forwarder) within(e *salav1.ClientEvent) time.Duration {
	switch {
	case e.GetNeedsDecision():
		return f.options.DecideWithin
	case e.GetNeedsAck():
		return f.options.AnswerWithin
	}
	return f.options.RetryFor
}

// handle delivers an event and sends the answer.
func (f *Forwarder) handle(ctx context.Context, s *stream, e *salav1.ClientEvent, deadline time.Time) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	body, err := f.target.deliver(ctx, e, f.retrying)
	switch {
	case err != nil && ctx.Err() != nil:
		f.failed(s, e, codeUnavailable, err)
		return
	case err != nil:
		f.failed(s, e, codeFailed, err)
		return
	}
	if recovered := f.failing.Swap(false); recovered {
		f.options.Log("the target answers again")
	}
	request, err := parseAnswer(e, body)
	if err != nil {
		f.failed(s, e, codeFailed, err)
		return
	}
	f.counts.delivered.Add(1)
	f.answer(s, request)
}

// failed counts an event that couldn't be delivered, and tells its client if it waits.
func (f *Forwarder) failed(s *stream, e *salav1.ClientEvent, code string, err error) {
	f.counts.undelivered.Add(1)
	f.options.Log("event %s (%s) could not be delivered: %s", e.GetDeliveryId(), kindName(e), err)
	f.answer(s, failure(e, code))
}

// answer sends an answer; nil for none.
func (f *Forwarder) answer(s *stream, request *salav1.SubscribeRequest) {
	if request != nil && s.send(request) != nil {
		f.counts.answersLost.Add(1)
	}
}

// retrying counts a failed attempt, and says so if the last one succeeded.
func (f *Forwarder) retrying(err error) {
	f.counts.retries.Add(1)
	if f.failing.CompareAndSwap(false, true) {
		f.options.Log("the target doesn't answer, retrying: %s", err)
	}
}

// finish grants the credit of an event to the stream that there is now.
func (f *Forwarder) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight--
	if f.current != nil && !f.leaving {
		// If it fails, the stream has ended, and the next one begins with all free credits.
		_ = f.current.send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Credit{Credit: &salav1.EventCredit{Credits: 1}}})
	}
}
