package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// defaultWait is how long is waited for answers if the context has no deadline.
const defaultWait = 5 * time.Second

// Reply is one node's answer.
type Reply struct {
	// Node is who answers.
	Node NodeID
	// Payload is the answer.
	Payload []byte
	// Err is a [*RemoteError] if the node could not answer.
	Err error
}

// RemoteError is why another node could not answer.
type RemoteError struct {
	// Node is the one that said so.
	Node NodeID
	// Message is what it said.
	Message string
}

// Error implements the error interface.
func (e *RemoteError) Error() string { return fmt.Sprintf("cluster: node %s: %s", e.Node, e.Message) }

// Result is what nodes have answered.
type Result struct {
	// Replies are the answers, each node's at most once, as they came.
	Replies []Reply
	// Missing are the nodes that were asked and have not answered.
	Missing []NodeID
	// Unnamed is how many more have not answered, of which it isn't known who
	// they are. Only [Mesh.PublishAndWait] knows no names beforehand.
	Unnamed int
}

// Partial reports whether an answer is missing, or is an error.
func (r Result) Partial() bool {
	failed := func(reply Reply) bool { return reply.Err != nil }
	return len(r.Missing)+r.Unnamed > 0 || slices.ContainsFunc(r.Replies, failed)
}

// miss names nodes as missing that haven't answered.
func (r *Result) miss(nodes []NodeID) {
	for _, id := range nodes {
		answered := slices.ContainsFunc(r.Replies, func(reply Reply) bool { return reply.Node == id })
		if !answered && !slices.Contains(r.Missing, id) {
			r.Missing = append(r.Missing, id)
		}
	}
	slices.Sort(r.Missing)
}

// Call asks nodes and returns their answers, as soon as all have answered or
// are known to be gone, or at ctx's deadline (after 5 s if it has none). That some
// have not answered is no error: they are in the result's Missing. This node's own
// id is left out.
//
// The error is [ErrUnavailable] if the bus is disconnected, at once, also while
// it waits; [ErrOverloaded], [ErrTooLarge], or ctx's if it was cancelled.
func (m *Mesh) Call(ctx context.Context, to []NodeID, request []byte) (Result, error) {
	expected := make(map[NodeID]struct{}, len(to))
	for _, id := range to {
		if id != m.id {
			expected[id] = struct{}{}
		}
	}
	ctx, cancel := waitContext(ctx)
	defer cancel()
	w, err := m.pending.open(expected)
	if err != nil || len(expected) == 0 {
		return Result{}, err
	}
	defer m.pending.close(w)
	items := make([]outgoing, 0, len(expected))
	for id := range expected {
		e := m.call(ctx, w.id, request)
		item, err := m.sealed(m.nodeChannel(id), e, func(r Receipt, _ error) {
			if m.missed(r, id) {
				m.pending.absent(w.id, id)
			}
		})
		if err != nil {
			return Result{}, err
		}
		items = append(items, item)
	}
	if err := m.add(items...); err != nil {
		return Result{}, err
	}
	m.dismiss(w)
	return m.wait(ctx, w, KindCall, nil)
}

// CallAll is [Mesh.Call] to all other nodes that are there, with one message.
func (m *Mesh) CallAll(ctx context.Context, request []byte) (Result, error) {
	if m.State() != Connected {
		return Result{}, ErrUnavailable
	}
	expected := m.members.ids()
	ctx, cancel := waitContext(ctx)
	defer cancel()
	if len(expected) == 0 {
		return Result{Missing: m.ClockSkewed()}, nil
	}
	w, err := m.pending.open(expected)
	if err != nil {
		return Result{}, err
	}
	defer m.pending.close(w)
	m.loseGone(w.id, expected)
	err = m.sendAll(m.call(ctx, w.id, request), func(r Receipt, err error) {
		if err != nil {
			m.pending.fail(w.id, ErrUnavailable)
		}
		for _, id := range nodesOf(r.Absent) {
			m.pending.absent(w.id, id)
		}
	})
	if err != nil {
		return Result{}, err
	}
	return m.wait(ctx, w, KindCall, m.dismiss(w))
}

// dismiss doesn't wait for the answers of nodes that can't be heard. It returns these.
func (m *Mesh) dismiss(w *waiter) []NodeID {
	refused := m.ClockSkewed()
	for _, id := range refused {
		m.pending.absent(w.id, id)
	}
	return refused
}

// missed reports whether a node did not get what was sent to its own channel.
func (m *Mesh) missed(r Receipt, id NodeID) bool {
	return r.Receivers <= 0 || slices.Contains(r.Absent, m.nodeChannel(id))
}

// nodesOf returns the nodes that channels are the own ones of.
func nodesOf(channels []string) []NodeID {
	ids := make([]NodeID, len(channels))
	for i, channel := range channels {
		ids[i] = NodeID(channel[len(channel)-NodeIDBytes:])
	}
	return ids
}

// loseGone doesn't wait for nodes that have gone since the question's list of them was made. A node leaves the members
// before the questions hear of it: so either pending.lost finds a question that has been opened, or the members lack
// the node by now.
func (m *Mesh) loseGone(id uint64, expected map[NodeID]struct{}) {
	for node := range expected {
		if !m.members.has(node) {
			m.pending.absent(id, node)
		}
	}
}

func waitContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, defaultWait)
}

func (m *Mesh) call(ctx context.Context, id uint64, request []byte) *wire.Envelope {
	deadline, _ := ctx.Deadline()
	e := m.envelope()
	e.Body = &wire.Envelope_Call{Call: &wire.Call{
		Id:        id,
		Payload:   request,
		TimeoutMs: uint32(min(max(time.Until(deadline).Milliseconds(), 1), 60_000)),
	}}
	return e
}

// wait returns what w has got when it is complete or ctx ends. Doubtful are nodes
// that are missing unless they have answered.
func (m *Mesh) wait(ctx context.Context, w *waiter, kind CallKind, doubtful []NodeID) (Result, error) {
	start := time.Now()
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	cancelled := ctx.Err() // also of a caller who had given up before the answers came
	if m.pending.strangers(w) {
		m.strangersUntil.Store(time.Now().Add(strangersKept).UnixNano())
	}
	result, err := m.pending.result(w, m.members.ids())
	result.miss(doubtful)
	if err == nil && errors.Is(cancelled, context.Canceled) {
		err = cancelled
	}
	m.observer.Answered(kind, time.Since(start), len(result.Missing)+result.Unnamed)
	return result, err
}
