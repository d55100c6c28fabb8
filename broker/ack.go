package broker

import (
	"context"
	"fmt"
	"time"
)

// AckOptions says how long to wait for the acks of a message.
type AckOptions struct {
	// Timeout is how long clients may take; zero means 10 s.
	Timeout time.Duration
	// MinAcks is the number of acks after which to stop waiting; zero means to wait
	// for all.
	MinAcks int
	// Owner is whom the acks count against, such as the name of an API key. Nobody
	// has more than half of the places for pending acks, and of the memory for acks
	// that the caller hasn't taken.
	Owner string
}

// Limits of messages that request acks.
const (
	// DefaultAckTimeout is how long clients have to answer by default.
	DefaultAckTimeout = 10 * time.Second
	maxAckTimeout     = time.Minute
	// maxPendingAcks bounds how many acks the broker waits for at once. Each owner
	// has half of that.
	maxPendingAcks = 500_000
	// unreadAcksShare is the part of the memory limit that acks may take which
	// callers haven't taken yet, and maxUnreadAcks what they may take without a
	// limit. Each owner has half.
	unreadAcksShare = 12
	maxUnreadAcks   = 256 << 20
)

// unreadAcksLimit is how many bytes of acks may wait for their callers.
func unreadAcksLimit(memory int64) int64 {
	if memory <= 0 {
		return maxUnreadAcks
	}
	return min(memory/unreadAcksShare, maxUnreadAcks)
}

// EmitWithAck sends a message as Emit does, requests an ack from each socket and
// passes the acks to each, on the caller's goroutine, one at a time and as they
// come. It returns when it waits for no more of them. An ack that comes later is
// counted and ignored. No client waits for the caller: acks that it hasn't taken
// are kept. It may be called concurrently. The error is a *[Error], ctx's, or
// what each returned, which ends the wait.
func (b *Broker) EmitWithAck(ctx context.Context, t Target, m Message, o AckOptions, each func(Ack) error) (AckSummary, error) {
	ctx, span := b.startEmit(ctx, spanEmitWithAck, &m)
	summary, err := b.requestAcks(ctx, &t, &m, o, each)
	b.endAcks(span, &t, &m, &summary, err)
	b.noteEmit(&t, &m, &Report{
		Matched: summary.Expected, Queued: summary.Expected - summary.Dropped, Dropped: summary.Dropped, PartialResult: summary.PartialResult,
	}, err)
	return summary, err
}

// requestAcks is EmitWithAck.
func (b *Broker) requestAcks(ctx context.Context, t *Target, m *Message, o AckOptions, each func(Ack) error) (AckSummary, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultAckTimeout
	}
	var v violations
	if o.Timeout < 0 || o.Timeout > maxAckTimeout {
		v.add("timeout", "%s is not between 0 and %s", o.Timeout, maxAckTimeout)
	}
	refuseConflation(&v, m)
	ns, err := b.checkEmit(t, m, v)
	if err != nil {
		return AckSummary{}, err
	}
	sockets := ns.index.Select(nil, *t)
	room := b.pendingAcks.Take(o.Owner, int64(len(sockets)))
	if !room {
		return AckSummary{}, &Error{
			Code:   CodeResourceExhausted,
			Reason: ReasonTooManyAcks,
			Message: fmt.Sprintf("the broker waits for at most %d acks at once, and for %d of one API key; ask fewer sockets, or try again in a moment",
				maxPendingAcks, b.pendingAcks.Share()),
		}
	}
	defer b.pendingAcks.Give(o.Owner, int64(len(sockets)))
	r := b.newAckRequest(o.Owner, len(sockets), o.MinAcks)
	r.traceID = m.traceID
	defer r.discard()
	b.sendAckRequest(r, ns, sockets, m)
	others := b.requestFromOthers(ctx, r, t, m, o)
	late, err := r.wait(ctx, waitAtMost(ctx, o.Timeout-time.Since(r.sent)), each)
	var why ackOutcome // nil: the caller doesn't wait for the rest
	if late {
		why = timedOut
	}
	for _, s := range sockets { // no socket keeps the request
		s.forgetAck(r, why)
	}
	summary := r.localSummary()
	b.metrics.acked(summary)
	if others != nil {
		if late && err == nil {
			late, err = r.wait(ctx, waitAtMost(ctx, summaryGrace), each) // the other nodes' clocks began a little later
		}
		others.end(late, &summary)
	}
	if err == nil {
		err = r.passOn(each)
	}
	return summary, err
}

// newAckRequest returns a request whose acks count against an owner. discard must
// be called in the end.
func (b *Broker) newAckRequest(owner string, sockets, minAcks int) *ackRequest {
	r := newAckRequest(b.lastAckID.Add(1), sockets, minAcks, b.metrics.latency)
	r.owner, r.unread = owner, b.unreadAcks
	return r
}

// sendAckRequest sends a valid message to the sockets with the request's id as
// its ack id. All get the same frame, because each knows what it was asked.
func (b *Broker) sendAckRequest(r *ackRequest, ns *namespace, sockets []*socket, m *Message) {
	report := Report{Matched: len(sockets)}
	f := newFrame(ns.name, &r.id, m)
	for _, s := range sockets {
		switch {
		case !s.expectAck(r):
			r.settle(disconnected)
		case s.deliver(f):
			report.Queued++
		case s.client.Load() == nil: // it is away, and isn't asked when it returns
			s.forgetAck(r, disconnected)
		default:
			s.forgetAck(r, dropped)
		}
	}
	b.metrics.emitted(report)
}
