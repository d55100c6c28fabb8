package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// defaultWait is how long calls wait for answers if their context has no deadline.
const defaultWait = 5 * time.Second

// Reply is one node's answer.
type Reply struct {
	// Node is the node that answers.
	Node NodeID
	// Payload is the answer.
	Payload []byte
	// Err is a [*RemoteError] if the node could not answer.
	Err error
}

// RemoteError is why another node could not answer.
type RemoteError struct {
	// Node is the node that could not answer.
	Node NodeID
	// Message is its error.
	Message string
}

// Error implements the error interface.
func (e *RemoteError) Error() string { return fmt.Sprintf("cluster: node %s: %s", e.Node, e.Message) }

// Result is the answers of nodes.
type Result struct {
	// Replies are the answers in the order in which they came, at most one for each node.
	Replies []Reply
	// Missing are the nodes that should have answered and did not, sorted.
	Missing []NodeID
	// Unnamed is how many further nodes have not answered, which the mesh can't name. It is always
	// 0 for calls.
	Unnamed int
}

// Partial reports whether an answer is missing or is an error.
func (r Result) Partial() bool {
	failed := func(reply Reply) bool { return reply.Err != nil }
	return len(r.Missing)+r.Unnamed > 0 || slices.ContainsFunc(r.Replies, failed)
}

// addMissing adds those of the nodes to Missing that haven't answered.
func (r *Result) addMissing(nodes []NodeID) {
	for _, id := range nodes {
		answered := slices.ContainsFunc(r.Replies, func(reply Reply) bool { return reply.Node == id })
		if !answered && !slices.Contains(r.Missing, id) {
			r.Missing = append(r.Missing, id)
		}
	}
	slices.Sort(r.Missing)
}

// Call sends a request to nodes and returns their answers when all of them have answered or are
// known to be gone, at the latest at ctx's deadline (after 5 s if it has none). Nodes that have not
// answered are in the result's Missing; that is no error. This node's own id is ignored.
//
// The error is [ErrUnavailable] if the bus is disconnected or disconnects meanwhile,
// [ErrOverloaded], [ErrTooLarge], or ctx's error if it was cancelled.
func (m *Mesh) Call(ctx context.Context, to []NodeID, request []byte) (Result, error) {
	expected := m.others(to)
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	c, err := m.collectors.open(expected)
	if err != nil || len(expected) == 0 {
		return Result{}, err
	}
	defer m.collectors.close(c)
	items := make([]outgoing, 0, len(expected))
	for id := range expected {
		e := m.callEnvelope(ctx, c.id, request)
		item, err := m.seal(m.nodeChannel(id), e, func(r Receipt, _ error) {
			if m.isAbsent(r, id) {
				m.collectors.drop(c.id, id)
			}
		})
		if err != nil {
			return Result{}, err
		}
		items = append(items, item)
	}
	if err := m.enqueue(items...); err != nil {
		return Result{}, err
	}
	m.dropSkewed(c)
	return m.wait(ctx, c, KindCall, nil)
}

// CallAll is [Mesh.Call] to all other nodes of the cluster, with one message.
func (m *Mesh) CallAll(ctx context.Context, request []byte) (Result, error) {
	if m.State() != Connected {
		return Result{}, ErrUnavailable
	}
	expected := m.members.ids()
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	if len(expected) == 0 {
		return Result{Missing: m.ClockSkewed()}, nil
	}
	c, err := m.collectors.open(expected)
	if err != nil {
		return Result{}, err
	}
	defer m.collectors.close(c)
	m.dropGone(c.id, expected)
	err = m.sendAll(m.callEnvelope(ctx, c.id, request), func(r Receipt, err error) {
		if err != nil {
			m.collectors.fail(c.id, ErrUnavailable)
		}
		for _, id := range nodesOf(r.Absent) {
			m.collectors.drop(c.id, id)
		}
	})
	if err != nil {
		return Result{}, err
	}
	return m.wait(ctx, c, KindCall, m.dropSkewed(c))
}

// dropSkewed drops the nodes whose answers can't be heard because of their clocks, and returns
// them.
func (m *Mesh) dropSkewed(c *collector) []NodeID {
	skewed := m.ClockSkewed()
	for _, id := range skewed {
		m.collectors.drop(c.id, id)
	}
	return skewed
}

// dropGone drops nodes that have gone since expected was read from the members. A node leaves the
// members before collectors.nodeGone is called. So either nodeGone finds the open collector, or the
// members lack the node here.
func (m *Mesh) dropGone(id uint64, expected map[NodeID]struct{}) {
	for node := range expected {
		if !m.members.has(node) {
			m.collectors.drop(id, node)
		}
	}
}

func withDefaultTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultWait)
}

func (m *Mesh) callEnvelope(ctx context.Context, id uint64, request []byte) *wire.Envelope {
	deadline, _ := ctx.Deadline()
	e := m.envelope()
	e.Body = &wire.Envelope_Call{Call: &wire.Call{
		Id:        id,
		Payload:   request,
		TimeoutMs: uint32(min(max(time.Until(deadline).Milliseconds(), 1), 60_000)),
	}}
	return e
}

// wait returns c's result when c is complete or ctx ends. The doubtful nodes are missing unless
// they have answered.
func (m *Mesh) wait(ctx context.Context, c *collector, kind CallKind, doubtful []NodeID) (Result, error) {
	start := time.Now()
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	cancelled := ctx.Err() // also if the caller gave up before the answers came
	if m.collectors.foundForeign(c) {
		m.foreignUntil.Store(time.Now().Add(foreignKept).UnixNano())
	}
	result, err := m.collectors.result(c, m.members.ids())
	result.addMissing(doubtful)
	if err == nil && errors.Is(cancelled, context.Canceled) {
		err = cancelled
	}
	m.observer.Answered(kind, time.Since(start), len(result.Missing)+result.Unnamed)
	return result, err
}
