package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// AckOptions says how long to wait for the answers to an event.
type AckOptions struct {
	// Timeout is how long clients may take; zero means 10 s.
	Timeout time.Duration
	// MinAcks is after how many answers not to wait for more; zero means for
	// everyone.
	MinAcks int
	// Owner says on whose account the answers are, such as the name of an API key.
	// Nobody has more than half of the places for answers, and of the memory for
	// those that haven't been taken.
	Owner string
}

// Ack is one client's answer to an event.
type Ack struct {
	// Socket and User say whose it is.
	Socket, User string
	// Args is the text of a JSON array, as the client sent it.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
	// Latency is the time since the event was queued.
	Latency time.Duration
}

// AckSummary counts what became of an event that asked for answers.
type AckSummary struct {
	// Expected is how many sockets the target named. It is the sum of the
	// others, unless MinAcks was reached before the rest answered.
	Expected int
	// Answered is how many answered.
	Answered int
	// TimedOut is how many did not in time.
	TimedOut int
	// Disconnected is how many went away without an answer.
	Disconnected int
	// Dropped is to how many the event could not be queued.
	Dropped int
	// Coverage names the nodes that have not said to the end what became of
	// their sockets. Those of which nothing is known count as disconnected.
	Coverage
}

func (a *Ack) bytes() int {
	n := len(a.Args)
	for _, data := range a.Attachments {
		n += len(data)
	}
	return n
}

// Limits of events that ask for answers.
const (
	// DefaultAckTimeout is how long clients have to answer unless it is said.
	DefaultAckTimeout = 10 * time.Second
	maxAckTimeout     = time.Minute
	// maxWaiting bounds how many answers the broker waits for at once. Each owner
	// has half of that.
	maxWaiting = 500_000
	// maxAckBytes bounds what clients have answered to one event and the
	// caller hasn't taken yet.
	maxAckBytes = 64 << 20
	// unreadShare is which part of the memory limit the answers to all events may
	// take that callers haven't taken yet, and maxUnread what they may take without
	// a limit. Each owner has half.
	unreadShare = 12
	maxUnread   = 256 << 20
)

// EmitWithAck sends a message as Emit does, asks each socket for an answer and
// passes the answers to each, on the caller's goroutine, one at a time and as
// they come. It returns when no more are waited for. An answer that comes later
// is counted and ignored. No client waits for the caller: what it hasn't taken
// yet is kept. It may be called concurrently. The error is a *[Error], ctx's, or
// what each returned, which ends the waiting.
func (b *Broker) EmitWithAck(ctx context.Context, t Target, m Message, o AckOptions, each func(Ack) error) (AckSummary, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultAckTimeout
	}
	var v violations
	t.validate(&v)
	m.validate(&v, b.opts.messageLimits())
	if o.Timeout < 0 || o.Timeout > maxAckTimeout {
		v.add("timeout", "%s is not between 0 and %s", o.Timeout, maxAckTimeout)
	}
	if err := v.err(); err != nil {
		return AckSummary{}, err
	}
	ns, err := b.namespace(t.Namespace)
	if err != nil {
		return AckSummary{}, err
	}
	if err := b.checkLoad(); err != nil {
		return AckSummary{}, err
	}
	target := t.fanout()
	sockets := ns.index.Select(nil, target)
	if !b.waiting.Take(o.Owner, int64(len(sockets))) {
		return AckSummary{}, &Error{
			Code:   CodeResourceExhausted,
			Reason: ReasonTooManyAcks,
			Message: fmt.Sprintf("the broker waits for at most %d answers at once, and for %d of one API key; ask fewer sockets, or again in a moment",
				maxWaiting, b.waiting.Share()),
		}
	}
	defer b.waiting.Give(o.Owner, int64(len(sockets)))
	q := b.newQuestion(o.Owner, len(sockets), o.MinAcks)
	defer q.discard()
	b.pose(q, ns, sockets, &m)
	others := b.askOthers(ctx, q, ns, &target, &m, o)
	late, err := q.wait(ctx, waitAtMost(ctx, o.Timeout-time.Since(q.asked)), each)
	var why fate // the rest isn't waited for
	if late {
		why = timedOut
	}
	for _, s := range sockets { // nothing of the question stays behind
		s.forget(q, why)
	}
	summary := q.end()
	b.metrics.asked(summary)
	if others != nil {
		if late && err == nil {
			late, err = q.wait(ctx, waitAtMost(ctx, summaryGrace), each) // their clocks began a little later
		}
		others.end(late, &summary)
	}
	if err == nil {
		err = q.passOn(each)
	}
	return summary, err
}

// newQuestion returns a question whose answers are on an owner's account. discard
// must follow.
func (b *Broker) newQuestion(owner string, sockets, minAcks int) *question {
	q := newQuestion(b.questions.Add(1), sockets, minAcks)
	q.owner, q.unread = owner, b.unread
	return q
}

// unreadLimit is how many bytes of answers may wait for their callers.
func unreadLimit(memory int64) int64 {
	if memory <= 0 {
		return maxUnread
	}
	return min(memory/unreadShare, maxUnread)
}

// pose sends a valid message to the sockets, with the question's number as its
// ack id: one frame for all, as each socket knows what it was asked.
func (b *Broker) pose(q *question, ns *namespace, sockets []*socket, m *Message) {
	report := Report{Matched: len(sockets)}
	f := newFrame(ns.name, &q.id, m)
	for _, s := range sockets {
		switch {
		case !s.expect(q):
			q.without(disconnected)
		case s.deliver(f, false):
			report.Queued++
		default:
			s.forget(q, dropped)
		}
	}
	b.metrics.emitted(report)
}
